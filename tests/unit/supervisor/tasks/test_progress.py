"""Outcomes that come while their unit goes on are reported at once, and a death does not undo them."""

import pytest

from shared.errors import Blame, RetryReason
from shared.messages import Failure, UnitDone, UnitProgress
from supervisor.pool.base import UnitFinished, UnitProgressed, WorkerDied
from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.status.status import Idle
from tests.builders import make_output
from tests.fakes.harness import Harness
from tests.readings import reading
from tests.unit.supervisor.tasks.one_worker import make_harness, told

TYPE = "text-embedding"
BUSY = Failure("busy", RetryReason.SERVER_ERROR)
REFUSED = Failure("too long")


def end(harness: Harness, failure: Failure | None = None, **outcomes: object) -> None:
    """The worker gives the rest."""
    harness.turn(UnitFinished(0, UnitDone(harness.held[0].id, outcomes, failure)))  # type: ignore[arg-type]


def test_outcome_is_reported_while_the_unit_goes_on() -> None:
    harness = make_harness("a", "b", "c")
    harness.progress(0, a=make_output(), b=REFUSED)
    assert told(harness) == {"a": "succeeded", "b": "too long"}
    assert harness.table.tasks_in_flight() == 1
    end(harness, c=make_output())
    assert told(harness) == {"c": "succeeded"}
    assert harness.held == {}
    assert len(harness.journal) == 0


def test_times_and_tokens_count_once_for_each_task() -> None:
    harness = make_harness("a", "b", "c")
    harness.progress(0, a=make_output(tokens=3))
    harness.progress(0, b=make_output(tokens=4))
    end(harness, c=make_output(tokens=5))
    assert reading(harness.metrics.processing, TYPE) == 3
    assert harness.table[0].tasks_done == 3
    assert sum(row.tokens for row in harness.status.tokens) == 12


def test_death_counts_against_the_rest_alone() -> None:
    harness = make_harness("a", "b", "c", worker_crash_limit=2)
    harness.progress(0, a=make_output())
    harness.die(0)
    assert told(harness) == {"a": "succeeded"}
    assert {record.task.id: record.crashes for record in harness.backlog.records()} == {"c": 1}
    assert [task.id for task in harness.held[0].tasks] == ["b"], "the suspects run one by one"


def test_last_task_of_a_unit_that_dies_was_alone_with_the_worker() -> None:
    harness = make_harness("a", "b", worker_crash_limit=1)
    harness.progress(0, a=make_output())
    harness.die(0)
    answers = told(harness)
    assert answers.pop("a") == "succeeded"
    assert "died once on this task" in answers["b"]


def test_task_that_failed_before_the_death_is_no_suspect() -> None:
    harness = make_harness("a", "b")
    harness.progress(0, a=BUSY)
    assert told(harness) == {}
    harness.die(0)
    crashes = {record.task.id: record.crashes for record in harness.backlog.records()}
    assert crashes == {"a": 0}
    assert [task.id for task in harness.held[0].tasks] == ["b"]


def test_failure_that_may_be_the_providers_is_decided_upon_at_the_end() -> None:
    harness = make_harness("a", "b", "c", circuit_breaker_threshold=2)
    harness.progress(0, a=BUSY)
    harness.progress(0, b=BUSY)
    assert all(breaker.state is BreakerState.CLOSED for breaker in harness.status.breakers)
    end(harness, c=make_output())
    assert told(harness) == {"c": "succeeded"}
    assert len(harness.held[0].tasks) == 1, "those that failed go alone"


def test_failure_of_the_rest_leaves_what_was_done() -> None:
    harness = make_harness("a", "b", "c")
    harness.progress(0, a=make_output())
    end(harness, Failure("RuntimeError: no", blame=Blame.PROCESSOR))
    assert told(harness) == {"a": "succeeded"}
    assert [task.id for task in harness.held[0].tasks] == ["b"], "the rest is halved"
    assert [record.task.id for record in harness.backlog.records()] == ["c"]


