"""Whether a text fits is judged by bounds that hold; a long one is cut into pieces that surely fit."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models import TextLength
from shared.task_inputs import MAX_TEXT_TOKENS, judge_length, split_text

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
