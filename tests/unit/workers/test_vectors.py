import numpy as np
import orjson
import pytest

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason
from workers.providers.base import BadVector
from workers.providers.vectors import Row, Vector, Vectors


def row(*numbers: float) -> Vector:
    return np.array(numbers, dtype=np.float32)


def complaints(vectors: Vectors) -> list[str]:
    return [row.complaint if isinstance(row, BadVector) else "" for row in vectors.rows]


@pytest.mark.parametrize(
    ("rows", "texts", "dimensions", "complaint"),
    [
        ([row(1, 2)], 2, None, "1 vector for 2 texts"),
        ([row(1, 2), row(1, 2)], 1, None, "2 vectors for 1 text"),
        ([row()], 1, None, "empty"),
        ([row(1, float("nan"))], 1, None, "NaN or infinity"),
        ([row(1, 2), row(1, 2, 3)], 2, None, "vectors of 2 and of 3 numbers"),
        ([row(1), row(1, 2, 3)], 2, 2, "1 numbers where 2 were expected"),
        ([np.zeros(65_537, dtype=np.float32)], 1, None, "65,537 numbers, and 65,536 are the most"),
        ([np.zeros((2, 2), dtype=np.float32)], 1, None, "no plain list"),
        ([BadVector("as told")], 1, None, "as told"),
    ],
)
def test_where_no_vector_can_be_used_the_whole_answer_is_bad(
    rows: list[Row], texts: int, dimensions: int | None, complaint: str
) -> None:
    with pytest.raises(RetryableError, match=complaint) as caught:
        Vectors.check(rows, texts=texts, dimensions=dimensions)
    assert caught.value.reason is RetryReason.BAD_RESPONSE


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (row(), "a vector is empty"),
        (row(1, float("-inf")), "a vector holds NaN or infinity"),
        (row(1, 2, 3), "a vector has 3 numbers where 2 were expected"),
        (BadVector("as told"), "as told"),
    ],
)
@pytest.mark.parametrize("dimensions", [None, 2])
def test_a_bad_vector_spoils_no_other(bad: Row, complaint: str, dimensions: int | None) -> None:
    vectors = Vectors.check([row(1, 2), bad, row(3, 4)], texts=3, dimensions=dimensions)
    assert complaints(vectors) == ["", complaint, ""]
    assert vectors.to_json() == [b"[1.0,2.0]", BadVector(complaint), b"[3.0,4.0]"]


@pytest.mark.parametrize("rows", [[row(1, 2, 3)], [row(1, 2, 3), row(4, 5, 6)], [row(1, 2, 3), row()]])
def test_dimensions_that_the_server_ignores_are_final_for_the_unit(rows: list[Row]) -> None:
    with pytest.raises(NonRetryableError, match="asked for 2, the server sends 3") as caught:
        Vectors.check(rows, texts=len(rows), dimensions=2)
    assert caught.value.blame is Blame.WHOLE_UNIT


def test_good_vectors_are_kept_in_order() -> None:
    rows = [row(1, 2), row(3, 4)]
    assert Vectors.check(rows, texts=2, dimensions=2).rows == rows


def test_json_of_a_float32_gives_the_same_float32_back() -> None:
    numbers = np.random.default_rng(5).standard_normal(1000, dtype=np.float32)
    numbers[:4] = [0.0, 1e-38, 3.4e38, -1.0]
    [encoded] = Vectors.check([numbers], texts=1, dimensions=1000).to_json()
    assert isinstance(encoded, bytes)
    back = np.array(orjson.loads(encoded), dtype=np.float32)
    assert np.array_equal(back, numbers)


def test_json_of_a_float32_is_as_short_as_it_can_be() -> None:
    assert Vectors.check([row(0.1, -2.5)], texts=1, dimensions=None).to_json() == [b"[0.1,-2.5]"]


def test_json_of_a_float64_loses_nothing() -> None:
    numbers = np.array([0.1234567890123, 1.0], dtype=np.float64)
    assert Vectors.check([numbers], texts=1, dimensions=2).to_json() == [b"[0.1234567890123,1.0]"]
