"""What systemd hears, over the kind of socket it listens on."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.runtime.notifier import WATCHDOG, Notifier
from tests.fakes.clock import Clock

Kept = Callable[[Notifier], Notifier]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def heard(manager: socket.socket) -> list[str]:
    """Everything that has come in."""
    messages = []
    while True:
        try:
            messages.append(manager.recv(4096).decode())
        except BlockingIOError:
            return messages


@pytest.fixture
def kept() -> Iterator[Kept]:
    """Closes with the test what a process keeps open until its end."""
    notifiers: list[Notifier] = []

    def keep(notifier: Notifier) -> Notifier:
        notifiers.append(notifier)
        return notifier

    yield keep
    for notifier in notifiers:
        notifier.close()


def test_messages_arrive_as_they_are(manager: socket.socket, kept: Kept) -> None:
    notify = kept(Notifier(manager.getsockname(), 1.0))
    notify("READY=1")
    notify("STOPPING=1")
    assert heard(manager) == ["READY=1", "STOPPING=1"]


def test_watchdog_is_pinged_no_more_often_than_asked_for(manager: socket.socket, kept: Kept) -> None:
    clock = Clock()
    notify = kept(Notifier(manager.getsockname(), 2.0, clock))
    for _ in range(10):
        notify(WATCHDOG)
        clock.advance(0.5)
    assert heard(manager) == [WATCHDOG] * 3


def test_abstract_address_is_understood(kept: Kept) -> None:
    name = f"ai-task-processor-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.setblocking(False)
        kept(Notifier(f"@{name}", 1.0))("READY=1")
        assert heard(listener) == ["READY=1"]


def test_variables_are_taken_so_that_no_child_speaks_for_the_service(
    manager: socket.socket, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    notify = kept(Notifier.from_environment())
    assert "NOTIFY_SOCKET" not in os.environ
    assert "WATCHDOG_USEC" not in os.environ
    notify(WATCHDOG)
    notify(WATCHDOG)
    assert heard(manager) == [WATCHDOG]


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Notifier.from_environment()("READY=1")


def test_manager_that_is_gone_or_does_not_listen_holds_up_nothing(manager: socket.socket, kept: Kept) -> None:
    notify = kept(Notifier(manager.getsockname(), 0.0))
    for _ in range(10_000):
        notify("WATCHDOG=1")
    assert 0 < len(heard(manager)) < 10_000, "the socket was full before"
    manager.close()
    notify("READY=1")
