"""The wake endpoint obeys its token alone, and not without end."""

import pytest
from pydantic import SecretStr

from supervisor.console.wake import NO_TOKEN_SET, POLLING, TOO_OFTEN, WRONG_TOKEN, WakeEndpoint
from supervisor.runtime.events import Event, WakeRequested
from tests.fakes.clock import Clock

RIGHT = "Bearer wake-token"


@pytest.fixture
def posted() -> list[Event]:
    return []


@pytest.fixture
def endpoint(clock: Clock, posted: list[Event]) -> WakeEndpoint:
    return WakeEndpoint(SecretStr("wake-token"), posted.append, clock)


def test_right_token_wakes(endpoint: WakeEndpoint, posted: list[Event]) -> None:
    assert endpoint.wake(RIGHT) == POLLING
    assert posted == [WakeRequested()]


@pytest.mark.parametrize(
    "header",
    ["", "wake-token", "Bearer", "Bearer wake-toke", "bearer wake-token", "Bearer \xff", "Basic wake-token"],
)
def test_anything_else_is_refused(endpoint: WakeEndpoint, posted: list[Event], header: str) -> None:
    assert endpoint.wake(header) == WRONG_TOKEN
    assert posted == []


@pytest.mark.parametrize("header", ["Bearer ", ""])
def test_without_a_token_nothing_wakes(clock: Clock, posted: list[Event], header: str) -> None:
    assert WakeEndpoint(None, posted.append, clock).wake(header) == NO_TOKEN_SET
    assert posted == []


@pytest.mark.parametrize("header", [RIGHT, "Bearer guess"])
def test_twenty_calls_a_second_are_the_most(endpoint: WakeEndpoint, clock: Clock, header: str) -> None:
    assert [endpoint.wake(header) for _ in range(50)].count(TOO_OFTEN) == 30
    clock.advance(0.5)
    assert [endpoint.wake(header) for _ in range(20)].count(TOO_OFTEN) == 10


def test_quiet_time_saves_up_no_more_than_one_burst(endpoint: WakeEndpoint, clock: Clock) -> None:
    clock.advance(10_000)
    assert [endpoint.wake(RIGHT) for _ in range(50)].count(POLLING) == 20
