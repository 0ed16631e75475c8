"""One limit of one model, as the provider's headers state it, and this replica's share of it."""

from dataclasses import dataclass

UNSTATED_WINDOW_SECONDS = 60.0
UNLIMITED = 10**12
STEP_MARGIN_SECONDS = 1.0
"""Providers round to whole seconds, so a smaller difference between two moments says nothing."""
ROUNDING = 1e-6
"""So little does not count: a time computed from it may be no later than now."""


def share_of(limit: int, share: float) -> int:
    """At least one, so that every replica makes some progress. What has no limit keeps none."""
    return limit if limit >= UNLIMITED else max(1, int(limit * share))


@dataclass(slots=True)
class StatedLimit:
    """All of the limit is back at `full_at`.

    Until then it comes back evenly, as a bucket fills, or all at once, as a window ends. Which of the two
    it is shows from one statement to the next. The length of the window does not matter.

    With a `share` below 1 other replicas use the same limit, and what is stated is already old when they
    send. So two things hold. This replica has no more in use than its share of the limit, and that comes
    back at its share of the pace while others use the rest. And of what is stated as left it takes its
    share, or the one request that it needs to go on.
    """

    share: float = 1.0
    limit: int = UNLIMITED
    used: float = 0.0
    at: float = 0.0
    full_at: float = 0.0
    sent_at: float = float("-inf")
    """When the call was sent whose answer stated this."""
    returns_at_once: bool = False
    own_used: float = 0.0
    """What this replica used of its share, as of `own_at`."""
    own_at: float = 0.0

    @property
    def is_known(self) -> bool:
        return self.limit < UNLIMITED

    @property
    def limit_of_share(self) -> int:
        return share_of(self.limit, self.share)

    @property
    def _part(self) -> float:
        """The share, or what one is of a small limit."""
        return max(self.share, 1 / self.limit)

    def used_at(self, now: float) -> float:
        """What all replicas use."""
        if now >= self.full_at:
            return 0.0
        if self.returns_at_once:
            return self.used
        return self.used * (self.full_at - now) / (self.full_at - self.at)

    def free_at(self, now: float) -> float:
        """What this replica may use."""
        used = self.used_at(now)
        if self.share >= 1 or not self.is_known:
            return self.limit - used
        left, own_used = self.limit - used, self._own_used_at(now)
        of_what_is_left = self._part * left
        if own_used < 1:
            of_what_is_left = max(of_what_is_left, min(left, 1.0))
        return min(of_what_is_left, self.limit_of_share - own_used) + ROUNDING

    def state(
        self, limit: int | None, remaining: int, reset_seconds: float | None, *, sent_at: float, now: float
    ) -> None:
        """Take over what the answer to a call of `sent_at` says.

        Without a stated limit, the most that was ever left counts as the limit.
        """
        known = self.limit if self.is_known else 0
        limit = max(limit or known, remaining, 1)
        used = float(limit - remaining)
        if sent_at < self.sent_at and used < self.used_at(now):
            return  # a late answer does not count the calls after it
        seconds = UNSTATED_WINDOW_SECONDS if reset_seconds is None else reset_seconds
        self._compare(used, now + seconds, now)
        self.own_used, self.own_at = min(self._own_used_at(now), used), now
        self.limit, self.used, self.at, self.full_at = limit, used, now, now + seconds
        self.sent_at = sent_at

    def spend(self, amount: int, now: float) -> None:
        """Something was used up that no header has stated."""
        used = self.used_at(now) + amount
        if self.returns_at_once or self.full_at <= now or self.used <= 0:
            full_at = max(self.full_at, now + UNSTATED_WINDOW_SECONDS)
        else:
            full_at = now + used * (self.full_at - self.at) / self.used
        self.own_used, self.own_at = self._own_used_at(now), now
        self.used, self.at, self.full_at = used, now, full_at

    def spend_of_share(self, amount: int, now: float) -> None:
        """This replica used so much of its share."""
        self.own_used, self.own_at = self._own_used_at(now) + amount, now

    def allows_at(self, amount: float, now: float) -> float:
        """When so much is free if nothing more is used. `amount` may be more than the limit."""
        if self.share >= 1:
            return self._left_at(amount, now)
        first = amount <= 1 and self._own_used_at(now) < 1
        return max(
            self._left_at(amount if first else amount / self._part, now), self._own_left_at(amount, now)
        )

    def _left_at(self, amount: float, now: float) -> float:
        may_be_used = self.limit - amount
        if self.used_at(now) <= may_be_used:
            return now
        if self.returns_at_once or may_be_used <= 0:
            return max(now, self.full_at)
        return self.full_at - (self.full_at - self.at) * may_be_used / self.used

    def _own_left_at(self, amount: float, now: float) -> float:
        too_much = self._own_used_at(now) - max(0.0, self.limit_of_share - amount)
        if too_much <= ROUNDING:
            return now
        return max(now, self.full_at) if self.returns_at_once else now + too_much / self._own_pace

    @property
    def _own_pace(self) -> float:
        """How much of the share comes back in a second, if the limit does so evenly. Above 0."""
        seconds = self.full_at - self.at
        if seconds <= 0 or self.used <= 0:
            return float("inf")
        return self._part * self.used / seconds

    def _own_used_at(self, now: float) -> float:
        if self.own_used <= 0 or now <= self.own_at:
            return self.own_used
        if self.returns_at_once:
            return 0.0 if now >= self.full_at else self.own_used
        return max(0.0, self.own_used - self._own_pace * (now - self.own_at))

    def _compare(self, used: float, full_at: float, now: float) -> None:
        """Note whether `full_at` has moved on with what was used since, or stands still."""
        if now >= self.full_at or self.used <= 0:
            return
        would_move_to = now + used * (self.full_at - self.at) / self.used
        if abs(would_move_to - self.full_at) > STEP_MARGIN_SECONDS:
            self.returns_at_once = abs(full_at - self.full_at) < abs(full_at - would_move_to)
