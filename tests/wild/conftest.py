"""The service between a task API and a provider that answer as the wild does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.service import API_TOKEN, OPENAI_KEY, ServiceProcess
from tests.stubs.scripted_http import ScriptedServer
from tests.wild.provider import Provider
from tests.wild.world import World

QUICK = {
    "POLLING_INTERVAL_SECONDS": "0.2",
    "POLLING_MIN_INTERVAL_SECONDS": "0.05",
    "RETRY_BACKOFF_FACTOR": "1",
    "CONCURRENCY_LIMIT": "2",
    "CIRCUIT_BREAKER_RECOVERY_SECONDS": "4",
}


@dataclass(frozen=True, slots=True)
class Wild:
    """Both peers on loopback, and what starts services between them."""

    api: World
    api_server: ScriptedServer
    provider: Provider
    provider_server: ScriptedServer
    launch: Callable[..., ServiceProcess]
    """`launch(settings, through=())`: a running service with these settings and no others."""

    def settings(self, **settings: str) -> dict[str, str]:
        """All that the service needs to find its peers, with quick timings."""
        peers = {
            "API_BASE_URL": self.api_server.url,
            "API_TOKEN": API_TOKEN,
            "OPENAI_BASE_URL": f"{self.provider_server.url}/v1",
            "OPENAI_API_KEY": OPENAI_KEY,
        }
        return {**peers, **QUICK, **settings}

    def start(self, **settings: str) -> ServiceProcess:
        return self.launch(self.settings(**settings))

    def assert_each_succeeded_once(self, texts: list[str]) -> None:
        """Every text's task succeeded; none was paid twice; the API took one final report for each."""
        assert self.api.failed() == {}
        assert sorted(self.api.succeeded()) == sorted(texts)
        assert self.provider.paid_again(texts) == {}
        assert self.api.accepted_twice() == {}

    def assert_right_vectors(self, texts: list[str]) -> None:
        """Each text's task was given the vector of that text."""
        reported, right = self.api.vectors(texts), self.provider.vectors(texts)
        assert np.allclose(reported, right, atol=1e-6)

    def watch(self, seconds: float) -> None:
        """Let so much time pass, where the point is that something does not happen meanwhile."""
        self.api_server.closing.wait(seconds)


@pytest.fixture
def wild(tmp_path: Path) -> Iterator[Wild]:
    with run_wild(tmp_path) as running:
        yield running


@contextmanager
def run_wild(folder: Path) -> Iterator[Wild]:
    """A Wild in `folder`; its services end with it, and none has written a traceback."""
    api, provider = World(), Provider()
    started: list[ServiceProcess] = []

    def launch(settings: Mapping[str, str], through: Sequence[str] = ()) -> ServiceProcess:
        started.append(ServiceProcess(folder, settings, f"service-{len(started) + 1}", through))
        return started[-1]

    with ScriptedServer(api) as api_server, ScriptedServer(provider) as provider_server:
        try:
            yield Wild(api, api_server, provider, provider_server, launch)
        finally:
            for service in started:
                service.clean_up()
        assert all("Traceback" not in service.output() for service in started)
