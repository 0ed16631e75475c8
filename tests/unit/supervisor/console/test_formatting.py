"""Numbers and times as people read them."""

import pytest

from supervisor.console import formatting


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.0314, "31 ms"),
        (0.9999, "1.0 s"),
        (1.04, "1.0 s"),
        (9.97, "10 s"),
        (59.6, "1 min"),
        (65, "1 min 5 s"),
        (3600, "1 h"),
        (3725, "1 h 2 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, words: str) -> None:
    assert formatting.duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "just now"), (0.4, "just now"), (1.9, "1 s ago"), (200, "3 min ago"), (90_000, "1 d ago")],
)
def test_what_is_past_has_one_unit(seconds: float, words: str) -> None:
    assert formatting.ago(seconds) == words


@pytest.mark.parametrize(
    ("per_second", "words"),
    [(0, "0/s"), (1234.5, "1,234/s"), (4.26, "4.3/s"), (0.9, "54/min"), (0.1, "6/min"), (0.01, "0.6/min")],
)
def test_rates_choose_their_unit(per_second: float, words: str) -> None:
    assert formatting.rate(per_second) == words


def test_one_task_waits_and_two_wait() -> None:
    assert (formatting.waits(1), formatting.waits(2000)) == ("1 task waits", "2,000 tasks wait")


def test_times_are_utc() -> None:
    assert formatting.clock_time(1_767_225_600.0) == "00:00:00"
    assert formatting.iso_time(1_767_225_600.0) == "2026-01-01T00:00:00+00:00"
