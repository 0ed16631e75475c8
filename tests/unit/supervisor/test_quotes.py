"""Texts of tasks do not reach what is shown."""

import time

from hypothesis import given
from hypothesis import strategies as st

from shared.models import JsonValue
from supervisor.status.redaction import HIDDEN, NOT_SHOWN, shortened, texts_of, without_quotes

DIARY = "Dear diary, on Tuesday the third of May we climbed the hill behind the old mill again."


def test_message_that_quotes_nothing_is_left_as_it_is() -> None:
    message = "the model `m` does not exist; on Tuesday it did"
    assert without_quotes(message, [DIARY]) == message


def test_whole_text_is_hidden_however_short() -> None:
    assert without_quotes("bad input 'basalt'", ["basalt"]) == f"bad input '{HIDDEN}'"


def test_texts_of_three_characters_hide_nothing() -> None:
    assert without_quotes("cannot do that", ["do"]) == "cannot do that"


def test_piece_of_a_text_is_hidden() -> None:
    message = f"unexpected token near {DIARY[7:60]} (line 1)"
    assert without_quotes(message, [DIARY]) == f"unexpected token near {HIDDEN} (line 1)"


@given(st.integers(0, 60), st.integers(24, 80), st.text(alphabet="xyz ", max_size=40))
def test_no_run_of_24_characters_survives(start: int, length: int, around: str) -> None:
    shown = without_quotes(f"{around}{DIARY[start : start + length]}{around}", [DIARY])
    assert not any(shown[i : i + 24] in DIARY for i in range(len(shown) - 23))


def test_long_text_and_message_take_no_noticeable_time() -> None:
    text = "abcdefghijk " * 3000
    began = time.perf_counter()
    without_quotes("abcdefghijk " * 25, [text])
    assert time.perf_counter() - began < 0.5


def test_every_string_of_an_input_is_a_text_but_the_model() -> None:
    payload: JsonValue = {"text": "a", "model": "m", "more": ["b", {"c": "d"}, 3, None]}
    assert list(texts_of(payload, but="m")) == ["a", "b", "d"]
    assert list(texts_of("bare")) == ["bare"]


def test_shown_message_is_bounded_before_it_is_searched() -> None:
    began = time.perf_counter()
    shown = shortened("abcdefghijk " * 1_000_000, ["abcdefghijk " * 3000])
    assert time.perf_counter() - began < 0.5
    assert len(shown) <= 300


def test_message_that_was_cut_says_so() -> None:
    assert len(shortened("x" * 1000, ())) == 300
    assert shortened("x" * 1000, ()).endswith("…")
    assert shortened("x" * 300, ()) == "x" * 300


@given(st.integers(200, 340))
def test_quotation_at_the_cut_is_hidden(place: int) -> None:
    shown = shortened("-" * place + DIARY + "-" * 100, [DIARY])
    assert not any(DIARY[i : i + 4] in shown for i in range(len(DIARY) - 3))


def test_message_that_quotes_nothing_of_very_much_text_is_shown() -> None:
    assert shortened("the provider failed", ["lorem ipsum " * 100_000]) == "the provider failed"


def test_message_that_may_quote_very_much_text_is_not_shown_and_takes_no_noticeable_time() -> None:
    texts = [f"{number} words of a provider that failed " * 1500 for number in range(100)]
    began = time.perf_counter()
    assert shortened("words of a provider that failed, " * 10, texts) == NOT_SHOWN
    assert time.perf_counter() - began < 0.5
