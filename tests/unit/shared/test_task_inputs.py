"""The input of an embedding task: how it is parsed and refused, its length, and its pieces."""

import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import NonRetryableError
from shared.models import BatchKey, JsonValue, TaskType, TextLength
from shared.task_inputs import (
    DEFAULT_MODEL,
    INPUT_TYPES,
    MAX_DIMENSIONS,
    MAX_MODEL_CHARACTERS,
    MAX_TEXT_TOKENS,
    EmbeddingInput,
    judge_length,
    read_input,
    split_text,
)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
JSON_VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def refusal(payload: JsonValue) -> str:
    with pytest.raises(NonRetryableError) as caught:
        EmbeddingInput.parse(payload)
    return str(caught.value)


def test_bare_string_is_the_text() -> None:
    assert EmbeddingInput.parse("hello") == EmbeddingInput("hello", DEFAULT_MODEL, None)


def test_object_may_name_model_and_dimensions() -> None:
    parsed = EmbeddingInput.parse({"text": "hello", "model": "large", "dimensions": 256, "more": 1})
    assert parsed == EmbeddingInput("hello", "large", 256)


def test_null_model_and_dimensions_mean_the_defaults() -> None:
    parsed = EmbeddingInput.parse({"text": "hello", "model": None, "dimensions": None})
    assert parsed == EmbeddingInput("hello")


@pytest.mark.parametrize("dimensions", [1, 65_536])
def test_dimensions_at_the_edges_are_taken(dimensions: int) -> None:
    assert EmbeddingInput.parse({"text": "a", "dimensions": dimensions}).dimensions == dimensions


@pytest.mark.parametrize("model", ["m", "m" * 256])
def test_model_names_at_the_edges_are_taken(model: str) -> None:
    assert EmbeddingInput.parse({"text": "a", "model": model}).model == model


@pytest.mark.parametrize("payload", [None, 1, 1.5, True, [], ["text"]])
def test_what_is_neither_text_nor_object_is_refused(payload: JsonValue) -> None:
    assert refusal(payload) == 'input: expected a text, or an object with "text"'


@pytest.mark.parametrize("text", [None, 1, ["a"], {"text": "a"}])
def test_text_that_is_no_string_is_refused(text: JsonValue) -> None:
    assert refusal({"text": text}) == 'input: "text" is missing or no string'


@pytest.mark.parametrize("text", ["", " ", "\n\t\u2003"])
def test_text_without_a_word_is_refused(text: str) -> None:
    assert refusal(text) == refusal({"text": text}) == 'input: "text" is empty'


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_text_with_a_lone_surrogate_is_refused(text: str) -> None:
    assert "lone surrogate" in refusal(text)


@pytest.mark.parametrize("model", ["", " ", 5, ["m"], "m" * (MAX_MODEL_CHARACTERS + 1), "\ud800"])
def test_model_without_a_usable_name_is_refused(model: JsonValue) -> None:
    assert '"model" must be a name of 1 to 256 characters' in refusal({"text": "a", "model": model})


@pytest.mark.parametrize("dimensions", [0, -1, 1.5, "256", True, MAX_DIMENSIONS + 1, [256]])
def test_dimensions_that_are_no_whole_number_in_range_are_refused(dimensions: JsonValue) -> None:
    said = refusal({"text": "a", "dimensions": dimensions})
    assert said == 'input: "dimensions" must be a whole number from 1 to 65536'


@given(JSON_VALUES)
def test_no_input_raises_anything_but_a_refusal(payload: JsonValue) -> None:
    try:
        parsed = EmbeddingInput.parse(payload)
    except NonRetryableError as error:
        assert str(error).startswith("input: ")
    else:
        assert parsed.size_bytes >= 1


@given(text=st.text(min_size=1).filter(lambda text: not text.isspace()))
def test_what_was_written_to_the_disk_is_read_again_as_it_was(text: str) -> None:
    parsed = EmbeddingInput.parse({"text": text, "model": "m", "dimensions": 3})
    assert read_input(TaskType.TEXT_EMBEDDING, orjson.loads(orjson.dumps(parsed))) == parsed


def test_tasks_share_a_call_by_type_model_and_dimensions() -> None:
    parsed = EmbeddingInput.parse({"text": "a", "model": "m", "dimensions": 3})
    assert parsed.key == BatchKey(TaskType.TEXT_EMBEDDING, "m", 3)


@pytest.mark.parametrize(("text", "size_bytes"), [("a", 1), ("a" * 400, 400), ("é" * 400, 800), ("😀", 4)])
def test_size_is_that_of_the_text_in_utf8(text: str, size_bytes: int) -> None:
    assert EmbeddingInput.parse(text).size_bytes == size_bytes


def test_equal_texts_have_one_content_id_and_others_have_another() -> None:
    ids = [EmbeddingInput.parse(given).content_id for given in ("a", {"text": "a", "model": "m"}, "b", "a ")]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert all(len(each) == 32 for each in ids)


def test_every_task_type_has_an_input() -> None:
    assert set(INPUT_TYPES) == set(TaskType)


MODEL = "text-embedding-3-small"


@pytest.mark.parametrize("text", ["", "a", "a " * 4096, "é" * 4096])
def test_text_of_no_more_bytes_than_tokens_allowed_fits(text: str) -> None:
    assert judge_length(text, MODEL) is TextLength.FITS


def test_text_of_more_words_than_tokens_allowed_does_not_fit() -> None:
    assert judge_length("a " * (MAX_TEXT_TOKENS + 1), MODEL) is TextLength.OVER
    assert judge_length("123" * (MAX_TEXT_TOKENS + 1), MODEL) is TextLength.OVER


@pytest.mark.parametrize("text", ["a", "a ", "漢", " ", "1"])
def test_text_that_no_tokens_are_long_enough_for_is_over_without_a_look(text: str) -> None:
    began = time.thread_time()
    assert judge_length(text * 20_000_000, MODEL) is TextLength.OVER
    assert time.thread_time() - began < 0.2


@pytest.mark.parametrize("text", ["word " * 8000, "漢" * 8000])
def test_text_that_may_or_may_not_fit_is_doubtful(text: str) -> None:
    assert judge_length(text, MODEL) is TextLength.DOUBTFUL


def test_ordinary_prose_well_below_the_limit_fits() -> None:
    assert judge_length("an ordinary sentence of some length. " * 500, MODEL) is TextLength.FITS


def test_models_of_others_have_limits_of_their_own() -> None:
    assert judge_length("a " * 20_000, "some-other-model") is TextLength.FITS


TEXTS = st.text(st.sampled_from("ab é😀\n"), max_size=300)


@given(text=TEXTS, max_bytes=st.integers(4, 40))
def test_pieces_fit_and_make_up_the_text(text: str, max_bytes: int) -> None:
    pieces = split_text(text, max_bytes)
    assert pieces
    assert all(len(piece.encode()) <= max_bytes for piece in pieces)
    assert text.startswith("".join(pieces))
    assert not text[len("".join(pieces)) :].strip()


def test_pieces_are_cut_between_words_where_there_are_any() -> None:
    assert split_text("one two three", 9) == ["one two ", "three"]
    assert split_text("onetwothree", 5) == ["onetw", "othre", "e"]


@pytest.mark.timeout(10)
def test_very_long_text_is_cut_in_little_time() -> None:
    assert len(split_text("a word " * 3_000_000)) > 2500
