"""systemd hears how the service is, where it asked to; elsewhere nothing happens."""

import os
import socket
from typing import ClassVar

import pytest

from supervisor.runtime.notifier import Notifier
from tests.fakes.clock import Clock


class FakeSocket:
    """Keeps what is sent. `trouble` is raised instead, if there is any."""

    sent: ClassVar[list[tuple[bytes, str]]] = []
    trouble: ClassVar[OSError | None] = None

    def __init__(self, family: int, kind: int) -> None:
        assert family == socket.AF_UNIX
        assert kind & socket.SOCK_DGRAM
        assert kind & socket.SOCK_CLOEXEC

        self._patience_seconds: float | None = None

    def settimeout(self, seconds: float | None) -> None:
        self._patience_seconds = seconds

    def sendto(self, message: bytes, address: str) -> None:
        assert self._patience_seconds is not None, "this could stop the loop for good"
        assert self._patience_seconds == 0.0 or message != b"WATCHDOG=1"
        if self.trouble is not None:
            raise self.trouble
        self.sent.append((message, address))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, str]]:
    sent: list[tuple[bytes, str]] = []
    monkeypatch.setattr(FakeSocket, "sent", sent)
    monkeypatch.setattr(FakeSocket, "trouble", None)
    monkeypatch.setattr(socket, "socket", FakeSocket)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    return sent


def test_message_goes_to_the_socket(sent: list[tuple[bytes, str]], clock: Clock) -> None:
    notify = Notifier("/run/notify", 1.0, clock)
    notify("READY=1")
    notify("STOPPING=1")
    assert sent == [(b"READY=1", "/run/notify"), (b"STOPPING=1", "/run/notify")]


def test_address_with_an_at_sign_is_abstract(sent: list[tuple[bytes, str]], clock: Clock) -> None:
    Notifier("@notify", 1.0, clock)("READY=1")
    assert sent == [(b"READY=1", "\0notify")]


def test_pings_are_no_more_frequent_than_asked_for(sent: list[tuple[bytes, str]], clock: Clock) -> None:
    notify = Notifier("/run/notify", 2.0, clock)
    for _ in range(50):
        notify("WATCHDOG=1")
        clock.advance(0.1)
    assert sent == [(b"WATCHDOG=1", "/run/notify")] * 3


def test_first_ping_is_not_held_back(sent: list[tuple[bytes, str]]) -> None:
    Notifier("/run/notify", 10.0, Clock(0.0))("WATCHDOG=1")
    assert len(sent) == 1


@pytest.mark.parametrize("address", [None, ""])
def test_without_an_address_nothing_happens(sent: list[tuple[bytes, str]], address: str | None) -> None:
    Notifier(address, 1.0)("READY=1")
    assert sent == []


@pytest.mark.parametrize("trouble", [ConnectionRefusedError(), FileNotFoundError(), BlockingIOError()])
def test_manager_that_does_not_listen_stops_nothing(
    sent: list[tuple[bytes, str]], monkeypatch: pytest.MonkeyPatch, trouble: OSError
) -> None:
    monkeypatch.setattr(FakeSocket, "trouble", trouble)
    Notifier("/run/notify", 1.0)("READY=1")
    assert sent == []


def test_variables_are_taken_away_so_that_no_child_speaks_for_the_service(
    sent: list[tuple[bytes, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "8000000")
    Notifier.from_environment()("READY=1")
    assert sent == [(b"READY=1", "/run/notify")]
    assert "NOTIFY_SOCKET" not in os.environ
    assert "WATCHDOG_USEC" not in os.environ


@pytest.mark.parametrize(("microseconds", "pings"), [("8000000", 4), ("1000000", 32), (None, 8)])
def test_pings_come_four_times_in_the_time_that_systemd_allows(
    sent: list[tuple[bytes, str]],
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    microseconds: str | None,
    pings: int,
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    if microseconds is not None:
        monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    notify = Notifier.from_environment()
    monkeypatch.setattr(notify, "_clock", clock)
    for _ in range(8 * 8):
        notify("WATCHDOG=1")
        clock.advance(0.125)
    assert len(sent) == pings


@pytest.mark.parametrize("microseconds", ["", "soon", "-5", "1.5", "²"])
def test_watchdog_time_that_is_no_number_is_ignored(
    sent: list[tuple[bytes, str]], monkeypatch: pytest.MonkeyPatch, microseconds: str
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    Notifier.from_environment()("WATCHDOG=1")
    assert len(sent) == 1
