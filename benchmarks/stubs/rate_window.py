"""A provider's limits: requests and tokens within any 60 seconds."""

from collections import deque

WINDOW_SECONDS = 60.0


class RateWindow:
    """Nothing within the last minute exceeds the limits; 0 = no limit. `now` never goes back."""

    def __init__(self, requests: int, tokens: int) -> None:
        self._limits = (requests, tokens)
        self._granted: deque[tuple[float, int]] = deque()
        self._tokens = 0

    def take(self, tokens: int, now: float) -> float:
        """0.0 if granted, else the seconds until it can be (a minute for what never can)."""
        while self._granted and self._granted[0][0] <= now - WINDOW_SECONDS:
            self._tokens -= self._granted.popleft()[1]
        wait_seconds = self._wait(tokens, now)
        if not wait_seconds:
            self._granted.append((now, tokens))
            self._tokens += tokens
        return wait_seconds

    def headers(self, now: float) -> tuple[tuple[str, str], ...]:
        """`reset` is the time until all is free again."""
        used = (len(self._granted), self._tokens)
        reset = max(0.0, self._granted[-1][0] + WINDOW_SECONDS - now) if self._granted else 0.0
        lines: list[tuple[str, str]] = []
        for name, limit, spent in zip(("requests", "tokens"), self._limits, used, strict=True):
            if limit:
                lines.append((f"x-ratelimit-limit-{name}", str(limit)))
                lines.append((f"x-ratelimit-remaining-{name}", str(max(0, limit - spent))))
                lines.append((f"x-ratelimit-reset-{name}", f"{reset:.3f}s"))
        return tuple(lines)

    def _wait(self, tokens: int, now: float) -> float:
        max_requests, max_tokens = self._limits
        left_requests, left_tokens = len(self._granted), self._tokens
        waits = 0.0
        for moment, spent in [*self._granted, (now, 0)]:
            fits = not max_requests or left_requests < max_requests
            if fits and (not max_tokens or left_tokens + tokens <= max_tokens):
                return waits
            waits = max(0.001, moment + WINDOW_SECONDS - now)
            left_requests, left_tokens = left_requests - 1, left_tokens - spent
        return WINDOW_SECONDS
