"""Signals become events, and the handlers do nothing else."""

import faulthandler
import signal
from collections.abc import Callable

import pytest

from supervisor.runtime.events import Event, PauseRequested, ResumeRequested, StopRequested
from supervisor.runtime.process import obey_signals

Handler = Callable[[int, None], None]


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[int, Handler]:
    handlers: dict[int, Handler] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(faulthandler, "register", lambda *_, **__: None)
    return handlers


@pytest.mark.parametrize(
    ("number", "event"),
    [
        (signal.SIGTERM, StopRequested()),
        (signal.SIGINT, StopRequested()),
        (signal.SIGUSR1, PauseRequested()),
        (signal.SIGUSR2, ResumeRequested()),
    ],
)
def test_signal_is_one_event(handlers: dict[int, Handler], number: signal.Signals, event: Event) -> None:
    posted: list[Event] = []
    obey_signals(posted.append)
    assert posted == []
    handlers[number](number, None)
    assert posted == [event]


def test_no_other_signal_is_touched(handlers: dict[int, Handler]) -> None:
    obey_signals(lambda _: None)
    assert set(handlers) == {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2}


def test_quit_signal_prints_the_stack_of_every_thread(
    handlers: dict[int, Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[tuple[int, bool]] = []

    def register(number: int, *, all_threads: bool) -> None:
        registered.append((number, all_threads))

    monkeypatch.setattr(faulthandler, "register", register)
    obey_signals(lambda _: None)
    assert registered == [(signal.SIGQUIT, True)]
