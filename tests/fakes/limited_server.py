"""Servers that limit requests and tokens in different ways, in simulated time."""

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from shared.messages import RateLimits


class Count(Protocol):
    """How a server counts one kind of thing."""

    limit: int

    def left(self, now: float) -> float: ...

    def full_in(self, now: float) -> float: ...

    def take(self, amount: int, now: float) -> None: ...


@dataclass
class Refilled:
    """OpenAI and Groq: what was used comes back evenly."""

    limit: int
    window: float
    _used: float = 0.0
    _at: float = 0.0

    def left(self, now: float) -> float:
        self._used = max(0.0, self._used - (now - self._at) * self.limit / self.window)
        self._at = now
        return self.limit - self._used

    def full_in(self, now: float) -> float:
        return (self.limit - self.left(now)) * self.window / self.limit

    def take(self, amount: int, now: float) -> None:
        self.left(now)
        self._used += amount


@dataclass
class Fixed:
    """Many gateways: all of it comes back when the minute is over."""

    limit: int
    window: float
    _used: int = 0
    _number: int = 0

    def left(self, now: float) -> float:
        if int(now // self.window) != self._number:
            self._number, self._used = int(now // self.window), 0
        return self.limit - self._used

    def full_in(self, now: float) -> float:
        return self.window - now % self.window

    def take(self, amount: int, now: float) -> None:
        self.left(now)
        self._used += amount


@dataclass
class Sliding:
    """What was used comes back a minute later."""

    limit: int
    window: float
    _taken: deque[tuple[float, int]] = field(default_factory=deque)

    def left(self, now: float) -> float:
        while self._taken and self._taken[0][0] <= now - self.window:
            self._taken.popleft()
        return self.limit - sum(amount for _, amount in self._taken)

    def full_in(self, now: float) -> float:
        self.left(now)
        return self._taken[-1][0] + self.window - now if self._taken else 0.0

    def take(self, amount: int, now: float) -> None:
        self._taken.append((now, amount))


@dataclass
class Server:
    requests: Count
    tokens: Count
    says_retry_after: bool = True
    says_limit: bool = True
    says_reset: bool = True
    refused: int = 0
    served_requests: int = 0
    served_tokens: int = 0
    least_left: float = float("inf")
    """The fewest requests that were left at any time."""

    def ask(self, tokens: int, now: float) -> tuple[bool, RateLimits, float | None]:
        """Is it served, what do the headers say, and what Retry-After?"""
        served = self.requests.left(now) >= 1 and self.tokens.left(now) >= tokens
        if served:
            self.requests.take(1, now)
            self.tokens.take(tokens, now)
            self.served_requests += 1
            self.served_tokens += tokens
            self.least_left = min(self.least_left, self.requests.left(now))
        else:
            self.refused += 1
        headers = RateLimits(
            self.requests.limit if self.says_limit else None,
            self.tokens.limit if self.says_limit else None,
            max(0, int(self.requests.left(now))),
            max(0, int(self.tokens.left(now))),
            self.requests.full_in(now) if self.says_reset else None,
            self.tokens.full_in(now) if self.says_reset else None,
        )
        return served, headers, 1.0 if self.says_retry_after and not served else None
