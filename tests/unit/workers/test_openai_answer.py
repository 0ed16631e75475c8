import base64
from collections.abc import Mapping

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RetryableError, RetryReason
from shared.models import Usage
from workers.providers.base import Embeddings
from workers.providers.openai.answer import parse_answer


def encoded(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, dtype="<f4").tobytes()).decode()


def item(index: object, embedding: object) -> dict[str, object]:
    return {"object": "embedding", "index": index, "embedding": embedding}


def parse(body: object, *, texts: int = 1, dimensions: int | None = None) -> Embeddings:
    return parse_answer(orjson.dumps(body), texts=texts, model="asked", dimensions=dimensions)


def answer(*items: Mapping[str, object], **more: object) -> dict[str, object]:
    return {"data": list(items), **more}


def numbers_of(embeddings: Embeddings) -> list[list[float]]:
    return [row.tolist() for row in embeddings.vectors.rows]


def test_the_index_decides_the_order() -> None:
    body = answer(item(1, encoded(3, 4)), item(0, encoded(1, 2)))
    assert numbers_of(parse(body, texts=2)) == [[1, 2], [3, 4]]


def test_a_list_of_numbers_is_read_as_well_as_base64() -> None:
    assert numbers_of(parse(answer(item(0, [0.5, 1, -2])))) == [[0.5, 1.0, -2.0]]


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        "text",
        [],
        [None],
        [item(0, None)],
        [item(0, {})],
        [item(0, [1.0, None])],
        [item(0, [1.0, "2"])],
        [item(0, [True, False])],
        [item(0, [[1.0]])],
        [item(0, [])],
        [item(0, "")],
        [item(0, "!!!!")],
        [item(0, "AAAA!AAAA=")],
        [item(0, "é")],
        [item(0, "!" + encoded(1, 2))],
        [item(0, base64.b64encode(b"12345").decode())],
        [item(0, encoded(float("nan")))],
        [item(0, encoded(float("inf")))],
        [item(1, encoded(1))],
        [item(-1, encoded(1))],
        [item(None, encoded(1))],
        [item("0", encoded(1))],
        [item(False, encoded(1))],
        [item(0, encoded(1)), item(1, encoded(1))],
    ],
)
def test_bad_data_is_the_providers_trouble(data: object) -> None:
    with pytest.raises(RetryableError) as caught:
        parse({"data": data})
    assert caught.value.reason is RetryReason.BAD_RESPONSE


def test_a_repeated_index_is_not_guessed_at() -> None:
    with pytest.raises(RetryableError, match="repeated"):
        parse(answer(item(0, encoded(1)), item(0, encoded(2))), texts=2)


def test_vectors_of_another_length_than_asked_for_are_refused() -> None:
    with pytest.raises(RetryableError, match="3 numbers where 2"):
        parse(answer(item(0, encoded(1, 2, 3))), dimensions=2)


@pytest.mark.parametrize("content", [b"", b"{", b'{"data": [NaN]}', b"<html>", b"[]", b"null", b"\xff"])
def test_garbage_is_the_providers_trouble(content: bytes) -> None:
    with pytest.raises(RetryableError) as caught:
        parse_answer(content, texts=1, model="m", dimensions=None)
    assert caught.value.reason is RetryReason.BAD_RESPONSE


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["data", "index", "embedding", "usage", "model"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(json_values | st.fixed_dictionaries({"data": st.lists(json_values, max_size=3)}))
def test_no_json_raises_anything_but_a_task_error(body: object) -> None:
    try:
        embeddings = parse(body)
    except RetryableError as error:
        assert error.reason is RetryReason.BAD_RESPONSE
    else:
        assert len(embeddings.vectors.rows) == 1


def test_usage_and_model_are_taken_from_the_answer() -> None:
    embeddings = parse(
        answer(item(0, encoded(1)), model="given", usage={"prompt_tokens": 3, "total_tokens": 4})
    )
    assert embeddings.usage == Usage(3, 4)
    assert embeddings.model == "given"


@pytest.mark.parametrize(
    "usage", [None, [], "7", {}, {"prompt_tokens": -1, "total_tokens": True}, {"prompt_tokens": 1.5}]
)
def test_a_usage_that_makes_no_sense_is_reported_as_zero(usage: object) -> None:
    assert parse(answer(item(0, encoded(1)), usage=usage)).usage == Usage(0, 0)


@pytest.mark.parametrize("model", [None, "", 7, "m" * 300])
def test_without_a_sensible_model_the_asked_one_is_reported(model: object) -> None:
    assert parse(answer(item(0, encoded(1)), model=model)).model == "asked"
