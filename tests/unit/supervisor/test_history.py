"""What has finished lately."""

from dataclasses import replace

import pytest

from shared.models import TaskStatus
from supervisor.journal.task_record import Report
from supervisor.status.history import (
    BUCKET_SECONDS,
    BUCKETS,
    EMPTY_BUCKET,
    MAX_DEATHS,
    MAX_FAILURES,
    History,
)
from tests.builders import make_report
from tests.fakes.clock import Clock

WALL_SECONDS = 1_767_225_600.0


def failed(message: str, task_id: str = "task-1") -> Report:
    return replace(make_report(task_id, status=TaskStatus.FAILED), message=message)


@pytest.fixture
def wall() -> Clock:
    return Clock(WALL_SECONDS)


@pytest.fixture
def history(clock: Clock, wall: Clock) -> History:
    return History(clock, wall)


def test_new_history_is_empty_and_spans_15_minutes(history: History) -> None:
    activity = history.activity()
    assert activity.buckets == (EMPTY_BUCKET,) * BUCKETS
    assert activity.bucket_seconds * len(activity.buckets) == 900
    assert activity.finished_per_second == 0
    assert not history.failures()
    assert not history.deaths()
    assert not history.tokens()


def test_tasks_are_counted_in_the_stretch_they_finish_in(history: History, clock: Clock) -> None:
    history.succeeded(make_report(), "m")
    clock.advance(BUCKET_SECONDS)
    history.succeeded(make_report(), "m")
    history.failed(failed("no"))
    *_, before, current = history.activity().buckets
    assert (before.succeeded, before.failed) == (1, 0)
    assert (current.succeeded, current.failed) == (1, 1)


def test_latency_is_from_the_poll_to_the_result(history: History) -> None:
    history.succeeded(replace(make_report(), queue_seconds=3.0, run_seconds=1.0), "m")
    assert history.activity().total.median_seconds == pytest.approx(4.0, rel=0.05)


def test_failed_tasks_have_no_latency(history: History) -> None:
    history.failed(failed("no"))
    assert history.activity().total.median_seconds is None


@pytest.mark.parametrize("seconds", [899, 905, 10_000_000])
def test_total_forgets_what_is_older_than_15_minutes(history: History, clock: Clock, seconds: float) -> None:
    history.succeeded(replace(make_report(), run_seconds=1.0), "m")
    history.failed(failed("no"))
    clock.advance(seconds)
    total = history.activity().total
    assert total.succeeded == sum(bucket.succeeded for bucket in history.activity().buckets)
    assert total.succeeded == total.failed == (1 if seconds < 900 else 0)
    assert (total.median_seconds is None) == (seconds >= 900)


def test_rate_is_over_the_last_minute(history: History, clock: Clock) -> None:
    clock.advance(600)
    for _ in range(120):
        history.succeeded(make_report(), "m")
    clock.advance(BUCKET_SECONDS - 1e-6)
    assert history.activity().finished_per_second == pytest.approx(2.0, rel=0.01)
    clock.advance(60)
    assert history.activity().finished_per_second == 0


def test_rate_of_a_young_service_is_over_its_age(history: History, clock: Clock) -> None:
    for _ in range(30):
        history.succeeded(make_report(), "m")
    clock.advance(3)
    assert history.activity().finished_per_second == pytest.approx(10.0)


def test_tokens_are_summed_by_model_the_most_used_first(history: History) -> None:
    for model, tokens in (("small", 5), ("large", 40), ("small", 7)):
        history.succeeded(replace(make_report(), tokens=tokens), model)
    assert [(row.model, row.tasks, row.tokens) for row in history.tokens()] == [
        ("large", 1, 40),
        ("small", 2, 12),
    ]


def test_models_beyond_fifty_are_one(history: History) -> None:
    for number in range(1000):
        history.succeeded(make_report(), f"model-{number}")
    assert len(history.tokens()) == 51
    assert history.tokens()[0].tasks == 950


def test_failures_with_one_message_are_one_with_a_count(history: History, wall: Clock) -> None:
    history.failed(failed("no such model", "first"))
    history.failed(failed("too long", "second"))
    wall.advance(9)
    history.failed(failed("no such model", "third"))
    latest, older = history.failures()
    assert (latest.message, latest.count, latest.task_id) == ("no such model", 2, "third")
    assert latest.at_seconds == WALL_SECONDS + 9
    assert (older.message, older.count) == ("too long", 1)


def test_only_the_last_twenty_failures_and_deaths_are_kept(history: History) -> None:
    for number in range(1000):
        history.failed(failed(f"message {number}"))
        history.died(0, f"way {number}", 0)
    assert [row.message for row in history.failures()][:2] == ["message 999", "message 998"]
    assert len(history.failures()) == MAX_FAILURES
    assert [row.how for row in history.deaths()][:2] == ["way 999", "way 998"]
    assert len(history.deaths()) == MAX_DEATHS


def test_how_a_worker_died_is_cut(history: History) -> None:
    history.died(0, "y" * 100_000, 0)
    assert len(history.deaths()[0].how) == 300


def test_jump_of_the_wall_clock_moves_no_bucket(history: History, wall: Clock) -> None:
    history.succeeded(make_report(), "m")
    wall.advance(-86_400 * 365)
    assert history.activity().buckets[-1].succeeded == 1
