"""What the signals asked for, and when patience ends."""

from collections.abc import Callable


class ShutdownManager:
    """Running, then draining until a deadline, then stopped. Owned by the loop; `clock` is monotonic."""

    def __init__(self, drain_timeout_seconds: float, clock: Callable[[], float]) -> None:
        self._drain_timeout_seconds = drain_timeout_seconds
        self._clock = clock
        self._deadline: float | None = None
        self._forced = False

    @property
    def draining(self) -> bool:
        return self._deadline is not None

    @property
    def forced(self) -> bool:
        """A second request came: stop now."""
        return self._forced

    @property
    def deadline(self) -> float | None:
        """When the drain gives up (monotonic)."""
        return self._deadline

    @property
    def expired(self) -> bool:
        return self._deadline is not None and self._clock() >= self._deadline

    def request(self) -> None:
        """The first request starts the drain, a second one ends it."""
        if self._deadline is None:
            self._deadline = self._clock() + self._drain_timeout_seconds
        else:
            self._forced = True
