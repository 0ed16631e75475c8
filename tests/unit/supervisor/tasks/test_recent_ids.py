"""Ids are remembered for a while, and no longer."""

import itertools
import statistics
import time

import pytest

from supervisor.tasks.reports import RecentIds


def test_task_is_remembered_until_its_time_is_over() -> None:
    memory = RecentIds(600.0)
    memory.note("a", 100.0)
    assert memory.noted_at("a", 700.0) == 100.0
    assert memory.noted_at("a", 700.1) is None
    assert memory.noted_at("b", 100.0) is None


def test_task_noted_again_is_remembered_anew() -> None:
    memory = RecentIds(600.0)
    memory.note("a", 100.0)
    memory.note("a", 500.0)
    assert memory.noted_at("a", 1000.0) == 500.0


def test_what_is_too_old_goes() -> None:
    memory = RecentIds(600.0)
    for number in range(3000):
        memory.note(f"t{number}", number * 10.0)
    assert len(memory) == 61


def test_memory_is_bounded_in_entries_and_says_since_when_it_is_complete() -> None:
    memory = RecentIds(600.0, max_entries=10)
    for number in range(100):
        memory.note(f"t{number}", float(number))
    assert len(memory) == 10
    assert memory.noted_at("t90", 99.0) == 90.0
    assert memory.is_complete_since(90.0, 99.0)
    assert not memory.is_complete_since(89.0, 99.0)
    assert not memory.is_complete_since(90.0, 700.0), "it keeps nothing for so long"


@pytest.mark.parametrize("entry", ["a", "\U0001f600"])
def test_memory_is_bounded_in_bytes_however_long_the_ids_are(entry: str) -> None:
    memory = RecentIds(1e9, max_bytes=100_000)
    for number in range(10_000):
        memory.note(f"{entry * 1000}{number}", float(number))
        memory.note("the same", float(number))
    assert 0 < len(memory) * 1000 <= memory.size_bytes <= 100_000


def test_to_remember_costs_no_more_when_as_many_ids_are_forgotten_at_once() -> None:
    """1,000 tasks a second for half an hour, of which every twentieth is played."""
    memory = RecentIds(600.0, max_entries=30_000)
    ids = (f"t{number}" for number in itertools.count())

    def minute(now: float) -> float:
        began = time.thread_time()
        for number in range(3000):
            memory.note(next(ids), now + number / 50)
        return time.thread_time() - began

    minutes = [minute(60.0 * number) for number in range(30)]
    filling, full = statistics.median(minutes[1:9]), statistics.median(minutes[-10:])
    assert full < 4 * filling
    assert len(memory) <= 30_000
