"""What systemd hears, over the kind of socket it listens on."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.notifier import WATCHDOG, Notifier
from tests.fakes.clock import Clock

# A notifier lives as long as its process and has no close.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


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


def make(address: str, ping_seconds: float = 1.0, clock: Clock | None = None) -> Notifier:
    return Notifier(address, ping_seconds, clock or Clock())


def test_messages_arrive_as_they_are(manager: socket.socket) -> None:
    notify = make(manager.getsockname())
    notify("READY=1")
    notify("STOPPING=1")
    assert heard(manager) == ["READY=1", "STOPPING=1"]


def test_watchdog_is_pinged_no_more_often_than_asked_for(manager: socket.socket) -> None:
    clock = Clock()
    notify = make(manager.getsockname(), 2.0, clock)
    for _ in range(10):
        notify(WATCHDOG)
        clock.advance(0.5)
    assert heard(manager) == [WATCHDOG] * 3


def test_abstract_address_is_understood(tmp_path: Path) -> None:
    name = f"ai-task-processor-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.setblocking(False)
        make(f"@{name}")("READY=1")
        assert heard(listener) == ["READY=1"]


def test_variables_are_taken_so_that_no_child_speaks_for_the_service(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    notify = Notifier.from_environment()
    assert "NOTIFY_SOCKET" not in os.environ
    assert "WATCHDOG_USEC" not in os.environ
    notify(WATCHDOG)
    notify(WATCHDOG)
    assert heard(manager) == [WATCHDOG]


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Notifier.from_environment()("READY=1")


def test_manager_that_is_gone_or_does_not_listen_holds_up_nothing(manager: socket.socket) -> None:
    notify = make(manager.getsockname())
    for _ in range(10_000):
        notify("READY=1")
    assert 0 < len(heard(manager)) < 10_000, "the socket was full before"
    manager.close()
    notify("READY=1")
