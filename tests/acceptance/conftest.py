"""The service, its peers, and their end whatever happens."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.pace import Gate
from tests.acceptance.service import API_TOKEN, OPENAI_KEY, ServiceProcess
from tests.acceptance.task_api import Peer
from tests.stubs.provider import StubProvider

StartService = Callable[..., ServiceProcess]
"""`start_service(**settings)`: a running ServiceProcess with these settings, numbered log files a start."""


@pytest.fixture
def task_api(tmp_path: Path) -> Iterator[Peer]:
    peer = Peer(tmp_path / "tasks.sqlite3", API_TOKEN)
    yield peer
    if peer.running:
        peer.stop()


@pytest.fixture
def provider() -> Iterator[StubProvider]:
    with StubProvider(dimensions=16) as running:
        yield running


@pytest.fixture
def gate(provider: StubProvider) -> Iterator[Gate]:
    """Holds every call to the provider until a test opens it."""
    provider.policy = gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[StartService]:
    """Starts services with the settings given, and ends them with the test."""
    started: list[ServiceProcess] = []

    def start(**settings: str) -> ServiceProcess:
        started.append(ServiceProcess(tmp_path, settings, f"service-{len(started) + 1}"))
        return started[-1]

    yield start
    for service in started:
        service.clean_up()


@pytest.fixture
def start_service(launch: StartService, task_api: Peer, provider: StubProvider) -> StartService:
    """Starts services between the reference task API and the stub provider."""

    def start(**settings: str) -> ServiceProcess:
        peers = {
            "API_BASE_URL": task_api.url,
            "API_TOKEN": API_TOKEN,
            "OPENAI_BASE_URL": provider.base_url,
            "OPENAI_API_KEY": OPENAI_KEY,
        }
        return launch(**(peers | settings))

    return start


@dataclass(frozen=True, slots=True)
class Harness:
    """A service that is ready, with its peers, shared by tests that leave it as they found it."""

    service: ServiceProcess
    task_api: Peer
    provider: StubProvider


@pytest.fixture(scope="session")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("harness")
    peer = Peer(folder / "tasks.sqlite3", API_TOKEN)
    with StubProvider(dimensions=16) as provider:
        service = ServiceProcess(
            folder,
            {
                "API_BASE_URL": peer.url,
                "API_TOKEN": API_TOKEN,
                "OPENAI_BASE_URL": provider.base_url,
                "OPENAI_API_KEY": OPENAI_KEY,
                "CONCURRENCY_LIMIT": "1",
            },
        )
        try:
            service.wait_until_ready()
            yield Harness(service, peer, provider)
            assert service.stop() == 0, "it was left as it was found"
            assert "Traceback" not in service.output()
        finally:
            service.clean_up()
            peer.stop()
