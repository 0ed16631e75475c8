"""How much may be sent to the provider now: requests and tokens, for each model apart.

What the provider's headers state counts. The settings, and a limit that is stated without what is left of
it, count a minute: what was sent within the last one never exceeds them. An entry is dated when its answer
came, so that it leaves our window no earlier than the provider's.

Of each limit this replica takes its share. Replicas whose shares sum up to 1 stay within it together.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from shared.messages import RateLimits
from supervisor.providers.stated_limit import UNLIMITED, StatedLimit, share_of
from supervisor.status.status import RateLimitStatus

WINDOW_SECONDS = 60.0
MARGIN_SECONDS = 0.1
STATED_MARGIN_SECONDS = 0.01
MAX_TOKENS_A_CALL = 300_000
"""OpenAI refuses an embeddings request of more; see its API reference, "Create embeddings"."""
MIN_SHARE = 1 / 60
"""A unit of less than this part of the limit waits: many small calls would use up the requests."""
FIRST_TOKENS_A_BYTE = 1.0
RATIO_MARGIN = 1.1
RATIO_WEIGHT = 0.2
MAX_MODELS = 200


@dataclass(frozen=True, slots=True)
class _Reserved:
    """A call that is out: its tokens are estimated until its answer comes."""

    tokens: int
    sent_at: float


@dataclass(slots=True)
class _Window:
    """What one model was sent: reserved while a call is out, spent for a minute after it.

    The limits a minute are this replica's share.
    """

    minute_requests: int
    minute_tokens: int
    requests: StatedLimit
    tokens: StatedLimit
    spent: deque[tuple[float, int]] = field(default_factory=deque)
    spent_tokens: int = 0
    reserved: dict[int, _Reserved] = field(default_factory=dict)
    reserved_tokens: int = 0
    tokens_a_byte: float = FIRST_TOKENS_A_BYTE

    def roll(self, now: float) -> None:
        while self.spent and self.spent[0][0] <= now - WINDOW_SECONDS - MARGIN_SECONDS:
            self.spent_tokens -= self.spent.popleft()[1]

    def spend(self, tokens: int, now: float) -> None:
        self.spent.append((now, tokens))
        self.spent_tokens += tokens

    def reserve(self, unit_id: int, tokens: int, now: float) -> None:
        self.reserved[unit_id] = _Reserved(tokens, now)
        self.reserved_tokens += tokens

    def release(self, unit_id: int) -> "_Reserved | None":
        reserved = self.reserved.pop(unit_id, None)
        self.reserved_tokens -= reserved.tokens if reserved else 0
        return reserved

    def free_requests(self, now: float) -> int:
        own = self.minute_requests - len(self.spent)
        return int(min(own, self.requests.free_at(now)) - len(self.reserved))

    def free_tokens(self, now: float) -> int:
        own = self.minute_tokens - self.spent_tokens
        return int(min(own, self.tokens.free_at(now)) - self.reserved_tokens)

    @property
    def limit_requests(self) -> int:
        return min(self.minute_requests, self.requests.limit_of_share)

    @property
    def limit_tokens(self) -> int:
        return min(self.minute_tokens, self.tokens.limit_of_share)

    @property
    def enough_tokens(self) -> int:
        return max(1, int(self.limit_tokens * MIN_SHARE))

    @property
    def untouched(self) -> bool:
        return not self.spent and not self.reserved

    def resets_at(self, stated: StatedLimit) -> float | None:
        """When all of a limit is free again if nothing more is sent."""
        own = self.spent[-1][0] + WINDOW_SECONDS if self.spent else None
        return stated.full_at if stated.is_known else own

    def opens_at(self, now: float) -> Iterator[float]:
        """Moments, some of them past, at which more may be free than now."""
        if self.spent and min(self.minute_requests, self.minute_tokens) < UNLIMITED:
            yield self.spent[0][0] + WINDOW_SECONDS + MARGIN_SECONDS
        for stated, amount in (
            (self.requests, 1 + len(self.reserved)),
            (self.tokens, self.enough_tokens + self.reserved_tokens),
        ):
            if stated.is_known:
                allowed_at = stated.allows_at(amount, now)
                yield allowed_at + STATED_MARGIN_SECONDS if allowed_at > now else now
                yield stated.full_at


class RateLimiter:
    """Owned by the loop; `clock` is monotonic. The ceilings are the settings; 0 = what the provider says.

    `share` is the part of ceilings and stated limits that is this replica's: above 0, up to 1.
    """

    def __init__(
        self,
        requests_per_minute: int,
        tokens_per_minute: int,
        clock: Callable[[], float],
        share: float = 1.0,
    ) -> None:
        self._share = share
        self._ceiling_requests = share_of(requests_per_minute or UNLIMITED, share)
        self._ceiling_tokens = share_of(tokens_per_minute or UNLIMITED, share)
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def max_bytes(self, model: str) -> int:
        """The largest unit, in bytes of text, that may go out now; 0 if it is better to wait."""
        now = self._clock()
        window = self._window(model)
        if window.free_requests(now) < 1:
            return 0
        free, enough = window.free_tokens(now), window.enough_tokens
        if free < enough and not (window.untouched and window.tokens.used_at(now) < 1):
            return 0
        # A text larger than the whole limit is tried when nothing else is out: the provider decides.
        tokens = min(free if free >= enough else UNLIMITED, MAX_TOKENS_A_CALL)
        return max(1, int(tokens / window.tokens_a_byte))

    def reserve(self, model: str, unit_id: int, size_bytes: int) -> None:
        """A unit goes out; its tokens are estimated until its answer comes."""
        window = self._window(model)
        tokens = min(size_bytes, int(size_bytes * window.tokens_a_byte) + 1)
        window.reserve(unit_id, tokens, self._clock())

    def answered(
        self, model: str, unit_id: int, size_bytes: int, tokens: int, seen: RateLimits | None
    ) -> None:
        """A unit's answer: `tokens` were billed, 0 if it was refused; `seen` is what its headers said."""
        now = self._clock()
        window = self._window(model)
        reserved = window.release(unit_id)
        window.spend(tokens, now)
        if tokens:
            ratio = min(1.0, RATIO_MARGIN * tokens / max(1, size_bytes))
            # Down slowly, up at once: an estimate that is too low is what costs a 429.
            window.tokens_a_byte += RATIO_WEIGHT * (ratio - window.tokens_a_byte)
            window.tokens_a_byte = max(window.tokens_a_byte, ratio)
        self._learn(window, seen, reserved.sent_at if reserved else now, tokens)

    def lost(self, model: str, unit_id: int) -> None:
        """A unit's answer will never come; what it cost is not known and counts as estimated."""
        now = self._clock()
        window = self._window(model)
        reserved = window.release(unit_id)
        tokens = reserved.tokens if reserved else 0
        window.spend(tokens, now)
        self._learn(window, None, now, tokens)

    def opens_at(self) -> float | None:
        """The next moment at which a model that is limited may be sent more; None if none is."""
        now = self._clock()
        moments: list[float] = []
        for window in self._windows.values():
            window.roll(now)
            moments.extend(moment for moment in window.opens_at(now) if moment > now)
        return min(moments, default=None)

    def __len__(self) -> int:
        """How many models it keeps count of."""
        return len(self._windows)

    def rates(self, provider: str = "") -> tuple[RateLimitStatus, ...]:
        """What is known of each model's limits, for people to look at, with the provider's name."""
        windows = self._windows.items()
        return tuple(
            status for model, window in windows for status in self._statuses(provider, model, window)
        )

    def _statuses(self, provider: str, model: str, window: _Window) -> Iterator[RateLimitStatus]:
        now = self._clock()
        window.roll(now)
        for kind, limit, free, stated in (
            ("requests", window.limit_requests, window.free_requests(now), window.requests),
            ("tokens", window.limit_tokens, window.free_tokens(now), window.tokens),
        ):
            if limit < UNLIMITED:
                resets_at = window.resets_at(stated)
                resets = None if resets_at is None else max(0.0, resets_at - now)
                yield RateLimitStatus(model, kind, max(0, free), limit, resets, provider)

    def _window(self, model: str) -> _Window:
        window = self._windows.get(model)
        if window is None:
            if len(self._windows) >= MAX_MODELS:
                self._windows = {name: kept for name, kept in self._windows.items() if not kept.untouched}
            window = _Window(
                self._ceiling_requests,
                self._ceiling_tokens,
                StatedLimit(self._share),
                StatedLimit(self._share),
            )
            self._windows[model] = window
        window.roll(self._clock())
        return window

    def _learn(self, window: _Window, seen: RateLimits | None, sent_at: float, tokens: int) -> None:
        now = self._clock()
        said = seen or RateLimits()
        for stated, amount, limit, remaining, reset in (
            (window.requests, 1, said.limit_requests, said.remaining_requests, said.reset_requests_seconds),
            (window.tokens, tokens, said.limit_tokens, said.remaining_tokens, said.reset_tokens_seconds),
        ):
            stated.spend_of_share(amount, now)
            if remaining is not None:
                stated.state(limit, remaining, reset, sent_at=sent_at, now=now)
            elif stated.is_known:
                stated.spend(amount, now)
        if seen is not None:
            requests, tokens = _minute_limits(seen)
            window.minute_requests = min(self._ceiling_requests, share_of(requests, self._share))
            window.minute_tokens = min(self._ceiling_tokens, share_of(tokens, self._share))


def _minute_limits(seen: RateLimits) -> tuple[int, int]:
    """Requests and tokens a minute, where the provider states a limit and not what is left of it.

    A limit that takes longer to be full again is one of an hour or a day, and does not count here.
    """
    requests = seen.remaining_requests is None and (seen.reset_requests_seconds or 0.0) <= WINDOW_SECONDS
    tokens = seen.remaining_tokens is None and (seen.reset_tokens_seconds or 0.0) <= WINDOW_SECONDS
    return (
        seen.limit_requests or UNLIMITED if requests else UNLIMITED,
        seen.limit_tokens or UNLIMITED if tokens else UNLIMITED,
    )
