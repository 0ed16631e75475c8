"""What becomes of a unit's tasks when its worker answers: done, again, halved, or failed."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import HOLD_REASONS, Blame, RetryReason
from shared.messages import Failure, UnitDone
from shared.models import Output
from supervisor.pool.base import UnitFinished
from supervisor.runtime.circuit_breaker import BreakerState
from tests.builders import make_output, make_settings
from tests.fakes.harness import Harness
from tests.readings import reading
from tests.unit.supervisor.tasks.one_worker import held, make_harness, told

NOT_ITS_OWN = {RetryReason.RATE_LIMIT, RetryReason.CRASH, RetryReason.CONNECTION, RetryReason.NOT_STARTED}
TROUBLE = sorted(set(RetryReason) - HOLD_REASONS - NOT_ITS_OWN)
TYPE = "text-embedding"


def outcomes(harness: Harness, **by_task: Output | Failure) -> None:
    """Let the worker answer for each task apart."""
    harness.turn(UnitFinished(0, UnitDone(harness.held[0].id, by_task)))


def test_each_task_is_reported_with_its_own_output() -> None:
    harness = make_harness("a", "b")
    outcomes(harness, a=make_output(b"[1]"), b=make_output(b"[2]"))
    bodies = {job.task_id: json.loads(job.body) for job in harness.answer_all()}
    assert bodies["a"]["output_data"]["embedding"] == [1]
    assert bodies["b"]["output_data"]["embedding"] == [2]
    assert len(harness.journal) == 0


def test_outcomes_may_differ_within_a_unit() -> None:
    harness = make_harness("good", "bad", "later")
    later = Failure("busy", RetryReason.SERVER_ERROR)
    outcomes(harness, good=make_output(), bad=Failure("too long"), later=later)
    assert told(harness) == {"good": "succeeded", "bad": "too long"}
    assert held(harness) == ["later"]


def test_task_without_an_outcome_is_failed_and_never_given_an_invented_one() -> None:
    harness = make_harness("a", "b")
    outcomes(harness, a=make_output())
    assert told(harness) == {"a": "succeeded", "b": "the processor gave no outcome for this task"}


def test_outcome_of_a_task_that_was_not_in_the_unit_is_ignored() -> None:
    harness = make_harness("a")
    outcomes(harness, a=make_output(), stranger=make_output())
    assert told(harness) == {"a": "succeeded"}


@pytest.mark.parametrize("reason", TROUBLE)
def test_task_is_retried_with_backoff_and_failed_once_the_retries_are_used_up(reason: RetryReason) -> None:
    harness = make_harness("a", max_retries=3)
    waits = []
    for _ in range(3):
        harness.fail(0, "it broke", retry=reason)
        assert held(harness) == []
        due_at = harness.backlog.next_due_at
        assert due_at is not None
        waits.append(due_at - harness.clock())
        harness.pass_time(waits[-1])
        assert held(harness) == ["a"]
    assert waits == [2.0, 4.0, 8.0]
    harness.fail(0, "it broke", retry=reason)
    assert told(harness) == {}
    assert harness.serve_canaries() == 1
    assert told(harness) == {"a": "it broke (gave up after 4 attempts)"}
    assert reading(harness.metrics.retries, TYPE, reason) == 3


def test_no_retries_means_the_first_failure_is_the_last() -> None:
    harness = make_harness("a", max_retries=0)
    harness.fail(0, "it broke", retry=RetryReason.TIMEOUT)
    assert harness.serve_canaries() == 1
    assert told(harness) == {"a": "it broke (gave up after 1 attempt)"}


def test_wait_that_the_provider_asks_for_wins_over_the_backoff() -> None:
    harness = make_harness("a")
    harness.fail(0, retry=RetryReason.SERVER_ERROR, retry_after_seconds=33.0)
    assert harness.backlog.next_due_at == harness.clock() + 33.0


def test_tasks_that_failed_together_are_retried_together() -> None:
    harness = make_harness("a", "b", "c")
    harness.fail(0, retry=RetryReason.SERVER_ERROR)
    harness.pass_time(2.0)
    assert held(harness) == ["a", "b", "c"]


def test_waiting_for_a_retry_holds_up_no_other_task() -> None:
    harness = make_harness("a")
    harness.fail(0, retry=RetryReason.SERVER_ERROR)
    harness.pass_time(1.0)
    harness.list_tasks("b")
    assert held(harness) == ["b"]


@pytest.mark.parametrize("reason", [*TROUBLE, RetryReason.CONNECTION])
def test_outage_fails_no_task_however_long_it_lasts_and_however_few_wait(reason: RetryReason) -> None:
    harness = make_harness("a", max_retries=3)
    for _ in range(100):
        if harness.held:
            harness.fail(0, "nobody there", retry=reason)
        harness.pass_time(10.0)
        assert told(harness) == {}
    while "a" not in held(harness):
        harness.serve_canaries()
        harness.pass_time(10.0)
    harness.finish(0)
    assert told(harness) == {"a": "succeeded"}


def test_what_never_left_the_machine_is_no_attempt() -> None:
    harness = make_harness("a", max_retries=0, circuit_breaker_threshold=100)
    for _ in range(50):
        harness.fail(0, retry=RetryReason.CONNECTION)
        harness.pass_time(5.0)
        assert held(harness) == ["a"]
    assert {record.attempts for held in harness.table.assignments() for record in held.records} == {0}


def test_only_one_task_probes_a_provider_whose_breaker_is_open() -> None:
    harness = make_harness("a", "b", "c", circuit_breaker_threshold=1)
    harness.fail(0, retry=RetryReason.CONNECTION)
    harness.pass_time(3.75)
    assert held(harness) == ["a"]
    harness.finish(0)
    assert held(harness) == ["b", "c"]


def test_one_unit_is_one_failure_to_the_breaker_however_many_tasks_it_had() -> None:
    harness = make_harness(*"abcdefgh", circuit_breaker_threshold=5)
    later = Failure("busy", RetryReason.SERVER_ERROR)
    outcomes(harness, **dict.fromkeys("abcdefgh", later))
    breaker = harness.providers.default.gate.breaker
    assert breaker.state is BreakerState.CLOSED
    assert {(record.attempts, record.setbacks) for record in harness.backlog.records()} == {(0, 1)}


def test_tasks_of_one_unit_that_failed_apart_for_one_reason_are_retried_together() -> None:
    draws: list[float] = []

    def draw(_: float, high: float) -> float:
        draws.append(high / (len(draws) + 1))
        return draws[-1]

    harness = Harness(make_settings(concurrency_limit=1), draw=draw)
    harness.start_workers()
    harness.list_tasks("a", "b", "c")
    outcomes(harness, **dict.fromkeys("abc", Failure("busy", RetryReason.SERVER_ERROR)))
    harness.pass_time(2.0)
    assert sorted(held(harness)) == ["a", "b", "c"]


def work(harness: Harness, refuses: Callable[[set[str]], bool]) -> int:
    """Let the worker run units until none is left; how many it took."""
    units = 0
    while harness.held:
        units += 1
        harness.clock.advance(0.1)
        if refuses(set(held(harness))):
            harness.fail(0, "bad input")
        else:
            harness.finish(0)
    return units


@settings(max_examples=30)
@given(size=st.integers(1, 40), data=st.data())
def test_unit_is_split_until_the_guilty_stand_alone(size: int, data: st.DataObject) -> None:
    names = [f"t{number}" for number in range(size)]
    guilty = set(data.draw(st.lists(st.sampled_from(names), max_size=4)))
    harness = make_harness(*names)
    units = work(harness, lambda tasks: bool(tasks & guilty))
    assert told(harness) == {name: "bad input" if name in guilty else "succeeded" for name in names}
    canaries = 1 + len(guilty)
    assert units <= 1 + canaries + 2 * max(1, len(guilty)) * size.bit_length()


def test_split_counts_no_attempt_and_is_no_trouble_of_the_provider() -> None:
    harness = make_harness(*"abcdefgh", max_retries=0, circuit_breaker_threshold=1)
    assert work(harness, lambda tasks: "c" in tasks) > 3
    assert told(harness)["a"] == "succeeded"


def test_refused_model_fails_the_whole_unit_without_a_split() -> None:
    harness = make_harness("a", "b", "c")
    harness.fail(0, 'the provider has no model "m"', blame=Blame.WHOLE_UNIT)
    assert harness.held == {}
    assert told(harness) == dict.fromkeys("abc", 'the provider has no model "m"')


def test_unit_that_never_reached_its_worker_runs_again_uncounted() -> None:
    harness = make_harness("a", "b")
    died = harness.worker_died(0)
    harness.turn(type(died)(0, (), -9, was_ready=True), harness.worker_started(0))
    assert held(harness) == ["a", "b"]
    (assignment,) = harness.table.assignments()
    assert all(record.untouched for record in assignment.records)


def test_processor_that_does_not_start_fails_no_task_and_harms_no_provider() -> None:
    harness = make_harness("a", max_retries=0)
    for _ in range(20):
        harness.fail(0, "the processor does not start", retry=RetryReason.NOT_STARTED)
        assert (held(harness), told(harness)) == ([], {})
        assert harness.status.holds == ()
        harness.pass_time(30.0)
    outcomes(harness, a=make_output())
    assert told(harness) == {"a": "succeeded"}


def test_processor_that_does_not_start_is_told_until_one_does() -> None:
    harness = make_harness("a")
    harness.fail(0, "no such file", retry=RetryReason.NOT_STARTED)
    (trouble,) = [each for each in harness.status.troubles if each.service == "processor"]
    assert (trouble.calls, trouble.detail) == (TYPE, "no such file")
    harness.pass_time(30.0)
    outcomes(harness, a=make_output())
    assert all(each.service != "processor" for each in harness.status.troubles)
