"""When the task API may be called: a breaker and a pause for polls, and the same for reports."""

import pytest

from supervisor.runtime.circuit_breaker import CircuitBreaker
from supervisor.runtime.trouble import TroubleRecord
from supervisor.task_api.gate import APIGate, CallGate
from supervisor.task_api.responses import Health
from tests.fakes.clock import Clock

NOW = 1000.0


def make_side(clock: Clock) -> CallGate:
    return CallGate(CircuitBreaker(5, 60.0, clock), TroubleRecord("api"), clock)


@pytest.fixture
def gate(clock: Clock) -> CallGate:
    return make_side(clock)


def fall_ill(gate: CallGate, times: int = 5) -> None:
    for _ in range(times):
        gate.begin()
        gate.on_response(Health.UNHEALTHY, NOW, None)


def test_well_api_may_be_called(gate: CallGate) -> None:
    assert gate.allows()
    assert not gate.probing
    assert gate.opens_at() is None


def test_fifth_failure_in_a_row_closes_the_gate(gate: CallGate, clock: Clock) -> None:
    fall_ill(gate, 4)
    assert gate.allows()
    fall_ill(gate, 1)
    assert not gate.allows()
    assert gate.probing
    assert gate.opens_at() == clock() + 3.75


def test_refusal_of_a_request_is_no_failure_of_the_api(gate: CallGate) -> None:
    fall_ill(gate, 4)
    for _ in range(10):
        gate.on_response(Health.UNKNOWN, NOW, None)
    assert gate.allows()
    fall_ill(gate, 1)
    assert not gate.allows()


def test_good_answer_resets_the_count(gate: CallGate) -> None:
    fall_ill(gate, 4)
    gate.on_response(Health.HEALTHY, NOW, None)
    fall_ill(gate, 4)
    assert gate.allows()


def test_one_probe_goes_out_when_it_is_time(gate: CallGate, clock: Clock) -> None:
    fall_ill(gate)
    clock.advance(60)
    assert gate.allows()
    assert gate.probing
    gate.begin()
    assert not gate.allows()
    assert gate.opens_at() is None
    gate.on_response(Health.HEALTHY, NOW, None)
    assert gate.allows()
    assert not gate.probing


@pytest.mark.parametrize("health", [Health.UNHEALTHY, Health.UNKNOWN])
def test_pause_that_the_api_asks_for_holds_all_calls(gate: CallGate, clock: Clock, health: Health) -> None:
    gate.on_response(health, NOW, 20.0)
    assert not gate.allows()
    assert gate.opens_at() == clock() + 20
    clock.advance(20)
    assert gate.allows()


def test_shorter_pause_does_not_cut_a_longer_one(gate: CallGate, clock: Clock) -> None:
    gate.on_response(Health.UNKNOWN, NOW, 20.0)
    gate.on_response(Health.UNKNOWN, NOW, 5.0)
    assert gate.opens_at() == clock() + 20


def test_good_answer_asks_for_no_pause(gate: CallGate) -> None:
    gate.on_response(Health.HEALTHY, NOW, 20.0)
    assert gate.allows()


def test_pause_longer_than_the_breakers_recovery_is_kept(gate: CallGate, clock: Clock) -> None:
    fall_ill(gate)
    gate.on_response(Health.UNHEALTHY, NOW, 100.0)
    clock.advance(60)
    assert not gate.allows()
    assert gate.opens_at() == clock() + 40
    clock.advance(40)
    assert gate.allows()


def refuse(gate: CallGate, clock: Clock) -> float | None:
    """A call goes out now and is refused as any would be; the pause that follows."""
    gate.begin()
    gate.on_response(Health.UNKNOWN, clock(), None, refused=True)
    opens_at = gate.opens_at()
    return None if opens_at is None else opens_at - clock()


def test_pause_after_refusals_doubles_up_to_a_minute(gate: CallGate, clock: Clock) -> None:
    pauses = []
    for _ in range(8):
        pauses.append(refuse(gate, clock))
        assert not gate.allows()
        clock.advance(pauses[-1] or 0.0)
        assert gate.allows()
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_calls_from_before_the_pause_do_not_double_it(gate: CallGate, clock: Clock) -> None:
    sent_at = clock()
    refuse(gate, clock)
    for _ in range(20):
        gate.on_response(Health.UNKNOWN, sent_at, None, refused=True)
    assert gate.opens_at() == clock() + 1.0


def test_success_ends_the_pause_and_the_doubling(gate: CallGate, clock: Clock) -> None:
    refuse(gate, clock)
    clock.advance(1.0)
    assert refuse(gate, clock) == 2.0
    gate.on_response(Health.HEALTHY, clock(), None)
    assert gate.allows()
    assert not gate.refused
    clock.advance(1.0)
    assert refuse(gate, clock) == 1.0


def test_refusal_of_a_call_from_before_the_last_success_says_nothing(gate: CallGate, clock: Clock) -> None:
    sent_at = clock()
    clock.advance(1.0)
    gate.on_response(Health.HEALTHY, clock(), None)
    gate.on_response(Health.UNKNOWN, sent_at, None, refused=True)
    assert gate.allows()


def test_probe_that_is_refused_is_followed_by_a_pause(gate: CallGate, clock: Clock) -> None:
    fall_ill(gate)
    clock.advance(60.0)
    assert refuse(gate, clock) == 1.0
    clock.advance(1.0)
    assert gate.allows()
    assert refuse(gate, clock) == 2.0


@pytest.fixture
def both(clock: Clock) -> APIGate:
    return APIGate(polls=make_side(clock), reports=make_side(clock))


def test_polls_and_reports_fail_apart(both: APIGate) -> None:
    fall_ill(both.polls)
    assert not both.allows_new_tasks(owed=0)
    assert both.reports.allows()
    assert both.probing


def test_no_tasks_are_polled_for_while_reports_are_not_accepted(both: APIGate, clock: Clock) -> None:
    fall_ill(both.reports)
    assert both.polls.allows()
    assert not both.allows_new_tasks(owed=1)
    clock.advance(60)
    assert not both.allows_new_tasks(owed=1)
    both.reports.on_response(Health.HEALTHY, NOW, None)
    assert both.allows_new_tasks(owed=1)


def test_tasks_are_polled_for_when_there_is_no_report_to_probe_with(both: APIGate) -> None:
    fall_ill(both.reports)
    assert both.allows_new_tasks(owed=0)


def test_pause_of_polls_is_none_of_reports(both: APIGate) -> None:
    both.polls.on_response(Health.UNKNOWN, NOW, 20.0)
    assert not both.allows_new_tasks(owed=0)
    assert both.reports.allows()


@pytest.mark.parametrize("ill", ["polls", "reports"])
def test_worse_breaker_is_shown(both: APIGate, ill: str) -> None:
    side: CallGate = getattr(both, ill)
    fall_ill(side)
    assert both.breaker is side.breaker


def test_recovery_of_reports_is_told_once(both: APIGate) -> None:
    assert not both.reports_recovered()
    fall_ill(both.reports)
    assert not both.reports_recovered()
    both.reports.on_response(Health.HEALTHY, NOW, None)
    assert both.reports_recovered()
    assert not both.reports_recovered()
