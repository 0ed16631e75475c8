"""Stops calling what keeps failing, and finds out with one call at a time when it is well again."""

from collections.abc import Callable
from enum import IntEnum

Clock = Callable[[], float]


class BreakerState(IntEnum):
    """The values are those of the metric `circuit_breaker_state`."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class CircuitBreaker:
    """Opens after `threshold` consecutive failures; after `recovery_seconds` lets one probe through.

    Owned by one thread. `clock` is monotonic. `on_change(new_state)` is told of every change.
    """

    def __init__(
        self,
        threshold: int,
        recovery_seconds: float,
        clock: Clock,
        on_change: Callable[[BreakerState], None] = lambda _: None,
    ) -> None:
        self._threshold = threshold
        self._recovery_seconds = recovery_seconds
        self._clock = clock
        self._on_change = on_change
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._opened_at = 0.0
        self._probing = False

    @property
    def state(self) -> BreakerState:
        return self._state

    @property
    def reopens_at(self) -> float | None:
        """When an open breaker will let a probe through (monotonic); None if it is not open."""
        return self._opened_at + self._recovery_seconds if self._state is BreakerState.OPEN else None

    def allows(self) -> bool:
        """May a call be made now? Asking changes nothing; `begin` tells that it is made."""
        if self._state is BreakerState.CLOSED:
            return True
        if self._state is BreakerState.OPEN:
            return self._clock() >= self._opened_at + self._recovery_seconds
        return not self._probing

    def begin(self) -> None:
        """A call that `allows` granted is being made. In an open breaker it is the probe."""
        if self._state is not BreakerState.CLOSED:
            self._probing = True
            self._change(BreakerState.HALF_OPEN)

    def succeeded(self) -> None:
        self._failures = 0
        self._probing = False
        self._change(BreakerState.CLOSED)

    def failed(self) -> None:
        if self._state is BreakerState.OPEN:
            return  # a call from before it opened; it must not push the probe further away
        self._failures += 1
        if self._state is BreakerState.HALF_OPEN or self._failures >= self._threshold:
            self._opened_at = self._clock()
            self._probing = False
            self._change(BreakerState.OPEN)

    def undecided(self) -> None:
        """A call ended in a way that says nothing about the other side's health."""
        self._probing = False

    def _change(self, state: BreakerState) -> None:
        if state is not self._state:
            self._state = state
            self._on_change(state)
