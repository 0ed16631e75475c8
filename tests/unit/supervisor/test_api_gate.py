"""When the task API may be called: its breaker and the pause it asked for, for polls and reports alike."""

import pytest

from supervisor.providers.circuit_breaker import CircuitBreaker
from supervisor.task_api.answers import Health
from supervisor.task_api.gate import APIGate
from tests.fakes.clock import Clock


@pytest.fixture
def gate(clock: Clock) -> APIGate:
    return APIGate(CircuitBreaker(5, 60.0, clock), clock)


def fall_ill(gate: APIGate, times: int = 5) -> None:
    for _ in range(times):
        gate.begin()
        gate.heard(Health.UNHEALTHY, None)


def test_well_api_may_be_called(gate: APIGate) -> None:
    assert gate.allows()
    assert not gate.probing
    assert gate.opens_at() is None


def test_fifth_failure_in_a_row_closes_the_gate(gate: APIGate, clock: Clock) -> None:
    fall_ill(gate, 4)
    assert gate.allows()
    fall_ill(gate, 1)
    assert not gate.allows()
    assert gate.probing
    assert gate.opens_at() == clock() + 3.75


def test_refusal_of_a_request_is_no_failure_of_the_api(gate: APIGate) -> None:
    fall_ill(gate, 4)
    for _ in range(10):
        gate.heard(Health.UNKNOWN, None)
    assert gate.allows()
    fall_ill(gate, 1)
    assert not gate.allows()


def test_good_answer_resets_the_count(gate: APIGate) -> None:
    fall_ill(gate, 4)
    gate.heard(Health.HEALTHY, None)
    fall_ill(gate, 4)
    assert gate.allows()


def test_one_probe_goes_out_when_it_is_time(gate: APIGate, clock: Clock) -> None:
    fall_ill(gate)
    clock.advance(60)
    assert gate.allows()
    assert gate.probing
    gate.begin()
    assert not gate.allows()
    assert gate.opens_at() is None
    gate.heard(Health.HEALTHY, None)
    assert gate.allows()
    assert not gate.probing


@pytest.mark.parametrize("health", [Health.UNHEALTHY, Health.UNKNOWN])
def test_pause_that_the_api_asks_for_holds_all_calls(gate: APIGate, clock: Clock, health: Health) -> None:
    gate.heard(health, 20.0)
    assert not gate.allows()
    assert gate.opens_at() == clock() + 20
    clock.advance(20)
    assert gate.allows()


def test_shorter_pause_does_not_cut_a_longer_one(gate: APIGate, clock: Clock) -> None:
    gate.heard(Health.UNKNOWN, 20.0)
    gate.heard(Health.UNKNOWN, 5.0)
    assert gate.opens_at() == clock() + 20


def test_good_answer_asks_for_no_pause(gate: APIGate) -> None:
    gate.heard(Health.HEALTHY, 20.0)
    assert gate.allows()


def test_pause_longer_than_the_breakers_recovery_is_kept(gate: APIGate, clock: Clock) -> None:
    fall_ill(gate)
    gate.heard(Health.UNHEALTHY, 100.0)
    clock.advance(60)
    assert not gate.allows()
    assert gate.opens_at() == clock() + 40
    clock.advance(40)
    assert gate.allows()
