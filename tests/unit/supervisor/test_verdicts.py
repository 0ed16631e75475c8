"""What becomes of a unit's tasks when its worker answers: done, again, halved, or failed."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import HOLD_REASONS, Blame, RetryReason
from shared.messages import Failure, UnitDone
from shared.models import Output
from supervisor.providers.circuit_breaker import BreakerState
from supervisor.runtime.events import UnitFinished
from tests.builders import make_output, make_settings
from tests.fakes.house import House
from tests.readings import reading
from tests.unit.supervisor.one_worker import held, make_house, told

NOT_ITS_OWN = {RetryReason.RATE_LIMIT, RetryReason.CRASH, RetryReason.CONNECTION}
TROUBLE = sorted(set(RetryReason) - HOLD_REASONS - NOT_ITS_OWN)
TYPE = "text-embedding"


def outcomes(house: House, **by_task: Output | Failure) -> None:
    """Let the worker answer for each task apart."""
    house.turn(UnitFinished(0, UnitDone(house.held[0].id, by_task)))


def test_each_task_is_reported_with_its_own_output() -> None:
    house = make_house("a", "b")
    outcomes(house, a=make_output(b"[1]"), b=make_output(b"[2]"))
    bodies = {parcel.task_id: json.loads(parcel.body) for parcel in house.answer_all()}
    assert bodies["a"]["output_data"]["embedding"] == [1]
    assert bodies["b"]["output_data"]["embedding"] == [2]
    assert len(house.journal) == 0


def test_outcomes_may_differ_within_a_unit() -> None:
    house = make_house("good", "bad", "later")
    later = Failure("busy", RetryReason.SERVER_ERROR)
    outcomes(house, good=make_output(), bad=Failure("too long"), later=later)
    assert told(house) == {"good": "succeeded", "bad": "too long"}
    assert held(house) == ["later"]


def test_task_without_an_outcome_is_failed_and_never_given_an_invented_one() -> None:
    house = make_house("a", "b")
    outcomes(house, a=make_output())
    assert told(house) == {"a": "succeeded", "b": "the processor gave no outcome for this task"}


def test_outcome_of_a_task_that_was_not_in_the_unit_is_ignored() -> None:
    house = make_house("a")
    outcomes(house, a=make_output(), stranger=make_output())
    assert told(house) == {"a": "succeeded"}


@pytest.mark.parametrize("reason", TROUBLE)
def test_task_is_retried_with_backoff_and_failed_once_the_retries_are_used_up(reason: RetryReason) -> None:
    house = make_house("a", max_retries=3)
    waits = []
    for _ in range(3):
        house.fail(0, "it broke", retry=reason)
        assert held(house) == []
        due_at = house.backlog.next_due_at
        assert due_at is not None
        waits.append(due_at - house.clock())
        house.pass_time(waits[-1])
        assert held(house) == ["a"]
    assert waits == [2.0, 4.0, 8.0]
    house.fail(0, "it broke", retry=reason)
    assert told(house) == {}
    assert house.serve_canaries() == 1
    assert told(house) == {"a": "it broke (gave up after 4 attempts)"}
    assert reading(house.metrics.retries, TYPE, reason) == 3


def test_no_retries_means_the_first_failure_is_the_last() -> None:
    house = make_house("a", max_retries=0)
    house.fail(0, "it broke", retry=RetryReason.TIMEOUT)
    assert house.serve_canaries() == 1
    assert told(house) == {"a": "it broke (gave up after 1 attempt)"}


def test_wait_that_the_provider_asks_for_wins_over_the_backoff() -> None:
    house = make_house("a")
    house.fail(0, retry=RetryReason.SERVER_ERROR, retry_after_seconds=33.0)
    assert house.backlog.next_due_at == house.clock() + 33.0


def test_tasks_that_failed_together_are_retried_together() -> None:
    house = make_house("a", "b", "c")
    house.fail(0, retry=RetryReason.SERVER_ERROR)
    house.pass_time(2.0)
    assert held(house) == ["a", "b", "c"]


def test_waiting_for_a_retry_holds_up_no_other_task() -> None:
    house = make_house("a")
    house.fail(0, retry=RetryReason.SERVER_ERROR)
    house.pass_time(1.0)
    house.list_tasks("b")
    assert held(house) == ["b"]


@pytest.mark.parametrize("reason", [*TROUBLE, RetryReason.CONNECTION])
def test_outage_fails_no_task_however_long_it_lasts_and_however_few_wait(reason: RetryReason) -> None:
    house = make_house("a", max_retries=3)
    for _ in range(200):
        if house.held:
            house.fail(0, "nobody there", retry=reason)
        house.pass_time(10.0)
        assert told(house) == {}
    while "a" not in held(house):
        house.serve_canaries()
        house.pass_time(10.0)
    house.finish(0)
    assert told(house) == {"a": "succeeded"}


def test_what_never_left_the_machine_is_no_attempt() -> None:
    house = make_house("a", max_retries=0, circuit_breaker_threshold=100)
    for _ in range(50):
        house.fail(0, retry=RetryReason.CONNECTION)
        house.pass_time(5.0)
        assert held(house) == ["a"]
    assert {
        record.attempts for slot in house.table if slot.assignment for record in slot.assignment.records
    } == {0}


def test_only_one_task_probes_a_provider_whose_breaker_is_open() -> None:
    house = make_house("a", "b", "c", circuit_breaker_threshold=1)
    house.fail(0, retry=RetryReason.CONNECTION)
    house.pass_time(3.75)
    assert held(house) == ["a"]
    house.finish(0)
    assert held(house) == ["b", "c"]


def test_one_unit_is_one_failure_to_the_breaker_however_many_tasks_it_had() -> None:
    house = make_house(*"abcdefgh", circuit_breaker_threshold=5)
    later = Failure("busy", RetryReason.SERVER_ERROR)
    outcomes(house, **dict.fromkeys("abcdefgh", later))
    breaker = house.supervisor.dispatcher.gate.breaker
    assert breaker.state is BreakerState.CLOSED
    assert {(record.attempts, record.setbacks) for record in house.backlog.records()} == {(0, 1)}


def test_tasks_of_one_unit_that_failed_apart_for_one_reason_are_retried_together() -> None:
    draws: list[float] = []

    def draw(_: float, high: float) -> float:
        draws.append(high / (len(draws) + 1))
        return draws[-1]

    house = House(make_settings(concurrency_limit=1), draw=draw)
    house.start_workers()
    house.list_tasks("a", "b", "c")
    outcomes(house, **dict.fromkeys("abc", Failure("busy", RetryReason.SERVER_ERROR)))
    house.pass_time(2.0)
    assert sorted(held(house)) == ["a", "b", "c"]


def work(house: House, refuses: Callable[[set[str]], bool]) -> int:
    """Let the worker run units until none is left; how many it took."""
    units = 0
    while house.held:
        units += 1
        house.clock.advance(0.1)
        if refuses(set(held(house))):
            house.fail(0, "bad input")
        else:
            house.finish(0)
    return units


@settings(max_examples=30)
@given(size=st.integers(1, 40), data=st.data())
def test_unit_is_split_until_the_guilty_stand_alone(size: int, data: st.DataObject) -> None:
    names = [f"t{number}" for number in range(size)]
    guilty = set(data.draw(st.lists(st.sampled_from(names), max_size=4)))
    house = make_house(*names)
    units = work(house, lambda tasks: bool(tasks & guilty))
    assert told(house) == {name: "bad input" if name in guilty else "succeeded" for name in names}
    canaries = 1 + len(guilty)
    assert units <= 1 + canaries + 2 * max(1, len(guilty)) * size.bit_length()


def test_split_counts_no_attempt_and_is_no_trouble_of_the_provider() -> None:
    house = make_house(*"abcdefgh", max_retries=0, circuit_breaker_threshold=1)
    assert work(house, lambda tasks: "c" in tasks) > 3
    assert told(house)["a"] == "succeeded"


def test_refused_model_fails_the_whole_unit_without_a_split() -> None:
    house = make_house("a", "b", "c")
    house.fail(0, 'the provider has no model "m"', blame=Blame.WHOLE_UNIT)
    assert house.held == {}
    assert told(house) == dict.fromkeys("abc", 'the provider has no model "m"')


def test_unit_that_never_reached_its_worker_runs_again_uncounted() -> None:
    house = make_house("a", "b")
    died = house.worker_died(0)
    house.turn(type(died)(0, None, -9, was_ready=True), house.worker_started(0))
    assert held(house) == ["a", "b"]
    assignment = house.table[0].assignment
    assert assignment is not None
    assert all(record.untouched for record in assignment.records)
