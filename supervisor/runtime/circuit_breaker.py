"""Stops calls to a service that keeps failing, and tries one call at a time until it is well again."""

from collections.abc import Callable
from enum import StrEnum

FIRST_PROBE_SHARE = 1 / 16
"""The first probe comes after this share of the recovery time. Each later one waits twice as long."""


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Opens after `threshold` failures of calls that began after the last success.

    A failure of a call that began before the last success says nothing new: the service has answered
    another call since. An open breaker lets one probe through after a sixteenth of `recovery_seconds`. The
    wait doubles with each probe that fails, up to `recovery_seconds`.

    Owned by one thread. All times are those of `clock`, which is monotonic. `on_change(new_state)` is told
    of every change.
    """

    def __init__(
        self,
        threshold: int,
        recovery_seconds: float,
        clock: Callable[[], float],
        on_change: Callable[[BreakerState], None] = lambda _: None,
    ) -> None:
        self._threshold = threshold
        self._recovery_seconds = recovery_seconds
        self._clock = clock
        self._on_change = on_change
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._succeeded_at = float("-inf")
        self._opened_at = 0.0
        self._wait_seconds = recovery_seconds * FIRST_PROBE_SHARE
        self._probing = False

    @property
    def state(self) -> BreakerState:
        return self._state

    @property
    def reopens_at(self) -> float | None:
        """When an open breaker will let a probe through; None if it is not open."""
        return self._opened_at + self._wait_seconds if self._state is BreakerState.OPEN else None

    def allows(self) -> bool:
        """May a call be made now? Asking changes nothing; `begin` tells that it is made."""
        if self._state is BreakerState.CLOSED:
            return True
        if self._state is BreakerState.OPEN:
            return self._clock() >= self._opened_at + self._wait_seconds
        return not self._probing

    def begin(self) -> None:
        """A call that `allows` granted is being made. In an open breaker it is the probe."""
        if self._state is not BreakerState.CLOSED:
            self._probing = True
            self._change(BreakerState.HALF_OPEN)

    def succeeded(self) -> None:
        """A call was answered well."""
        self._failures = 0
        self._succeeded_at = self._clock()
        self._wait_seconds = self._recovery_seconds * FIRST_PROBE_SHARE
        self._probing = False
        self._change(BreakerState.CLOSED)

    def failed(self, began_at: float) -> None:
        """A call that began at `began_at` failed."""
        if self._state is BreakerState.OPEN or began_at < self._succeeded_at:
            return
        if self._state is BreakerState.HALF_OPEN:
            if began_at < self._opened_at:
                return  # a call from before it opened; the probe is still out
            self._wait_seconds = min(2 * self._wait_seconds, self._recovery_seconds)
            self._open()
            return
        self._failures += 1
        if self._failures >= self._threshold:
            self._open()

    def undecided(self) -> None:
        """A call ended in a way that says nothing about the service's health."""
        self._probing = False

    def _open(self) -> None:
        self._opened_at = self._clock()
        self._probing = False
        self._change(BreakerState.OPEN)

    def _change(self, state: BreakerState) -> None:
        if state is not self._state:
            self._state = state
            self._on_change(state)