@pytest.mark.parametrize("second", [make_output(b"[2]"), REFUSED, BUSY])
@pytest.mark.parametrize("first", [make_output(b"[1]"), REFUSED, BUSY])
def test_first_outcome_of_a_task_counts(first: object, second: object) -> None:
    harness = make_harness("a", "b")
    harness.progress(0, a=first)  # type: ignore[arg-type]
    harness.progress(0, a=second)  # type: ignore[arg-type]
    end(harness, a=second, b=make_output())
    answers = told(harness)
    expected = {REFUSED: "too long", BUSY: None}
    assert answers.get("a") == (expected[first] if isinstance(first, Failure) else "succeeded")


def test_task_without_an_outcome_at_the_end_is_failed() -> None:
    harness = make_harness("a", "b")
    harness.progress(0, a=make_output())
    end(harness)
    assert told(harness) == {"a": "succeeded", "b": "the processor gave no outcome for this task"}


def test_unit_that_has_given_all_its_outcomes_is_busy_until_its_end() -> None:
    harness = make_harness("a", "b")
    harness.progress(0, a=make_output(), b=make_output())
    harness.pass_time(2.0)
    harness.list_tasks("c")
    assert told(harness) == {"a": "succeeded", "b": "succeeded"}
    assert [task.id for task in harness.held[0].tasks] == ["a", "b"]
    end(harness)
    assert [task.id for task in harness.held[0].tasks] == ["c"]


def test_death_after_the_last_outcome_is_nobodys_fault() -> None:
    harness = make_harness("a", "b")
    harness.progress(0, a=make_output(), b=REFUSED)
    harness.die(0)
    assert told(harness) == {"a": "succeeded", "b": "too long"}
    assert len(harness.backlog) == len(harness.journal) == 0


def test_progress_of_a_unit_that_the_slot_does_not_hold_changes_nothing() -> None:
    harness = make_harness("a")
    harness.turn(UnitProgressed(0, UnitProgress(harness.held[0].id + 1, {"a": make_output()})))
    harness.turn(WorkerDied(0, (), -9, was_ready=True))
    harness.turn(UnitProgressed(0, UnitProgress(1, {"a": make_output()})))
    assert told(harness) == {}


def test_canary_may_be_answered_before_its_unit_ends() -> None:
    harness = make_harness("a", max_retries=0)
    harness.fail(0, "it broke", retry=RetryReason.SERVER_ERROR)
    canary = harness.held[0].tasks[0].id
    assert canary.startswith("canary-")
    harness.clock.advance(0.01)
    harness.progress(0, **{canary: make_output()})
    end(harness)
    assert told(harness) == {"a": "it broke (gave up after 1 attempt)"}


@pytest.mark.parametrize("comes_early", [True, False])
@pytest.mark.parametrize("blame", [blame for blame in Blame if blame is not Blame.MODEL_OR_ADDRESS])
def test_unit_whose_tasks_are_all_at_fault_holds_up_no_later_one(blame: Blame, comes_early: bool) -> None:
    """It is the one call that goes first after a pause: the others wait for its end."""
    harness = make_harness("a", "b")
    harness.fail(0, "slow down", retry=RetryReason.RATE_LIMIT, retry_after_seconds=1.0)
    harness.pass_time(1.1)
    outcomes = {task.id: Failure(f"no {task.id}", blame=blame) for task in harness.held[0].tasks}
    assert outcomes.keys() == {"a", "b"}
    if comes_early:
        harness.progress(0, **outcomes)
        end(harness)
    else:
        end(harness, **outcomes)
    assert told(harness) == {"a": "no a", "b": "no b"}
    while not harness.poller.requests:
        harness.pass_time(1.0)
    harness.list_tasks("c")
    harness.pass_time(1.0)
    assert [task.id for task in harness.held[0].tasks] == ["c"]


@pytest.mark.parametrize("comes_early", [True, False])
def test_wrong_address_that_each_task_meets_by_itself_fails_none(comes_early: bool) -> None:
    harness = make_harness("a", "b", "c")
    nothing_there = Failure("status 404", blame=Blame.MODEL_OR_ADDRESS)
    outcomes = {task.id: nothing_there for task in harness.held[0].tasks}
    if comes_early:
        harness.progress(0, **outcomes)
        end(harness)
    else:
        end(harness, **outcomes)
    assert told(harness) == {}
    assert len(harness.backlog) == 3
    assert harness.status.idle is Idle.PROVIDER_HOLD
