"""A first request drains, a second one ends the drain, and patience has a limit."""

import pytest

from supervisor.runtime.shutdown import ShutdownManager
from tests.fakes.clock import Clock


@pytest.fixture
def shutdown(clock: Clock) -> ShutdownManager:
    return ShutdownManager(25.0, clock)


def test_service_runs_until_it_is_asked_to_stop(shutdown: ShutdownManager) -> None:
    assert not shutdown.draining
    assert not shutdown.forced
    assert not shutdown.expired
    assert shutdown.deadline is None


def test_first_request_starts_the_drain(shutdown: ShutdownManager, clock: Clock) -> None:
    shutdown.request()
    assert shutdown.draining
    assert not shutdown.forced
    assert shutdown.deadline == clock() + 25


def test_patience_ends_at_the_deadline(shutdown: ShutdownManager, clock: Clock) -> None:
    shutdown.request()
    clock.advance(24.9)
    assert not shutdown.expired
    clock.advance(0.1)
    assert shutdown.expired


def test_second_request_forces_and_moves_no_deadline(shutdown: ShutdownManager, clock: Clock) -> None:
    shutdown.request()
    deadline = shutdown.deadline
    clock.advance(5)
    shutdown.request()
    assert shutdown.forced
    assert shutdown.deadline == deadline
    shutdown.request()
    assert shutdown.forced
