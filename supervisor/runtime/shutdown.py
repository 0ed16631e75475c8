"""How the service ends: the drain that a signal asks for, and the exit codes."""

from collections.abc import Callable
from enum import IntEnum


class ExitCode(IntEnum):
    DRAINED = 0
    UNEXPECTED = 1
    CONFIGURATION = 2
    LEFT_OVER = 3
    WORKERS_KEEP_DYING = 4


class ShutdownManager:
    """Running, then draining until a deadline. Owned by the loop; `clock` is monotonic."""

    def __init__(self, drain_timeout_seconds: float, clock: Callable[[], float]) -> None:
        self._drain_timeout_seconds = drain_timeout_seconds
        self._clock = clock
        self.deadline: float | None = None
        """When the drain gives up (monotonic)."""
        self.forced = False
        """A second request came: stop now."""

    @property
    def draining(self) -> bool:
        return self.deadline is not None

    @property
    def expired(self) -> bool:
        return self.deadline is not None and self._clock() >= self.deadline

    def request(self) -> None:
        """The first request starts the drain, a second one ends it."""
        if self.deadline is None:
            self.deadline = self._clock() + self._drain_timeout_seconds
        else:
            self.forced = True
