"""The demo's progress, live in a terminal and as plain lines elsewhere."""

import time
from collections.abc import Callable
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from examples.demo.backend import Tally

LINE_EVERY_SECONDS = 1.0
LINE_EVERY_SHARE = 0.1


class ProgressDisplay(Protocol):
    def show(self, tally: Tally) -> None:
        """Take note of the present state; shows it if it is worth it."""

    def close(self, tally: Tally) -> None:
        """Show the last state."""


class PlainProgress:
    """Lines: the first state, then one when a second has passed or a tenth more is done, and the last."""

    def __init__(self, stream: TextIO, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._total = total
        self._clock = clock
        self._started = clock()
        self._shown_at = self._started
        self._shown: Tally | None = None

    def show(self, tally: Tally) -> None:
        if self._shown is None or self._is_due(tally.done - self._shown.done):
            self._write(tally)

    def close(self, tally: Tally) -> None:
        if tally != self._shown:
            self._write(tally)

    def _is_due(self, more_done: int) -> bool:
        if self._clock() - self._shown_at >= LINE_EVERY_SECONDS:
            return True
        return more_done >= max(1, LINE_EVERY_SHARE * self._total)

    def _write(self, tally: Tally) -> None:
        self._shown_at, self._shown = self._clock(), tally
        elapsed_seconds = self._shown_at - self._started
        self._stream.write(
            f"{elapsed_seconds:6.1f} s  {tally.done} of {self._total} tasks done, "
            f"{rate(tally.done, elapsed_seconds):.0f} tasks/s, {tally.failed} failed\n"
        )
        self._stream.flush()


class BarProgress:
    """One live line with a bar."""

    def __init__(self, stream: TextIO, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._bar = Progress(
            TextColumn("embedding"),
            BarColumn(complete_style="cyan", finished_style="green"),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.0f} tasks/s"),
            TextColumn("{task.fields[failed]} failed"),
            TimeElapsedColumn(),
            console=Console(file=stream),
        )
        self._task = self._bar.add_task("", total=total, rate=0.0, failed=0)
        self._bar.start()

    def show(self, tally: Tally) -> None:
        tasks_a_second = rate(tally.done, self._clock() - self._started)
        self._bar.update(self._task, completed=tally.done, rate=tasks_a_second, failed=tally.failed)

    def close(self, tally: Tally) -> None:
        self.show(tally)
        self._bar.stop()


def progress_on(stream: TextIO, total: int) -> ProgressDisplay:
    if stream.isatty() and not Console(file=stream).is_dumb_terminal:
        return BarProgress(stream, total)
    return PlainProgress(stream, total)


def rate(done: int, elapsed_seconds: float) -> float:
    """Tasks a second; 0 while no time has passed."""
    return done / elapsed_seconds if elapsed_seconds > 0 else 0.0
