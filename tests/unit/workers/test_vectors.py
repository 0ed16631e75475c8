import numpy as np
import orjson
import pytest

from shared.errors import RetryableError, RetryReason
from workers.providers.vectors import Vector, Vectors


def row(*numbers: float) -> Vector:
    return np.array(numbers, dtype=np.float32)


@pytest.mark.parametrize(
    ("rows", "texts", "dimensions", "complaint"),
    [
        ([row(1, 2)], 2, None, "1 vectors for 2 texts"),
        ([row(1, 2), row(1, 2)], 1, None, "2 vectors for 1 texts"),
        ([row()], 1, None, "empty"),
        ([row(1, 2), row()], 2, None, "empty"),
        ([row(1, 2)], 1, 3, "2 numbers where 3 were expected"),
        ([row(1, 2), row(1, 2, 3)], 2, None, "3 numbers where 2 were expected"),
        ([row(1, float("nan"))], 1, None, "NaN or infinity"),
        ([row(1, 2), row(float("-inf"), 2)], 2, None, "NaN or infinity"),
        ([np.zeros((2, 2), dtype=np.float32)], 1, None, "4 numbers where"),
    ],
)
def test_bad_vectors_are_the_providers_trouble(
    rows: list[Vector], texts: int, dimensions: int | None, complaint: str
) -> None:
    with pytest.raises(RetryableError, match=complaint) as caught:
        Vectors.check(rows, texts=texts, dimensions=dimensions)
    assert caught.value.reason is RetryReason.BAD_RESPONSE


def test_good_vectors_are_kept_in_order() -> None:
    rows = [row(1, 2), row(3, 4)]
    assert Vectors.check(rows, texts=2, dimensions=2).rows == rows


def test_json_of_a_float32_gives_the_same_float32_back() -> None:
    numbers = np.random.default_rng(5).standard_normal(1000, dtype=np.float32)
    numbers[:4] = [0.0, 1e-38, 3.4e38, -1.0]
    [encoded] = Vectors.check([numbers], texts=1, dimensions=1000).to_json()
    back = np.array(orjson.loads(encoded), dtype=np.float32)
    assert np.array_equal(back, numbers)


def test_json_of_a_float32_is_as_short_as_it_can_be() -> None:
    assert Vectors.check([row(0.1, -2.5)], texts=1, dimensions=None).to_json() == [b"[0.1,-2.5]"]


def test_json_of_a_float64_loses_nothing() -> None:
    numbers = np.array([0.1234567890123, 1.0], dtype=np.float64)
    assert Vectors.check([numbers], texts=1, dimensions=2).to_json() == [b"[0.1234567890123,1.0]"]
