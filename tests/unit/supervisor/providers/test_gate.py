"""When work may go to the provider: its breaker, the pause it asks for, and the hold until a person acts."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from shared.errors import HOLD_REASONS, RetryReason
from shared.messages import Failure
from shared.models import BatchKey
from supervisor.providers.gate import Hold, ProviderGate
from supervisor.runtime.circuit_breaker import BreakerState, CircuitBreaker
from supervisor.runtime.trouble import TroubleRecord
from supervisor.status.status import Idle
from tests.fakes.clock import Clock

THRESHOLD = 5
RECOVERY_SECONDS = 45.0
KEY = BatchKey("text-embedding", "m")
AFTER_ALL = 10.0**9
"""When calls began, where that does not matter: after everything else."""
TROUBLE = sorted(set(RetryReason) - HOLD_REASONS - {RetryReason.RATE_LIMIT, RetryReason.CRASH})


@pytest.fixture
def gate(clock: Clock) -> ProviderGate:
    breaker = CircuitBreaker(THRESHOLD, RECOVERY_SECONDS, clock)
    return ProviderGate(breaker, TroubleRecord("openai", "https://api.openai.com/v1"), clock)


def fail(gate: ProviderGate, reason: RetryReason, retry_after_seconds: float | None = None) -> None:
    gate.begin()
    gate.failed(Failure(f"because of {reason}", reason, retry_after_seconds), KEY, AFTER_ALL)


def refuse(gate: ProviderGate, retry_after_seconds: float | None = None) -> None:
    """429."""
    fail(gate, RetryReason.RATE_LIMIT, retry_after_seconds)


def pause_of(gate: ProviderGate, clock: Clock) -> float:
    assert gate.blocked() is Idle.RATE_LIMITED
    opens_at = gate.opens_at()
    assert opens_at is not None
    return opens_at - clock()


def test_well_provider_gets_work(gate: ProviderGate) -> None:
    assert gate.blocked() is None
    assert gate.opens_at() is None
    assert gate.is_up
    assert not gate.probing


def test_pause_lasts_as_long_as_the_provider_asks(gate: ProviderGate, clock: Clock) -> None:
    refuse(gate, 20.0)
    assert pause_of(gate, clock) == 20.0
    clock.advance(20)
    assert gate.blocked() is None


def test_pause_without_a_word_doubles_from_one_second_to_sixty(gate: ProviderGate, clock: Clock) -> None:
    pauses = []
    for _ in range(8):
        refuse(gate)
        pauses.append(pause_of(gate, clock))
        clock.advance(pauses[-1])
        assert gate.blocked() is None
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_units_refused_together_double_the_pause_once(gate: ProviderGate, clock: Clock) -> None:
    for _ in range(5):
        refuse(gate)
    assert pause_of(gate, clock) == 1.0
    clock.advance(1)
    refuse(gate)
    assert pause_of(gate, clock) == 2.0


def test_success_starts_the_doubling_anew(gate: ProviderGate, clock: Clock) -> None:
    for _ in range(3):
        refuse(gate)
        clock.advance(pause_of(gate, clock))
    gate.succeeded()
    refuse(gate)
    assert pause_of(gate, clock) == 1.0


def test_longest_of_several_pauses_holds(gate: ProviderGate, clock: Clock) -> None:
    refuse(gate, 20.0)
    refuse(gate, 5.0)
    refuse(gate)
    assert pause_of(gate, clock) == 20.0


def test_provider_that_asks_for_no_wait_at_all_is_not_called_without_a_pause(
    gate: ProviderGate, clock: Clock
) -> None:
    for _ in range(3):
        refuse(gate, 0.0)
        assert pause_of(gate, clock) > 0.0
        clock.advance(pause_of(gate, clock))


def test_rate_limit_is_no_failure_of_the_provider(gate: ProviderGate) -> None:
    for _ in range(THRESHOLD * 2):
        refuse(gate, 1.0)
    assert gate.breaker.state is BreakerState.CLOSED
    assert gate.is_up


@pytest.mark.parametrize("reason", TROUBLE)
def test_repeated_trouble_opens_the_breaker(gate: ProviderGate, clock: Clock, reason: RetryReason) -> None:
    for _ in range(THRESHOLD - 1):
        fail(gate, reason)
        assert gate.blocked() is None
        assert gate.is_up
    fail(gate, reason)
    assert gate.blocked() is Idle.PROVIDER_CIRCUIT_OPEN
    assert not gate.is_up
    assert gate.opens_at() == clock() + RECOVERY_SECONDS / 16


def test_open_breaker_lets_one_probe_through(gate: ProviderGate, clock: Clock) -> None:
    for _ in range(THRESHOLD):
        fail(gate, RetryReason.TIMEOUT)
    clock.advance(RECOVERY_SECONDS)
    assert gate.blocked() is None
    assert gate.probing
    gate.begin()
    assert gate.blocked() is Idle.PROVIDER_CIRCUIT_OPEN
    assert gate.opens_at() is None
    gate.succeeded()
    assert gate.blocked() is None
    assert gate.is_up


def test_probe_whose_worker_died_is_followed_by_another(gate: ProviderGate, clock: Clock) -> None:
    for _ in range(THRESHOLD):
        fail(gate, RetryReason.TIMEOUT)
    clock.advance(RECOVERY_SECONDS)
    gate.begin()
    gate.undecided()
    assert gate.blocked() is None
    assert gate.probing


@pytest.mark.parametrize("reason", sorted(HOLD_REASONS))
def test_refusal_of_the_service_as_a_whole_is_a_hold(
    gate: ProviderGate, reason: RetryReason, log_lines: list[MutableMapping[str, Any]]
) -> None:
    fail(gate, reason)
    assert gate.hold == Hold(reason, f"because of {reason}", KEY)
    assert gate.blocked() is Idle.PROVIDER_HOLD
    assert not gate.is_up
    assert gate.breaker.state is BreakerState.CLOSED
    assert [line["event"] for line in log_lines] == ["provider_held"]


def test_hold_is_probed_once_a_minute(gate: ProviderGate, clock: Clock) -> None:
    fail(gate, RetryReason.UNAUTHORIZED)
    for _ in range(5):
        opens_at = gate.opens_at()
        assert opens_at == clock() + 60
        clock.advance(59.9)
        assert gate.blocked() is Idle.PROVIDER_HOLD
        clock.advance(0.1)
        assert gate.blocked() is None
        assert gate.probing
        fail(gate, RetryReason.UNAUTHORIZED)
        assert gate.blocked() is Idle.PROVIDER_HOLD


def test_probe_under_way_is_the_only_one(gate: ProviderGate, clock: Clock) -> None:
    fail(gate, RetryReason.QUOTA)
    clock.advance(60)
    gate.begin()
    assert gate.blocked() is Idle.PROVIDER_HOLD


def test_units_that_were_out_when_the_hold_began_do_not_put_the_probe_off(
    gate: ProviderGate, clock: Clock
) -> None:
    gate.begin()
    fail(gate, RetryReason.UNAUTHORIZED)
    clock.advance(30)
    gate.failed(Failure("again", RetryReason.UNAUTHORIZED), KEY, AFTER_ALL)
    assert gate.opens_at() == clock() + 30


def test_hold_ends_with_the_first_success(
    gate: ProviderGate, clock: Clock, log_lines: list[MutableMapping[str, Any]]
) -> None:
    fail(gate, RetryReason.UNAUTHORIZED)
    clock.advance(60)
    gate.begin()
    gate.succeeded()
    assert gate.hold is None
    assert gate.blocked() is None
    assert gate.is_up
    assert [line["event"] for line in log_lines] == ["provider_held", "provider_released"]


def test_hold_says_the_latest_reason(gate: ProviderGate) -> None:
    fail(gate, RetryReason.UNAUTHORIZED)
    fail(gate, RetryReason.QUOTA)
    assert gate.hold is not None
    assert gate.hold.reason is RetryReason.QUOTA


def test_probe_of_a_hold_that_meets_other_trouble_leaves_the_hold(gate: ProviderGate, clock: Clock) -> None:
    fail(gate, RetryReason.UNAUTHORIZED)
    clock.advance(60)
    fail(gate, RetryReason.TIMEOUT)
    assert gate.hold is not None
    assert gate.blocked() is Idle.PROVIDER_HOLD
    assert gate.opens_at() == clock() + 60


def test_rate_limit_during_a_hold_is_named_after_it(gate: ProviderGate, clock: Clock) -> None:
    fail(gate, RetryReason.UNAUTHORIZED)
    refuse(gate, 600.0)
    assert gate.blocked() is Idle.PROVIDER_HOLD
    clock.advance(60)
    assert gate.blocked() is Idle.RATE_LIMITED


@pytest.mark.parametrize("reason", [RetryReason.RATE_LIMIT, RetryReason.UNAUTHORIZED])
def test_probe_that_is_refused_was_answered_and_closes_the_breaker(
    gate: ProviderGate, clock: Clock, reason: RetryReason
) -> None:
    for _ in range(THRESHOLD):
        fail(gate, RetryReason.TIMEOUT)
    clock.advance(RECOVERY_SECONDS)
    fail(gate, reason, 1.0)
    assert gate.breaker.state is BreakerState.CLOSED


def test_pause_is_told_once(gate: ProviderGate, log_lines: list[MutableMapping[str, Any]]) -> None:
    for _ in range(5):
        refuse(gate, 2.5)
    told = [(line["event"], line["seconds"]) for line in log_lines]
    assert told == [("provider_throttled", 2.5)]
