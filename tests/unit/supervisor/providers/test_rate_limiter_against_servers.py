"""The limiter against servers that count in different ways, in simulated time: no limit is left unused."""

# ruff: noqa: E501  a table is read a row a line

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from shared.messages import RateLimits
from supervisor.providers.rate_limiter import RateLimiter
from tests.fakes.clock import Clock

MODEL = "m"
LATENCY_SECONDS = 0.5
TICK_SECONDS = 0.3
WORKERS = 5
DAY = 86_400.0


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

    def ask(self, tokens: int, now: float) -> tuple[bool, RateLimits, float | None]:
        """Is it served, what do the headers say, and what Retry-After?"""
        served = self.requests.left(now) >= 1 and self.tokens.left(now) >= tokens
        if served:
            self.requests.take(1, now)
            self.tokens.take(tokens, now)
            self.served_requests += 1
            self.served_tokens += tokens
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


def run(server: Server, seconds: float, unit_tokens: int, workers: int = WORKERS) -> None:
    """Send as much as the limiter allows, as the supervisor does: a 429 holds all workers back."""
    clock = Clock(0.0)
    limiter = RateLimiter(0, 0, clock)
    unit_ids = itertools.count()
    out: list[tuple[float, int, int, int, RateLimits | None, float | None]] = []
    held_until, refusals = 0.0, 0
    while clock() < seconds:
        while out and out[0][0] <= clock():
            _, unit_id, size, billed, seen, wait = heapq.heappop(out)
            limiter.answered(MODEL, unit_id, size, billed, seen)
            refusals = 0 if billed else refusals + 1
            if not billed:
                held_until = max(held_until, clock() + (wait or min(60.0, 2.0 ** (refusals - 1))))
        while len(out) < workers and clock() >= held_until and (most := limiter.max_bytes(MODEL)):
            unit_id, size = next(unit_ids), min(unit_tokens, most)
            limiter.reserve(MODEL, unit_id, size)
            served, headers, wait = server.ask(size, clock())
            # As the worker does: a Retry-After says more than what the headers say is left.
            seen = None if wait is not None else headers
            heapq.heappush(out, (clock() + LATENCY_SECONDS, unit_id, size, size if served else 0, seen, wait))
        moments = [out[0][0]] if out else []
        moments += [held_until] if held_until > clock() else []
        opens_at = limiter.opens_at()
        moments += [opens_at] if opens_at is not None else []
        assert moments, "nothing will ever be sent again"
        # The loop turns for other reasons, too.
        clock.seconds = max(clock() + 1e-6, min(*moments, clock() + TICK_SECONDS))


PLENTY = 10**9


@pytest.mark.parametrize(
    ("server", "seconds", "unit_tokens", "ideal_requests"),
    [
        pytest.param(Server(Refilled(60, 60), Refilled(PLENTY, 60)), 600, 10, 660, id="refilled, a minute"),
        pytest.param(Server(Refilled(2, 1), Refilled(PLENTY, 60)), 60, 10, 122, id="groq: 2 in a second"),
        pytest.param(Server(Refilled(14_400, DAY), Refilled(PLENTY, 60)), 600, 10, 6000, id="groq: by the day"),
        pytest.param(Server(Fixed(60, 60), Fixed(PLENTY, 60)), 600, 10, 600, id="fixed, a minute"),
        pytest.param(Server(Sliding(60, 60), Sliding(PLENTY, 60)), 600, 10, 600, id="sliding, a minute"),
        pytest.param(
            Server(Refilled(60, 60), Refilled(PLENTY, 60), says_limit=False), 600, 10, 660, id="azure: no limits"
        ),
        pytest.param(
            Server(Refilled(60, 60), Refilled(PLENTY, 60), says_reset=False), 600, 10, 660, id="no resets"
        ),
        pytest.param(
            Server(Fixed(60, 60), Fixed(PLENTY, 60), says_retry_after=False), 600, 10, 600, id="fixed, no Retry-After"
        ),
        pytest.param(
            Server(Sliding(60, 60), Sliding(PLENTY, 60), says_retry_after=False), 600, 10, 600, id="sliding, no Retry-After"
        ),
    ],
)  # fmt: skip
def test_requests_are_used_up_and_hardly_ever_refused(
    server: Server, seconds: float, unit_tokens: int, ideal_requests: int
) -> None:
    run(server, seconds, unit_tokens)
    assert server.served_requests >= 0.8 * ideal_requests
    assert server.refused <= 3


@pytest.mark.parametrize(
    ("server", "seconds", "unit_tokens", "ideal_tokens"),
    [
        pytest.param(Server(Refilled(PLENTY, 60), Refilled(100_000, 60)), 600, 20_000, 1_100_000, id="refilled"),
        pytest.param(Server(Refilled(14_400, DAY), Refilled(6000, 60)), 600, 2_000, 66_000, id="groq: requests by the day, tokens by the minute"),
        pytest.param(Server(Fixed(PLENTY, 60), Fixed(100_000, 60)), 600, 20_000, 1_000_000, id="fixed"),
        pytest.param(Server(Sliding(PLENTY, 60), Sliding(100_000, 60)), 600, 20_000, 1_000_000, id="sliding"),
        pytest.param(Server(Refilled(3, 60), Refilled(PLENTY, 60)), 600, 50_000, 33 * 50_000, id="three requests a minute"),
    ],
)  # fmt: skip
def test_tokens_are_used_up_and_hardly_ever_refused(
    server: Server, seconds: float, unit_tokens: int, ideal_tokens: int
) -> None:
    run(server, seconds, unit_tokens)
    assert server.served_tokens >= 0.8 * ideal_tokens
    assert server.refused <= 3
