"""Tells systemd how the service is, where systemd asked for it. Protocol: sd_notify(3)."""

import os
import socket
import time
from collections.abc import Callable

WATCHDOG = "WATCHDOG=1"
PATIENCE_SECONDS = 2.0


class Notifier:
    """Without `NOTIFY_SOCKET` in the environment every call does nothing. `clock` is monotonic."""

    def __init__(
        self, address: str | None, ping_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._ping_seconds = ping_seconds
        self._pinged_at = float("-inf")
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def from_environment(cls) -> "Notifier":
        """Takes the variables away, so that no child process speaks for the service."""
        microseconds = os.environ.pop("WATCHDOG_USEC", "")
        ping_seconds = int(microseconds) / 1e6 / 4 if microseconds.isdecimal() else 1.0
        return cls(os.environ.pop("NOTIFY_SOCKET", None), ping_seconds)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def __call__(self, message: str) -> None:
        """Send `READY=1`, `STOPPING=1`, or `WATCHDOG=1`, the last no more often than asked for."""
        if self._socket is None:
            return
        if message == WATCHDOG:
            now = self._clock()
            if now - self._pinged_at < self._ping_seconds:
                return
            self._pinged_at = now
        # A ping that finds the manager's queue full is followed by another; the others are said once.
        self._socket.settimeout(0.0 if message == WATCHDOG else PATIENCE_SECONDS)
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError:
            return  # a manager that does not listen is no reason to stop working
