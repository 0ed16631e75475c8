"""What has finished lately."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.status.history import (
    BUCKET_SECONDS,
    BUCKETS,
    EMPTY_BUCKET,
    MAX_DEATHS,
    MAX_FAILURES,
    MAX_LATENCY_SECONDS,
    History,
    LatencyCounts,
)
from tests.fakes.clock import Clock

WALL_SECONDS = 1_767_225_600.0


def succeed(history: History, model: str = "m", seconds: float = 1.0, tokens: int = 1) -> None:
    history.succeeded(model, seconds, tokens)


def fail(history: History, message: str = "no", task_id: str = "task-1") -> None:
    history.failed(task_id, "text_embedding", message)


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
    succeed(history)
    clock.advance(BUCKET_SECONDS)
    succeed(history)
    fail(history)
    *_, before, current = history.activity().buckets
    assert (before.succeeded, before.failed) == (1, 0)
    assert (current.succeeded, current.failed) == (1, 1)


def test_median_is_of_what_the_results_took(history: History) -> None:
    succeed(history, seconds=4.0)
    assert history.activity().total.median_seconds == pytest.approx(4.0, rel=0.05)


def test_failed_tasks_have_no_latency(history: History) -> None:
    fail(history)
    assert history.activity().total.median_seconds is None


@pytest.mark.parametrize("seconds", [899, 905, 10_000_000])
def test_total_forgets_what_is_older_than_15_minutes(history: History, clock: Clock, seconds: float) -> None:
    succeed(history)
    fail(history)
    clock.advance(seconds)
    total = history.activity().total
    assert total.succeeded == sum(bucket.succeeded for bucket in history.activity().buckets)
    assert total.succeeded == total.failed == (1 if seconds < 900 else 0)
    assert (total.median_seconds is None) == (seconds >= 900)


def test_rate_is_over_the_last_minute(history: History, clock: Clock) -> None:
    clock.advance(600)
    for _ in range(120):
        succeed(history)
    clock.advance(BUCKET_SECONDS - 1e-6)
    assert history.activity().finished_per_second == pytest.approx(2.0, rel=0.01)
    clock.advance(60)
    assert history.activity().finished_per_second == 0


def test_rate_of_a_young_service_is_over_its_age(history: History, clock: Clock) -> None:
    for _ in range(30):
        succeed(history)
    clock.advance(3)
    assert history.activity().finished_per_second == pytest.approx(10.0)


def test_tokens_are_summed_by_model_the_most_used_first(history: History) -> None:
    for model, tokens in (("small", 5), ("large", 40), ("small", 7)):
        succeed(history, model, tokens=tokens)
    assert [(row.model, row.tasks, row.tokens) for row in history.tokens()] == [
        ("large", 1, 40),
        ("small", 2, 12),
    ]


def test_models_beyond_fifty_are_one(history: History) -> None:
    for number in range(1000):
        succeed(history, f"model-{number}")
    assert len(history.tokens()) == 51
    assert history.tokens()[0].tasks == 950


def test_failures_with_one_message_are_one_with_a_count(history: History, wall: Clock) -> None:
    fail(history, "no such model", "first")
    fail(history, "too long", "second")
    wall.advance(9)
    fail(history, "no such model", "third")
    latest, older = history.failures()
    assert (latest.message, latest.count, latest.task_id) == ("no such model", 2, "third")
    assert latest.at_seconds == WALL_SECONDS + 9
    assert (older.message, older.count) == ("too long", 1)


def test_only_the_last_twenty_failures_and_deaths_are_kept(history: History) -> None:
    for number in range(1000):
        fail(history, f"message {number}")
        history.died(0, f"way {number}", 0)
    assert [row.message for row in history.failures()][:2] == ["message 999", "message 998"]
    assert len(history.failures()) == MAX_FAILURES
    assert [row.how for row in history.deaths()][:2] == ["way 999", "way 998"]
    assert len(history.deaths()) == MAX_DEATHS


def test_how_a_worker_died_is_cut(history: History) -> None:
    history.died(0, "y" * 100_000, 0)
    assert len(history.deaths()[0].how) == 300


def test_jump_of_the_wall_clock_moves_no_bucket(history: History, wall: Clock) -> None:
    succeed(history)
    wall.advance(-86_400 * 365)
    assert history.activity().buckets[-1].succeeded == 1


def counts(*seconds: float) -> LatencyCounts:
    made = LatencyCounts()
    for each in seconds:
        made.add(each)
    return made


def test_nothing_counted_has_no_quantile() -> None:
    assert counts().quantile(0.5) is None


@given(st.floats(0.001, MAX_LATENCY_SECONDS))
def test_one_duration_is_told_within_a_twentieth(seconds: float) -> None:
    assert counts(seconds).quantile(0.5) == pytest.approx(seconds, rel=0.05)


def test_quantiles_are_of_all_that_was_counted() -> None:
    made = counts(*[0.1] * 94, *[5.0] * 6)
    assert made.quantile(0.5) == pytest.approx(0.1, rel=0.05)
    assert made.quantile(0.95) == pytest.approx(5.0, rel=0.05)


def test_what_is_beyond_the_bounds_counts_as_the_bound() -> None:
    assert counts(0.0).quantile(0.5) == pytest.approx(0.001, rel=0.05)
    assert counts(1e9).quantile(0.5) == pytest.approx(MAX_LATENCY_SECONDS, rel=0.1)


def test_what_is_subtracted_counts_no_more() -> None:
    made = counts(0.1, 0.2, 9.0, 9.0, 9.0, 9.0)
    made.subtract(counts(9.0, 9.0, 9.0, 9.0))
    assert made.quantile(1.0) == pytest.approx(0.2, rel=0.05)
