"""Two replicas with RATE_SHARE on one limited server, in simulated time."""

from collections.abc import Callable, Sequence

import pytest

from shared.errors import RetryReason
from shared.messages import Failure
from supervisor.status.status import RateLimitStatus
from tests.builders import make_settings
from tests.fakes.clock import Clock
from tests.fakes.harness import Harness
from tests.fakes.limited_server import Count, Fixed, Refilled, Server, Sliding
from tests.fakes.simulated_provider import Reply, SimulatedProvider

REQUESTS_PER_MINUTE = 60
PLENTY = 10**9
TASKS_EACH = 200
STEP_SECONDS = 0.1


class Replicas:
    """Two services of one clock whose provider calls reach one server. Each has tasks of its own."""

    def __init__(
        self, make_count: Callable[[int, float], Count], *, says_left: bool, **settings: object
    ) -> None:
        self.clock = Clock()
        self.server = Server(make_count(REQUESTS_PER_MINUTE, 60.0), make_count(PLENTY, 60.0))
        self._says_left = says_left
        self.services = [self._service(**settings) for _ in range(2)]
        for number, service in enumerate(self.services):
            service.add(f"{number}-{task}" for task in range(TASKS_EACH))

    def work(self, seconds: float) -> None:
        until = self.clock() + seconds
        while self.clock() < until:
            for service in self.services:
                service.work(STEP_SECONDS)

    @property
    def done(self) -> list[int]:
        return [len(service.reports) for service in self.services]

    def _service(self, **settings: object) -> SimulatedProvider:
        harness = Harness(make_settings(batch_max_tasks=1, concurrency_limit=5, **settings), clock=self.clock)
        harness.start_workers()
        return SimulatedProvider(harness, self._answer)

    def _answer(self, texts: Sequence[str], _: str) -> Reply:
        served, headers, _wait = self.server.ask(len(texts), self.clock())
        failure = None if served else Failure("slow down", RetryReason.RATE_LIMIT, 1.0)
        return Reply(0.3, failure, headers if self._says_left else None)


@pytest.mark.parametrize("make_count", [Refilled, Fixed, Sliding])
def test_limit_that_the_headers_state_is_shared_without_a_refusal(
    make_count: Callable[[int, float], Count],
) -> None:
    replicas = Replicas(make_count, says_left=True, rate_share=0.5)
    replicas.work(300.0)
    assert replicas.server.refused == 0
    assert min(replicas.done) >= 0.9 * 300 / 2


@pytest.mark.slow
@pytest.mark.parametrize("make_count", [Refilled, Fixed, Sliding])
def test_ceiling_is_shared_without_a_refusal(make_count: Callable[[int, float], Count]) -> None:
    replicas = Replicas(
        make_count, says_left=False, rate_share=0.5, openai_requests_per_minute=REQUESTS_PER_MINUTE
    )
    replicas.work(300.0)
    assert replicas.server.refused == 0
    assert min(replicas.done) >= 0.9 * 300 / 2


@pytest.mark.parametrize("says_left", [True, False])
def test_without_a_share_they_are_refused(says_left: bool) -> None:
    replicas = Replicas(Refilled, says_left=says_left, openai_requests_per_minute=REQUESTS_PER_MINUTE)
    replicas.work(300.0)
    assert replicas.server.refused > 0


@pytest.mark.parametrize("says_left", [True, False])
def test_status_shows_the_share(says_left: bool) -> None:
    ceiling = 0 if says_left else REQUESTS_PER_MINUTE
    replicas = Replicas(Fixed, says_left=says_left, rate_share=0.25, openai_requests_per_minute=ceiling)
    replicas.work(5.0)
    for service in replicas.services:
        assert requests_of(service.harness).limit == REQUESTS_PER_MINUTE // 4


def requests_of(harness: Harness) -> RateLimitStatus:
    (found,) = (each for each in harness.status.rate_limits if each.kind == "requests")
    return found
