"""Ctrl-C and its kin as a wish that is looked at between steps."""

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Self

from examples.demo.fault import StopRequest

# SIGTERM and SIGHUP too: the children are in sessions of their own, and nobody else would end them.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WAKE_BYTES = 4096


class Interrupts:
    """Inside its `with`, stop signals are counted; the second one calls `on_repeat` at once.

    For the main thread only, as signal handlers are.
    """

    def __init__(self, on_repeat: Callable[[], None]) -> None:
        self._on_repeat = on_repeat
        self._seen = 0
        self._taken = 0
        # A pipe, not an Event: an Event set by a handler may find its own lock held by the thread
        # that the handler interrupted.
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def pause(self, seconds: float) -> None:
        """Wait; raises StopRequest as soon as a signal has come that was not yet raised."""
        select.select([self._wake_read], [], [], seconds)
        self.check()

    def check(self) -> None:
        """Raise StopRequest if a signal has come that was not yet raised."""
        if self._seen > self._taken:
            self._taken = self._seen
            os.read(self._wake_read, WAKE_BYTES)
            raise StopRequest

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        self._seen += 1
        with suppress(BlockingIOError):  # a full pipe wakes as well
            os.write(self._wake_write, b"\0")
        if self._seen > 1:
            self._on_repeat()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._wake_read)
        os.close(self._wake_write)
