"""A first request to stop drains, a second one ends the drain, and so does its deadline."""

import pytest

from supervisor.loop_state import LoopState
from supervisor.runtime.trouble import TroubleRecord
from tests.fakes.clock import Clock


@pytest.fixture
def state(clock: Clock) -> LoopState:
    return LoopState(25.0, clock, TroubleRecord("journal"), TroubleRecord("workers"))


def test_service_runs_until_it_is_asked_to_stop(state: LoopState) -> None:
    assert not state.draining
    assert not state.stop_forced
    assert not state.drain_ended
    assert state.drain_deadline is None


def test_first_request_starts_the_drain(state: LoopState, clock: Clock) -> None:
    state.request_stop()
    assert state.draining
    assert not state.stop_forced
    assert state.drain_deadline == clock() + 25


def test_drain_ends_at_the_deadline(state: LoopState, clock: Clock) -> None:
    state.request_stop()
    clock.advance(24.9)
    assert not state.drain_ended
    clock.advance(0.1)
    assert state.drain_ended


def test_second_request_forces_and_moves_no_deadline(state: LoopState, clock: Clock) -> None:
    state.request_stop()
    deadline = state.drain_deadline
    clock.advance(5)
    state.request_stop()
    assert state.stop_forced
    assert state.drain_deadline == deadline
    state.request_stop()
    assert state.stop_forced
