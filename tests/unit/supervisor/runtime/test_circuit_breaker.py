"""The breaker opens on repeated failure, and lets one call at a time find out whether all is well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.runtime.circuit_breaker import BreakerState, CircuitBreaker
from tests.fakes.clock import Clock

THRESHOLD = 3
RECOVERY_SECONDS = 60.0
FIRST_PROBE_SECONDS = 3.75


@pytest.fixture
def changes() -> list[BreakerState]:
    return []


@pytest.fixture
def breaker(clock: Clock, changes: list[BreakerState]) -> CircuitBreaker:
    return CircuitBreaker(THRESHOLD, RECOVERY_SECONDS, clock, changes.append)


def fail(breaker: CircuitBreaker, clock: Clock, times: int = 1) -> None:
    for _ in range(times):
        breaker.begin()
        breaker.failed(clock())


def test_closed_breaker_allows_any_number_of_calls(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(10):
        assert breaker.allows()
        breaker.begin()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.reopens_at is None


def test_failures_below_the_threshold_change_nothing(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, clock, THRESHOLD - 1)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.allows()


def test_consecutive_failures_open_it(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, clock, THRESHOLD)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.allows()
    assert breaker.reopens_at == clock() + FIRST_PROBE_SECONDS


def test_success_in_between_starts_the_count_anew(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, clock, THRESHOLD - 1)
    breaker.succeeded()
    fail(breaker, clock, THRESHOLD - 1)
    assert breaker.state is BreakerState.CLOSED


def test_call_that_says_nothing_leaves_the_count_alone(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, clock, THRESHOLD - 1)
    breaker.undecided()
    fail(breaker, clock)
    assert breaker.state is BreakerState.OPEN


def test_late_failures_do_not_push_the_probe_away(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, clock, THRESHOLD)
    opened_at = clock()
    clock.advance(3)
    breaker.failed(clock())
    assert breaker.reopens_at == opened_at + FIRST_PROBE_SECONDS


def test_one_probe_is_let_through_when_it_is_time(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, clock, THRESHOLD)
    clock.advance(FIRST_PROBE_SECONDS - 0.001)
    assert not breaker.allows()
    clock.advance(0.001)
    assert breaker.allows()
    breaker.begin()
    assert breaker.state is BreakerState.HALF_OPEN
    assert not breaker.allows()
    assert breaker.reopens_at is None


def test_asking_is_not_probing(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, clock, THRESHOLD)
    clock.advance(RECOVERY_SECONDS)
    assert breaker.allows()
    assert breaker.allows()
    assert breaker.state is BreakerState.OPEN


def probing(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, clock, THRESHOLD)
    clock.advance(RECOVERY_SECONDS)
    breaker.begin()


def test_probe_that_succeeds_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    probing(breaker, clock)
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    fail(breaker, clock, THRESHOLD - 1)
    assert breaker.state is BreakerState.CLOSED


def test_each_probe_that_fails_doubles_the_wait_up_to_the_recovery_time(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, clock, THRESHOLD)
    waits = []
    for _ in range(6):
        assert breaker.reopens_at is not None
        waits.append(breaker.reopens_at - clock())
        clock.advance(waits[-1])
        fail(breaker, clock)
        assert not breaker.allows()
    assert waits == [3.75, 7.5, 15.0, 30.0, 60.0, 60.0]


def test_after_it_has_closed_the_first_probe_comes_early_again(breaker: CircuitBreaker, clock: Clock) -> None:
    probing(breaker, clock)
    breaker.failed(clock())
    clock.advance(RECOVERY_SECONDS)
    breaker.begin()
    breaker.succeeded()
    fail(breaker, clock, THRESHOLD)
    assert breaker.reopens_at == clock() + FIRST_PROBE_SECONDS


def test_failures_of_calls_that_began_before_the_last_success_do_not_count(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    began_at = clock()
    clock.advance(1)
    breaker.succeeded()
    for _ in range(10 * THRESHOLD):
        breaker.failed(began_at)
    assert breaker.allows()
    fail(breaker, clock, THRESHOLD)
    assert not breaker.allows()


def test_failure_of_a_call_from_before_it_opened_is_not_the_answer_to_the_probe(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    began_at = clock()
    clock.advance(1)
    probing(breaker, clock)
    breaker.failed(began_at)
    assert breaker.state is BreakerState.HALF_OPEN
    assert not breaker.allows()


def test_probe_that_says_nothing_is_followed_by_another(breaker: CircuitBreaker, clock: Clock) -> None:
    probing(breaker, clock)
    breaker.undecided()
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.allows()


def test_every_change_is_told_once(
    breaker: CircuitBreaker, clock: Clock, changes: list[BreakerState]
) -> None:
    breaker.succeeded()
    fail(breaker, clock, THRESHOLD)
    breaker.failed(clock())
    clock.advance(RECOVERY_SECONDS)
    breaker.begin()
    breaker.undecided()
    breaker.begin()
    breaker.succeeded()
    assert changes == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]


@given(
    st.lists(st.sampled_from(["call", "succeeded", "failed", "undecided", "wait", "wait long"]), max_size=60)
)
def test_no_order_of_events_leaves_it_stuck_or_lets_two_probes_through(steps: list[str]) -> None:
    clock = Clock()
    breaker = CircuitBreaker(THRESHOLD, RECOVERY_SECONDS, clock)
    under_way = 0
    for step in steps:
        if step == "call":
            if breaker.allows():
                breaker.begin()
                under_way += 1
        elif step.startswith("wait"):
            clock.advance(RECOVERY_SECONDS if step == "wait long" else 1.0)
        elif under_way:
            under_way -= 1
            getattr(breaker, step)(*([clock()] if step == "failed" else []))
        if breaker.state is BreakerState.OPEN:
            assert breaker.allows() == (clock() >= (breaker.reopens_at or 0.0))
    for _ in range(under_way):
        breaker.undecided()
    # With nothing under way and enough time gone, a call can always be made.
    clock.advance(RECOVERY_SECONDS)
    assert breaker.allows()
