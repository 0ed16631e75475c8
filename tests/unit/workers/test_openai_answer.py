"""The JSON of an embeddings answer, and which item belongs to which text."""

import base64
import json
from collections.abc import Mapping

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RetryableError, RetryReason
from shared.models import Usage
from workers.providers.base import BadVector, Embeddings
from workers.providers.openai.answer import Item, error_in, in_order, parse_answer, read_body
from workers.providers.openai.refusals import refusal_in_success


def encoded(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, dtype="<f4").tobytes()).decode()


def item(index: object, embedding: object) -> dict[str, object]:
    return {"object": "embedding", "index": index, "embedding": embedding}


def parse(body: object, *, texts: int = 1, dimensions: int | None = None) -> Embeddings:
    return parse_bytes(orjson.dumps(body), texts=texts, dimensions=dimensions)


def parse_bytes(content: bytes, *, texts: int = 1, dimensions: int | None = None) -> Embeddings:
    return parse_answer(read_body(content), texts=texts, model="asked", dimensions=dimensions)


def answer(*items: Mapping[str, object], **more: object) -> dict[str, object]:
    return {"data": list(items), **more}


def numbers_of(embeddings: Embeddings) -> list[list[float]]:
    return [row.tolist() for row in embeddings.vectors.good]


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
        [item(0, encoded(1)), item(1, encoded(1))],
    ],
)
def test_bad_data_is_the_providers_trouble(data: object) -> None:
    with pytest.raises(RetryableError) as caught:
        parse({"data": data})
    assert caught.value.reason is RetryReason.BAD_RESPONSE


def test_a_vector_that_cannot_be_used_spoils_no_other() -> None:
    bad: list[object] = [None, {}, [1.0, None], [1.0, "2"], [True, False], [[1.0]], "!!!!", ""]
    items = [item(place, value) for place, value in enumerate([*bad, encoded(1, 2)])]
    embeddings = parse(answer(*items), texts=len(items))
    assert numbers_of(embeddings) == [[1, 2]]
    assert [type(row) for row in embeddings.vectors.rows[:-1]] == [BadVector] * len(bad)


def test_an_item_that_is_no_object_spoils_no_other() -> None:
    assert numbers_of(parse({"data": [None, item(1, encoded(1, 2)), 7]}, texts=3)) == [[1, 2]]


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"9" * 400, b"1e400"])
def test_a_number_that_is_not_one_spoils_its_own_vector_alone(number: bytes) -> None:
    content = b'{"data":[{"embedding":[1.0,' + number + b']},{"embedding":[3.0,4.0]}]}'
    assert numbers_of(parse_bytes(content, texts=2)) == [[3, 4]]


def test_a_byte_order_mark_is_passed_over() -> None:
    content = b"\xef\xbb\xbf" + orjson.dumps(answer(item(0, [1.0])))
    assert numbers_of(parse_bytes(content)) == [[1]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html><title>Log in</title>", 'a web page: "Log in"'),
        (b"  ", "it is empty"),
        (b"Service starting", "begins with: Service starting"),
        (b'{"message":"warming up"}', 'no list "data", but says: warming up'),
        (b'{"status":"ok"}', 'but says: {"status":"ok"}'),
    ],
)
def test_the_first_words_of_what_is_no_answer_are_kept(content: bytes, words: str) -> None:
    with pytest.raises(RetryableError) as caught:
        parse_bytes(content)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "no", "code": 429}}, "no"),
        ({"error": "no", "data": None}, "no"),
        ({"error": {"message": "no"}, "data": []}, "no"),
        ({"success": False, "errors": [{"code": 7, "message": "no"}], "result": None}, "no"),
        ({"error": None, "data": []}, None),
        ({"error": {"message": "a warning"}, "data": [item(0, encoded(1))]}, None),
        ({"message": "warming up"}, None),
    ],
)
def test_an_error_in_place_of_vectors_is_found(body: dict[str, object], message: str | None) -> None:
    error = error_in(body)
    assert (error.message if error else None) == message


@pytest.mark.parametrize("content", [b"", b"{", b'{"data": [NaN]}', b"<html>", b"[]", b"null", b"\xff"])
def test_garbage_is_the_providers_trouble(content: bytes) -> None:
    with pytest.raises(RetryableError) as caught:
        parse_bytes(content)
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
        assert len(embeddings.vectors.good) == 1


strange_values = st.recursive(
    st.none() | st.integers(-(10**30), 10**30) | st.floats() | st.text(st.characters(), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.binary(max_size=100)
    | st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("data", "error", "errors", "message"), strange_values)
    ).map(lambda body: json.dumps(body).encode())
)
def test_no_bytes_raise_anything_but_a_task_error(content: bytes) -> None:
    """Python's own encoder writes NaN, huge numbers and halves of surrogate pairs."""
    try:
        body = read_body(content)
        if (error := error_in(body)) is not None:
            refusal_in_success(error, "m", None, {})
        else:
            parse_answer(body, texts=1, model="m", dimensions=None)
    except RetryableError as error:
        assert error.reason is RetryReason.BAD_RESPONSE


