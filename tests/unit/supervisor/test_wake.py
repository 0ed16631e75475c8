"""The wake_endpoint is heard with its token alone, and not without end."""

import pytest
from pydantic import SecretStr

from supervisor.runtime.events import Event, WakeRequested
from supervisor.task_api.wake import Ring, WakeEndpoint
from tests.fakes.clock import Clock

RIGHT = "Bearer ring-ring"


@pytest.fixture
def posted() -> list[Event]:
    return []


@pytest.fixture
def bell(clock: Clock, posted: list[Event]) -> WakeEndpoint:
    return WakeEndpoint(SecretStr("ring-ring"), posted.append, clock)


def test_right_token_is_heard(bell: WakeEndpoint, posted: list[Event]) -> None:
    assert bell.ring(RIGHT) is Ring.HEARD
    assert posted == [WakeRequested()]


@pytest.mark.parametrize(
    "header",
    ["", "ring-ring", "Bearer", "Bearer ring-rin", "bearer ring-ring", "Bearer \xff", "Basic ring-ring"],
)
def test_anything_else_is_refused(bell: WakeEndpoint, posted: list[Event], header: str) -> None:
    assert bell.ring(header) is Ring.REFUSED
    assert posted == []


def test_without_a_token_there_is_no_bell(clock: Clock, posted: list[Event]) -> None:
    bell = WakeEndpoint(None, posted.append, clock)
    assert bell.ring("Bearer ") is Ring.NO_BELL
    assert bell.ring("") is Ring.NO_BELL
    assert posted == []


@pytest.mark.parametrize("header", [RIGHT, "Bearer guess"])
def test_twenty_rings_a_second_are_the_most(bell: WakeEndpoint, clock: Clock, header: str) -> None:
    rings = [bell.ring(header) for _ in range(50)]
    assert rings.count(Ring.TOO_OFTEN) == 30
    clock.advance(0.5)
    assert [bell.ring(header) for _ in range(20)].count(Ring.TOO_OFTEN) == 10


def test_rest_saves_up_no_more_than_one_burst(bell: WakeEndpoint, clock: Clock) -> None:
    clock.advance(10_000)
    assert [bell.ring(RIGHT) for _ in range(50)].count(Ring.HEARD) == 20
