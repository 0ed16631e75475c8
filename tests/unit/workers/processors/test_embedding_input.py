"""The input of an embedding task: how it is parsed and refused, its length, and its pieces."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import NonRetryableError
from shared.models import BatchKey, JsonValue, TextLength
from workers.processors.base import MAX_INPUT_VALUES
from workers.processors.text_embedding import (
    DEFAULT_MODEL,
    MAX_TEXT_TOKENS,
    TEXT_EMBEDDING,
    EmbeddingInput,
    EmbeddingSettings,
    TextEmbeddingProcessor,
    judge_length,
    split_text,
)
from workers.providers.base import MAX_DIMENSIONS, MAX_MODEL_CHARACTERS

PROCESSOR = TextEmbeddingProcessor(EmbeddingSettings.model_construct(None))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
JSON_VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def parse(given: JsonValue) -> EmbeddingInput:
    return PROCESSOR.parse(given)


def refusal(payload: JsonValue) -> str:
    with pytest.raises(NonRetryableError) as caught:
        parse(payload)
    return str(caught.value)


def test_bare_string_is_the_text() -> None:
    assert parse("hello") == EmbeddingInput(text="hello", model=DEFAULT_MODEL)


def test_object_may_name_model_and_dimensions() -> None:
    parsed = parse({"text": "hello", "model": "large", "dimensions": 256, "more": 1})
    assert parsed == EmbeddingInput(text="hello", model="large", dimensions=256)


def test_null_model_and_dimensions_mean_the_defaults() -> None:
    parsed = parse({"text": "hello", "model": None, "dimensions": None})
    assert parsed == EmbeddingInput(text="hello", model=DEFAULT_MODEL)


@pytest.mark.parametrize("dimensions", [1, 65_536])
def test_dimensions_at_the_edges_are_taken(dimensions: int) -> None:
    assert parse({"text": "a", "dimensions": dimensions}).dimensions == dimensions


@pytest.mark.parametrize("model", ["m", "m" * 256])
def test_model_names_at_the_edges_are_taken(model: str) -> None:
    assert parse({"text": "a", "model": model}).model == model


@pytest.mark.parametrize("payload", [None, 1, 1.5, True, [], ["text"]])
def test_what_is_neither_text_nor_object_is_refused(payload: JsonValue) -> None:
    assert refusal(payload) == 'input: must be an object, or a string, which is the "text"'


@pytest.mark.parametrize("text", [None, 1, ["a"], {"text": "a"}])
def test_text_that_is_no_string_is_refused(text: JsonValue) -> None:
    assert refusal({"text": text}) == 'input: "text" must be a string'


@pytest.mark.parametrize("text", ["", " ", "\n\t\u2003"])
def test_text_without_a_word_is_refused(text: str) -> None:
    assert refusal(text) == refusal({"text": text}) == 'input: "text" is empty'


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_text_with_a_lone_surrogate_is_refused(text: str) -> None:
    assert "lone surrogate" in refusal(text)


@pytest.mark.parametrize("model", ["", " ", 5, ["m"], "m" * (MAX_MODEL_CHARACTERS + 1)])
def test_model_without_a_usable_name_is_refused(model: JsonValue) -> None:
    assert refusal({"text": "a", "model": model}).startswith('input: "model" ')


@pytest.mark.parametrize("dimensions", [0, -1, 1.5, "256", True, MAX_DIMENSIONS + 1, [256]])
def test_dimensions_that_are_no_whole_number_in_range_are_refused(dimensions: JsonValue) -> None:
    said = refusal({"text": "a", "dimensions": dimensions})
    assert re.fullmatch(
        r'input: "dimensions" must be (a whole number|(greater|less) than or equal to \d+)', said
    )


@given(JSON_VALUES)
def test_no_input_raises_anything_but_a_refusal(payload: JsonValue) -> None:
    try:
        parsed = parse(payload)
    except NonRetryableError as error:
        assert str(error).startswith("input: ")
    else:
        assert PROCESSOR.size_bytes(parsed) >= 1


def test_tasks_share_a_call_by_type_model_and_dimensions() -> None:
    parsed = parse({"text": "a", "model": "m", "dimensions": 3})
    assert PROCESSOR.key(parsed) == BatchKey(TEXT_EMBEDDING, "m", "3")


@pytest.mark.parametrize(("text", "size_bytes"), [("a", 1), ("a" * 400, 400), ("é" * 400, 800), ("😀", 4)])
def test_size_is_that_of_the_text_in_utf8(text: str, size_bytes: int) -> None:
    assert PROCESSOR.size_bytes(parse(text)) == size_bytes


def test_equal_questions_are_known_as_one_and_others_are_not() -> None:
    given: list[JsonValue] = [
        "a",
        {"text": "a", "model": DEFAULT_MODEL},
        "b",
        "a ",
        {"text": "a", "dimensions": 3},
    ]
    questions = [PROCESSOR.make_task(parse(each), "t").question for each in given]
    assert questions[0] == questions[1]
    assert len(set(questions)) == 4


def test_several_faults_are_one_sentence() -> None:
    said = refusal({"text": 1, "model": 2, "dimensions": "3"})
    assert said == (
        'input: "text" must be a string; "model" must be a string; "dimensions" must be a whole number'
    )


def test_missing_text_is_said_to_be_missing() -> None:
    assert refusal({"model": "m"}) == 'input: "text" is missing'


def test_input_of_very_many_values_is_not_looked_at() -> None:
    assert refusal({"text": "a", "more": [1] * MAX_INPUT_VALUES}) == "input: has more than 100,000 values"


def test_model_and_dimensions_of_the_settings_hold_where_the_task_names_none() -> None:
    settings = EmbeddingSettings.model_construct(None, embedding_dimensions=64)
    processor = TextEmbeddingProcessor(settings, default_model="house-model")
    assert processor.parse("a") == EmbeddingInput(text="a", model="house-model", dimensions=64)
    assert processor.parse({"text": "a", "model": "m", "dimensions": 8}).model == "m"


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
