"""Texts of tasks do not reach what is logged and shown."""

import random
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import Blame, RetryReason
from shared.messages import Failure, UnitDone
from tests.builders import make_output
from tests.unit.workers.units import make_unit
from workers.process.redaction import HIDDEN, with_shown_words, without_quotes

DIARY = "Dear diary, on Tuesday the third of May we climbed the hill behind the old mill again."
MB = 10**6


def shown(message: str, *texts: str) -> str:
    return without_quotes([message], texts)[message]


def test_message_that_quotes_nothing_is_left_as_it_is() -> None:
    message = "the model `m` does not exist; on Tuesday it did"
    assert shown(message, DIARY) == message


def test_whole_text_is_hidden_however_short() -> None:
    assert shown("bad input 'basalt'", "basalt") == f"bad input '{HIDDEN}'"


def test_texts_of_three_characters_hide_nothing() -> None:
    assert shown("cannot do that", "do") == "cannot do that"


def test_piece_of_a_text_is_hidden() -> None:
    message = f"unexpected token near {DIARY[7:60]} (line 1)"
    assert shown(message, DIARY) == f"unexpected token near {HIDDEN} (line 1)"


def test_pieces_of_two_texts_are_hidden_each() -> None:
    message = f"neither '{DIARY[:30]}' nor '{DIARY[45::-1]}' is known"
    assert shown(message, DIARY, DIARY[::-1]) == f"neither '{HIDDEN}' nor '{HIDDEN}' is known"


@given(st.integers(0, 60), st.integers(24, 80), st.text(alphabet="xyz ", max_size=40))
def test_no_run_of_24_characters_survives(start: int, length: int, around: str) -> None:
    told = shown(f"{around}{DIARY[start : start + length]}{around}", DIARY)
    assert not any(told[i : i + 24] in DIARY for i in range(len(told) - 23))


@given(st.text("ab", max_size=60), st.text("ab", min_size=24, max_size=200))
@example("a" * 24, "b" * 11 + "a" * 24)
def test_exactly_what_both_have_in_common_is_hidden(message: str, text: str) -> None:
    common = [place for place in range(len(message) - 23) if message[place : place + 24] in text]
    hidden = {place + i for place in common for i in range(24)}
    kept = "".join(character for place, character in enumerate(message) if place not in hidden)
    assert shown(message, text).replace(HIDDEN, "") == kept


@pytest.mark.parametrize(
    "text",
    ["a" * MB, "abcdefghijk " * (MB // 12), '"' * MB, "\\" * MB, "a\n" * (MB // 2), "\U0001f600" * MB],
    ids=["one letter", "words", "quotes", "backslashes", "lines", "emoji"],
)
def test_message_that_quotes_a_long_text_takes_time_in_proportion(text: str) -> None:
    message = f"cannot read {text}"
    began = time.thread_time()
    assert HIDDEN in shown(message, text)
    assert time.thread_time() - began < 1.0


def test_many_messages_are_compared_with_many_texts_at_once() -> None:
    draw = random.Random(5)
    texts = ["".join(draw.choices("abcdefgh ", k=10_000)) for _ in range(100)]
    messages = [f"cannot read {text}" for text in texts]
    began = time.thread_time()
    assert len(set(without_quotes(messages, texts).values())) == 1
    assert time.thread_time() - began < 1.0


def test_message_that_was_cut_says_so() -> None:
    assert len(shown("x" * 1000)) == 300
    assert shown("x" * 1000).endswith("…")
    assert shown("x" * 300) == "x" * 300


@given(st.integers(200, 340))
def test_quotation_at_the_cut_is_hidden(place: int) -> None:
    told = shown("-" * place + DIARY + "-" * 100, DIARY)
    assert not any(DIARY[i : i + 4] in told for i in range(len(DIARY) - 3))


def test_words_of_every_failure_of_a_unit_are_without_texts() -> None:
    unit = make_unit(["basalt", "granite"])
    good, bad = (task.id for task in unit.tasks)
    done = UnitDone(1, {good: make_output(), bad: Failure("no 'granite'", blame=Blame.PROCESSOR)})
    told = with_shown_words(done, unit.tasks)
    assert told.outcomes == {
        good: make_output(),
        bad: Failure("no 'granite'", blame=Blame.PROCESSOR, shown=f"no '{HIDDEN}'"),
    }
    whole = with_shown_words(UnitDone(1, failure=Failure("no 'basalt'")), unit.tasks).failure
    assert whole == Failure("no 'basalt'", shown=f"no '{HIDDEN}'")


def test_own_words_of_the_client_stay() -> None:
    unit = make_unit(["answered"])
    failure = Failure("the provider has not answered", RetryReason.TIMEOUT)
    assert with_shown_words(UnitDone(1, failure=failure), unit.tasks).failure == failure
