"""Waits before retries stay within their bounds, whatever a server says."""

import email.utils
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from shared.retry import MAX_BACKOFF_SECONDS, MAX_RETRY_AFTER_SECONDS, Backoff, parse_retry_after

WALL_SECONDS = 1_700_000_000.0


def longest(_: float, high: float) -> float:
    return high


def retry_after(value: str, name: str = "Retry-After") -> float | None:
    return parse_retry_after(HTTPHeaderDict({name: value}), WALL_SECONDS)


@given(
    factor=st.floats(1, 60), attempt=st.integers(1, 10_000), ceiling=st.floats(0.1, 600), seed=st.integers()
)
@example(factor=60.0, attempt=10_000, ceiling=60.0, seed=0)
def test_wait_is_between_zero_and_the_bound(factor: float, attempt: int, ceiling: float, seed: int) -> None:
    backoff = Backoff(factor, random.Random(seed).uniform, ceiling)
    assert 0.0 <= backoff.seconds(attempt) <= backoff.bound_seconds(attempt) <= ceiling


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 2.0), (2, 4.0), (3, 8.0), (5, 32.0), (6, 60.0)])
def test_bound_is_the_factor_to_the_power_of_the_attempt_up_to_a_minute(attempt: int, seconds: float) -> None:
    assert Backoff(2.0, longest).seconds(attempt) == seconds


def test_jitter_is_full() -> None:
    draws: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        draws.append((low, high))
        return low

    assert Backoff(3.0, draw).seconds(2) == 0.0
    assert draws == [(0.0, 9.0)]


@given(factor=st.floats(1, 60), attempt=st.integers(1, 1000))
def test_bound_never_falls_from_one_attempt_to_the_next(factor: float, attempt: int) -> None:
    backoff = Backoff(factor, longest)
    assert backoff.bound_seconds(attempt) <= backoff.bound_seconds(attempt + 1) <= MAX_BACKOFF_SECONDS


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("1.5", 1.5), (" 3 ", 3.0), ("0.25", 0.25), ("86400", 3600.0)],
)
def test_retry_after_may_be_seconds(value: str, seconds: float) -> None:
    assert retry_after(value) == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(90, 90.0), (10**6, MAX_RETRY_AFTER_SECONDS)])
def test_retry_after_may_be_a_date(ahead: int, seconds: float) -> None:
    assert retry_after(email.utils.formatdate(WALL_SECONDS + ahead, usegmt=True)) == seconds


@pytest.mark.parametrize("value", ["0", "0.0", "-0", "-5", "-0.001"])
@pytest.mark.parametrize("name", ["Retry-After", "retry-after-ms"])
def test_wait_of_nothing_or_less_says_nothing(name: str, value: str) -> None:
    assert retry_after(value, name) is None


@pytest.mark.parametrize("ago", [0, 1, 90, 10**9])
def test_date_that_is_over_says_nothing(ago: int) -> None:
    assert retry_after(email.utils.formatdate(WALL_SECONDS - ago, usegmt=True)) is None


def test_milliseconds_win_over_seconds() -> None:
    headers = HTTPHeaderDict({"retry-after-ms": "250", "retry-after": "10"})
    assert parse_retry_after(headers, WALL_SECONDS) == 0.25


@pytest.mark.parametrize("milliseconds", ["soon", "0", "-1"])
def test_milliseconds_that_say_nothing_leave_the_word_to_seconds(milliseconds: str) -> None:
    headers = HTTPHeaderDict({"retry-after-ms": milliseconds, "retry-after": "10"})
    assert parse_retry_after(headers, WALL_SECONDS) == 10.0


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "-inf", "1e999", "12 parsecs", "Mon, 99 Foo"])
def test_nonsense_says_nothing(value: str) -> None:
    assert retry_after(value) is None


def test_absent_header_says_nothing() -> None:
    assert parse_retry_after(HTTPHeaderDict(), WALL_SECONDS) is None


DAYS = ["Mon,", "Mon", "1", "99", "Jan", "jan,", "2024", "24", "0", "2024-01-01", "99999999999999999", "²"]
TIMES = [
    "10:11:12",
    "10:11",
    "10.11.12",
    "10:11:12+0100",
    "GMT",
    "-0000",
    "+9999",
    "-9999",
    "+",
    "-",
    ",",
    ":",
]
DATE_WORDS = st.sampled_from(DAYS + TIMES)


@given(
    value=st.text() | st.lists(DATE_WORDS, max_size=7).map(" ".join),
    name=st.sampled_from(["retry-after", "retry-after-ms"]),
)
def test_no_header_raises_or_asks_for_more_than_an_hour(value: str, name: str) -> None:
    seconds = retry_after(value, name)
    assert seconds is None or 0.0 < seconds <= MAX_RETRY_AFTER_SECONDS
