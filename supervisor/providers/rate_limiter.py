"""How much may be sent to the provider now: requests and tokens a minute, for each model apart.

A sliding window rather than a bucket that refills: what was sent within the last minute never exceeds the
limit, which satisfies a provider that counts either way. An entry is dated when its answer came, so that
it leaves our window no earlier than the provider's.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from shared.messages import RateLimits
from supervisor.status.status import RateLimitStatus

WINDOW_SECONDS = 60.0
MARGIN_SECONDS = 0.1
MOST_TOKENS_A_CALL = 300_000
"""OpenAI refuses an embeddings request of more; see its API reference, "Create embeddings"."""
SMALLEST_SHARE = 1 / 60
"""A unit of less than a second's worth of the limit waits: many small calls would use up the requests."""
FIRST_TOKENS_A_BYTE = 1.0
RATIO_MARGIN = 1.1
RATIO_WEIGHT = 0.2
UNLIMITED = 10**12
MOST_MODELS = 200


@dataclass(slots=True)
class _Window:
    """What one model was sent: reserved while a call is out, spent for a minute after it."""

    spent: deque[tuple[float, int]] = field(default_factory=deque)
    spent_tokens: int = 0
    reserved: dict[int, int] = field(default_factory=dict)
    limit_requests: int = UNLIMITED
    limit_tokens: int = UNLIMITED
    foreign_requests: int = 0
    foreign_tokens: int = 0
    foreign_until: float = 0.0
    tokens_a_byte: float = FIRST_TOKENS_A_BYTE

    def roll(self, now: float) -> None:
        while self.spent and self.spent[0][0] <= now - WINDOW_SECONDS - MARGIN_SECONDS:
            self.spent_tokens -= self.spent.popleft()[1]
        if now >= self.foreign_until:
            self.foreign_requests = self.foreign_tokens = 0

    def free_requests(self) -> int:
        return self.limit_requests - len(self.spent) - len(self.reserved) - self.foreign_requests

    def free_tokens(self) -> int:
        return self.limit_tokens - self.spent_tokens - sum(self.reserved.values()) - self.foreign_tokens

    @property
    def limited(self) -> bool:
        return min(self.limit_requests, self.limit_tokens) < UNLIMITED

    @property
    def untouched(self) -> bool:
        return not self.spent and not self.reserved


class RateLimiter:
    """Owned by the loop; `clock` is monotonic. The ceilings are the settings; 0 = what the provider says."""

    def __init__(self, requests_per_minute: int, tokens_per_minute: int, clock: Callable[[], float]) -> None:
        self._ceiling_requests = requests_per_minute or UNLIMITED
        self._ceiling_tokens = tokens_per_minute or UNLIMITED
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def most_bytes(self, model: str) -> int:
        """The largest unit, in bytes of text, that may go out now; 0 if it is better to wait."""
        window = self._window(model)
        if window.free_requests() < 1:
            return 0
        free = window.free_tokens()
        enough = max(1, int(window.limit_tokens * SMALLEST_SHARE))
        if free < enough and not window.untouched:
            return 0
        # A text larger than the whole limit is tried when nothing else is out: the provider decides.
        tokens = min(free if free >= enough else UNLIMITED, MOST_TOKENS_A_CALL)
        return max(1, int(tokens / window.tokens_a_byte))

    def reserve(self, model: str, unit_id: int, size_bytes: int) -> None:
        """A unit goes out; its tokens are estimated until its answer comes."""
        window = self._window(model)
        window.reserved[unit_id] = min(size_bytes, int(size_bytes * window.tokens_a_byte) + 1)

    def answered(
        self, model: str, unit_id: int, size_bytes: int, tokens: int, seen: RateLimits | None
    ) -> None:
        """A unit's answer: `tokens` were billed, 0 if it was refused; `seen` is what its headers said."""
        now = self._clock()
        window = self._window(model)
        window.reserved.pop(unit_id, None)
        window.spent.append((now, tokens))
        window.spent_tokens += tokens
        if tokens:
            ratio = min(1.0, RATIO_MARGIN * tokens / max(1, size_bytes))
            # Down slowly, up at once: an estimate that is too low is what costs a 429.
            window.tokens_a_byte += RATIO_WEIGHT * (ratio - window.tokens_a_byte)
            window.tokens_a_byte = max(window.tokens_a_byte, ratio)
        if seen is not None:
            self._learn(window, seen, now)

    def lost(self, model: str, unit_id: int) -> None:
        """A unit's answer will never come; what it cost is not known and counts as estimated."""
        window = self._window(model)
        tokens = window.reserved.pop(unit_id, 0)
        window.spent.append((self._clock(), tokens))
        window.spent_tokens += tokens

    def opens_at(self) -> float | None:
        """When the oldest of what was sent leaves a window that is limited; None if nothing is in one."""
        moments: list[float] = []
        for window in self._windows.values():
            window.roll(self._clock())
            if window.limited and window.spent:
                moments.append(window.spent[0][0] + WINDOW_SECONDS + MARGIN_SECONDS)
            if window.foreign_until > self._clock():
                moments.append(window.foreign_until)
        return min(moments, default=None)

    def rates(self) -> tuple[RateLimitStatus, ...]:
        """What is known of each model's limits, for people to look at."""
        return tuple(
            status for model, window in self._windows.items() for status in self._statuses(model, window)
        )

    def _statuses(self, model: str, window: _Window) -> Iterator[RateLimitStatus]:
        now = self._clock()
        window.roll(now)
        resets = window.spent[0][0] + WINDOW_SECONDS - now if window.spent else None
        if window.limit_requests < UNLIMITED:
            left = max(0, window.free_requests())
            yield RateLimitStatus(model, "requests", left, window.limit_requests, resets)
        if window.limit_tokens < UNLIMITED:
            left = max(0, window.free_tokens())
            yield RateLimitStatus(model, "tokens", left, window.limit_tokens, resets)

    def _window(self, model: str) -> _Window:
        window = self._windows.get(model)
        if window is None:
            if len(self._windows) >= MOST_MODELS:
                self._windows = {name: kept for name, kept in self._windows.items() if not kept.untouched}
            window = _Window(limit_requests=self._ceiling_requests, limit_tokens=self._ceiling_tokens)
            self._windows[model] = window
        window.roll(self._clock())
        return window

    def _learn(self, window: _Window, seen: RateLimits, now: float) -> None:
        window.limit_requests = min(self._ceiling_requests, seen.limit_requests or UNLIMITED)
        window.limit_tokens = min(self._ceiling_tokens, seen.limit_tokens or UNLIMITED)
        window.foreign_requests = window.foreign_tokens = 0
        # Others may share the key: what the provider counts beyond our own calls is theirs.
        if seen.remaining_requests is not None and window.limit_requests == seen.limit_requests:
            window.foreign_requests = max(0, window.free_requests() - seen.remaining_requests)
        if seen.remaining_tokens is not None and window.limit_tokens == seen.limit_tokens:
            window.foreign_tokens = max(0, window.free_tokens() - seen.remaining_tokens)
        resets = (seen.reset_requests_seconds or 0.0, seen.reset_tokens_seconds or 0.0)
        window.foreign_until = now + min(max(resets), WINDOW_SECONDS)
