"""How much the other side takes at once, learned from what worked and what failed."""

from collections.abc import Callable

FIRST_RETRY_SECONDS = 30.0
MAX_RETRY_SECONDS = 900.0
COARSENESS = 8
"""The search ends when the smallest amount that fails is within an eighth of the largest that works."""


class LearnedLimit:
    """Unlimited until an amount fails. Then the limit is found by bisection. Owned by one thread.

    The smallest amount that failed is tried again after a while. The while doubles each time it fails
    again, up to `max_retry_seconds`, so that a fixed limit costs little and a passing trouble is
    soon forgotten. When it works, the limit doubles with each success. `clock` is monotonic.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        first_retry_seconds: float = FIRST_RETRY_SECONDS,
        max_retry_seconds: float = MAX_RETRY_SECONDS,
        smallest: int = 1,
    ) -> None:
        self._clock = clock
        self._first_retry_seconds = first_retry_seconds
        self._max_retry_seconds = max_retry_seconds
        self._smallest = smallest
        self._works_up_to = 0
        self._fails_from: int | None = None
        self._max_failed = 0
        self._retry_seconds = first_retry_seconds
        self._retry_at = 0.0
        self._retrying = False

    @property
    def works_up_to(self) -> int:
        """The largest amount that worked; 0 if none is known."""
        return self._works_up_to

    @property
    def fails_from(self) -> int | None:
        """The smallest amount that failed; None if none is known."""
        return self._fails_from

    @property
    def found(self) -> bool:
        """A limit is known, and the search for it is over."""
        fails_from = self._fails_from
        return fails_from is not None and (
            fails_from <= self._smallest or self._next_amount(fails_from) == self._works_up_to
        )

    def limit(self, wanted: int) -> int:
        """How much of `wanted` to ask for now, at least `smallest`. Asking changes nothing."""
        if not self._max_failed:
            return max(self._smallest, wanted)
        if self._fails_from is None:
            return max(self._smallest, min(wanted, 2 * self._works_up_to))
        if self._clock() >= self._retry_at and not self._retrying:
            return max(self._smallest, min(wanted, self._fails_from))
        return max(self._smallest, min(wanted, self._next_amount(self._fails_from)))

    def began(self, amount: int) -> None:
        """A request of this amount is being made."""
        if self._fails_from is not None and amount >= self._fails_from:
            self._retrying = True

    def worked(self, amount: int) -> None:
        """A request of this amount was served."""
        self._works_up_to = max(self._works_up_to, amount)
        if self._fails_from is not None and amount >= self._fails_from:
            self._fails_from = None
            self._retrying = False
            self._retry_seconds = self._first_retry_seconds
        if amount >= self._max_failed:
            self._max_failed = 0

    def failed(self, amount: int) -> None:
        """A request of this amount was too much."""
        self._max_failed = max(self._max_failed, amount)
        if amount <= self._works_up_to:
            self._works_up_to = 0
        if self._fails_from is not None and amount >= self._fails_from:
            if self._retrying:
                self._retrying = False
                self._retry_seconds = min(2 * self._retry_seconds, self._max_retry_seconds)
                self._retry_at = self._clock() + self._retry_seconds
            return
        self._fails_from = amount
        self._retry_at = self._clock() + self._retry_seconds

    def excused(self, amount: int) -> None:
        """What failed at this amount failed for another reason."""
        if self._fails_from is not None and self._fails_from <= amount:
            self._fails_from = None
            self._retrying = False
            if not self._works_up_to:
                self._max_failed = 0

    def undecided(self) -> None:
        """A request ended in a way that says nothing about its amount."""
        self._retrying = False

    def _next_amount(self, fails_from: int) -> int:
        """Halfway between what works and what fails; what works once they are close."""
        gap = fails_from - self._works_up_to
        if self._works_up_to and gap <= max(1, self._works_up_to // COARSENESS):
            return self._works_up_to
        return (self._works_up_to + fails_from) // 2
