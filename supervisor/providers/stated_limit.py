"""One limit of one model, as the provider's headers state it: what is left, and when all of it is back."""

from dataclasses import dataclass

UNSTATED_WINDOW_SECONDS = 60.0
UNLIMITED = 10**12
STEP_MARGIN_SECONDS = 1.0
"""Providers round to whole seconds, so a smaller difference between two moments says nothing."""


@dataclass(slots=True)
class StatedLimit:
    """`limit` less what counts as used. All of it is back at `full_at`, whatever the limit's window is.

    Until then it comes back evenly, as from a bucket that is refilled, or all at once, as where a window
    ends: which of the two shows from one statement to the next. A window of a second, a minute or a day
    need not be told apart.
    """

    limit: int = UNLIMITED
    used: float = 0.0
    at: float = 0.0
    full_at: float = 0.0
    sent_at: float = float("-inf")
    """When the call was sent whose answer stated this."""
    returns_at_once: bool = False

    @property
    def is_known(self) -> bool:
        return self.limit < UNLIMITED

    def used_at(self, now: float) -> float:
        if now >= self.full_at:
            return 0.0
        if self.returns_at_once:
            return self.used
        return self.used * (self.full_at - now) / (self.full_at - self.at)

    def free_at(self, now: float) -> float:
        return self.limit - self.used_at(now)

    def state(
        self, limit: int | None, remaining: int, reset_seconds: float | None, *, sent_at: float, now: float
    ) -> None:
        """Take over what the answer to a call of `sent_at` says.

        Where no limit is said, the most that was ever left counts as the limit.
        """
        known = self.limit if self.is_known else 0
        limit = max(limit or known, remaining, 1)
        used = float(limit - remaining)
        if sent_at < self.sent_at and used < self.used_at(now):
            return  # An answer that was long on its way knows nothing of the calls after it.
        seconds = UNSTATED_WINDOW_SECONDS if reset_seconds is None else reset_seconds
        self._compare(used, now + seconds, now)
        self.limit, self.used, self.at, self.full_at = limit, used, now, now + seconds
        self.sent_at = sent_at

    def spend(self, amount: int, now: float) -> None:
        """Something was used up that no header has stated."""
        used = self.used_at(now) + amount
        if self.returns_at_once or self.full_at <= now or self.used <= 0:
            full_at = max(self.full_at, now + UNSTATED_WINDOW_SECONDS)
        else:
            full_at = now + used * (self.full_at - self.at) / self.used
        self.used, self.at, self.full_at = used, now, full_at

    def allows_at(self, amount: float, now: float) -> float:
        """When so much will be free, should nothing more be used. `amount` may be more than there is."""
        may_be_used = self.limit - amount
        if self.used_at(now) <= may_be_used:
            return now
        if self.returns_at_once or may_be_used <= 0:
            return max(now, self.full_at)
        return self.full_at - (self.full_at - self.at) * may_be_used / self.used

    def _compare(self, used: float, full_at: float, now: float) -> None:
        """Did `full_at` move on with what was used since, or does it stand?"""
        if now >= self.full_at or self.used <= 0:
            return
        would_move_to = now + used * (self.full_at - self.at) / self.used
        if abs(would_move_to - self.full_at) > STEP_MARGIN_SECONDS:
            self.returns_at_once = abs(full_at - self.full_at) < abs(full_at - would_move_to)
