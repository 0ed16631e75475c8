"""The limiter against servers that count in different ways, in simulated time: no limit is left unused."""

# ruff: noqa: E501  a table is read a row a line

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from shared.messages import RateLimits
from supervisor.providers.rate_limiter import RateLimiter
from tests.fakes.clock import Clock
from tests.fakes.limited_server import Count, Fixed, Refilled, Server, Sliding

MODEL = "m"
LATENCY_SECONDS = 0.5
TICK_SECONDS = 0.3
WORKERS = 5
DAY = 86_400.0


@dataclass
class Replica:
    """Sends as much as its limiter allows, as the supervisor does: a 429 holds all its workers back."""

    clock: Clock
    server: Server
    limiter: RateLimiter
    workers: int
    unit_tokens: int
    starts_at: float = 0.0
    _out: list[tuple[float, int, int, int, RateLimits | None]] = field(default_factory=list)
    _unit_ids: Iterator[int] = field(default_factory=itertools.count)
    _held_until: float = 0.0
    _refusals: int = 0

    def work(self) -> float:
        """What is to be done now; when there is more to do."""
        now = self.clock()
        while self._out and self._out[0][0] <= now:
            _, unit_id, size, billed, seen = heapq.heappop(self._out)
            self.limiter.answered(MODEL, unit_id, size, billed, seen)
        if now < self.starts_at:
            return self.starts_at
        while len(self._out) < self.workers and now >= self._held_until:
            most = self.limiter.max_bytes(MODEL)
            if not most:
                break
            self._send(min(self.unit_tokens, most), now)
        moments = [self._out[0][0]] if self._out else []
        moments += [self._held_until] if self._held_until > now else []
        opens_at = self.limiter.opens_at()
        moments += [opens_at] if opens_at is not None else []
        assert moments, "nothing will ever be sent again"
        return min(moments)

    def _send(self, size: int, now: float) -> None:
        unit_id = next(self._unit_ids)
        self.limiter.reserve(MODEL, unit_id, size)
        served, headers, wait = self.server.ask(size, now)
        self._refusals = 0 if served else self._refusals + 1
        if not served:
            wait_seconds = wait or min(60.0, 2.0 ** (self._refusals - 1))
            self._held_until = max(self._held_until, now + LATENCY_SECONDS + wait_seconds)
        # As the worker does: a Retry-After says more than what the headers say is left.
        seen = None if wait is not None else headers
        heapq.heappush(self._out, (now + LATENCY_SECONDS, unit_id, size, size if served else 0, seen))


def run(server: Server, seconds: float, unit_tokens: int, shares: Sequence[float] = (1.0,)) -> None:
    """A replica for each share, all of them on one server. They start five seconds apart."""
    clock = Clock(0.0)
    replicas = [
        Replica(clock, server, RateLimiter(0, 0, clock, share), WORKERS, unit_tokens, 5.0 * number)
        for number, share in enumerate(shares)
    ]
    while clock() < seconds:
        soonest = min(replica.work() for replica in replicas)
        # The loop turns for other reasons, too.
        clock.seconds = max(clock() + 1e-6, min(soonest, clock() + TICK_SECONDS))


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


SHARES = [(0.5, 0.5), (0.75, 0.25), (0.25, 0.25, 0.25, 0.25)]
COUNTS = [Refilled, Fixed, Sliding]


@pytest.mark.parametrize("shares", SHARES, ids=str)
@pytest.mark.parametrize("make_count", COUNTS)
def test_replicas_use_up_requests_by_their_shares(
    make_count: Callable[[int, float], Count], shares: tuple[float, ...]
) -> None:
    server = Server(make_count(60, 60.0), make_count(PLENTY, 60.0))
    run(server, 600.0, 10, shares)
    assert server.served_requests >= 0.9 * 600
    assert server.refused <= 1


@pytest.mark.parametrize("shares", SHARES, ids=str)
@pytest.mark.parametrize("make_count", COUNTS)
def test_replicas_use_up_tokens_by_their_shares(
    make_count: Callable[[int, float], Count], shares: tuple[float, ...]
) -> None:
    server = Server(make_count(PLENTY, 60.0), make_count(60_000, 60.0))
    run(server, 600.0, 1000, shares)
    assert server.served_tokens >= 0.9 * 600_000
    assert server.refused == 0


def test_without_shares_replicas_are_refused() -> None:
    server = Server(Refilled(60, 60.0), Refilled(PLENTY, 60.0))
    run(server, 600.0, 10, (1.0, 1.0))
    assert server.refused > 10


@pytest.mark.parametrize("make_count", COUNTS)
def test_replica_alone_leaves_what_is_not_its_share(make_count: Callable[[int, float], Count]) -> None:
    requests = make_count(60, 60.0)
    server = Server(requests, make_count(PLENTY, 60.0))
    run(server, 600.0, 10, (0.25,))
    assert server.least_left >= 0.75 * 60 - 1
    assert server.served_requests >= 0.9 * 0.25 * 600


@pytest.mark.parametrize("window", [1.0, 10.0])
def test_more_replicas_than_a_limit_has_requests_go_on(window: float) -> None:
    server = Server(Refilled(3, window), Refilled(PLENTY, 60.0))
    run(server, 200.0, 10, (0.25, 0.25, 0.25, 0.25))
    assert server.served_requests >= 0.5 * 3 * min(200 / window, 100)


@pytest.mark.parametrize("share", [0.001, 1 / 3])
def test_smallest_share_of_the_smallest_limit_still_sends(share: float) -> None:
    server = Server(Fixed(1, 60.0), Fixed(PLENTY, 60.0))
    run(server, 600.0, 10, (share,))
    assert server.served_requests >= 9