def test_usage_and_model_are_taken_from_the_answer() -> None:
    embeddings = parse(
        answer(item(0, encoded(1)), model="given", usage={"prompt_tokens": 3, "total_tokens": 4})
    )
    assert embeddings.usage == Usage(3, 4)
    assert embeddings.model == "given"


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        "7",
        {},
        {"prompt_tokens": -1, "total_tokens": True},
        {"prompt_tokens": 1.5},
        {"prompt_tokens": "many"},
        {"prompt_tokens": "nan", "total_tokens": 1e300},
        {"prompt_tokens": [3]},
    ],
)
def test_a_usage_that_makes_no_sense_is_reported_as_zero(usage: object) -> None:
    assert parse(answer(item(0, encoded(1)), usage=usage)).usage == Usage(0, 0)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 12.0, "total_tokens": 12.0},
        {"prompt_tokens": "12", "total_tokens": "12.0"},
        {"input_tokens": 12},
        {"prompt_tokens": 12},
        {"prompt_tokens": 12, "total_tokens": None},
    ],
)
def test_a_usage_is_read_in_whatever_way_it_is_written(usage: dict[str, object]) -> None:
    assert parse(answer(item(0, encoded(1)), usage=usage)).usage == Usage(12, 12)


@pytest.mark.parametrize("model", [None, "", 7, "m" * 300])
def test_without_a_sensible_model_the_asked_one_is_reported(model: object) -> None:
    assert parse(answer(item(0, encoded(1)), model=model)).model == "asked"


def ordered(*indices: object, texts: int | None = None) -> list[str | None]:
    """The letters a, b, c of items with these indices, in the order of the texts."""
    items: list[Item] = [
        {"embedding": entry} | ({} if index == "absent" else {"index": index})
        for entry, index in zip("abcdef", indices, strict=False)
    ]
    found = in_order(items, len(items) if texts is None else texts)
    return [None if item is None else str(item["embedding"]) for item in found]


@pytest.mark.parametrize(
    ("indices", "order"),
    [
        ((0, 1, 2), "abc"),
        ((2, 0, 1), "bca"),
        (("absent", "absent", "absent"), "abc"),
        ((None, None, None), "abc"),
        (("absent", 1, 2), "abc"),
        ((2, "absent", 1), "bca"),
        ((0, None, 2), "abc"),
        (("2", "0", "1"), "bca"),
        ((2.0, 0.0, 1.0), "bca"),
        ((3, 1, 2), "bca"),
        ((None, None, 2), "abc"),
    ],
)
def test_each_text_gets_its_own_item(indices: tuple[object, ...], order: str) -> None:
    assert ordered(*indices) == list(order)


@pytest.mark.parametrize("index", [0, 1, -1, None, "absent", "x", True, 1.5, [0]])
def test_a_text_alone_gets_the_one_item_whatever_its_index(index: object) -> None:
    assert ordered(index) == ["a"]


@pytest.mark.parametrize(
    ("indices", "complaint"),
    [
        ((0, 0, 0), "one at a time"),
        ((1, 1, 1), "one at a time"),
        ((0, 1, 1), "one at a time"),
        ((None, None, 0), "missing in 2 of 3"),
        ((None, 1, 1), "missing in 1 of 3"),
        ((0, 1, 7), "out of range"),
        ((0, 1, -2), "no place in a list"),
        ((0, 1, "two"), "no place in a list"),
        ((0, 1, 1.5), "no place in a list"),
        ((False, True, 2), "no place in a list"),
    ],
)
def test_an_order_that_is_not_certain_is_not_guessed_at(indices: tuple[object, ...], complaint: str) -> None:
    with pytest.raises(RetryableError, match=complaint) as caught:
        ordered(*indices)
    assert caught.value.reason is RetryReason.BAD_RESPONSE


def test_a_gap_before_the_last_text_is_certain() -> None:
    assert ordered(2, 0, texts=3) == ["b", None, "a"]


@pytest.mark.parametrize("indices", [(0, 1), (1, 1), (None, 2), (2, 2), (0, 3)])
def test_items_that_may_have_been_numbered_anew_are_not_trusted(indices: tuple[object, ...]) -> None:
    with pytest.raises(RetryableError, match="2 vectors for 3 texts"):
        ordered(*indices, texts=3)


@pytest.mark.parametrize(
    ("count", "texts", "complaint"),
    [(0, 1, "0 vectors for 1 text$"), (0, 3, "0 vectors for 3 texts"), (3, 2, "3 vectors for 2 texts")],
)
def test_too_many_or_none_are_refused(count: int, texts: int, complaint: str) -> None:
    with pytest.raises(RetryableError, match=complaint):
        ordered(*range(count), texts=texts)
