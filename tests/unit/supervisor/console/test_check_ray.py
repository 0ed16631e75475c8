"""What `check` says of a Ray cluster, by the first thing that a pool of one worker tells."""

import pytest

from shared.errors import ConfigurationError
from shared.settings import Pool
from supervisor.console.preflight import ray as preflight
from supervisor.console.preflight.finding import Finding, Mark
from supervisor.pool.base import WorkerDied, WorkersAwaited, WorkerStarted
from supervisor.runtime.events import Event
from tests.builders import make_settings
from tests.fakes.pool import FakePool
from workers.factory import load_processors

GONE = "nothing answers at head:6379"
SETTINGS = make_settings(pool=Pool.RAY, ray_address="head:6379", concurrency_limit=6, worker_threads=2)


@pytest.mark.parametrize(
    ("event", "mark", "words"),
    [
        (
            WorkerStarted(0, 1, "Ray node 10.0.0.2"),
            Mark.OK,
            "a worker starts on Ray node 10.0.0.2; the service wants 3 workers of 1 CPU and 0 GPU",
        ),
        (WorkersAwaited(GONE), Mark.FAILED, f"{GONE}. The service would wait, and fail no task"),
        (
            WorkerDied(0, (), None, was_ready=False, reason="could not be started: the code differs"),
            Mark.FAILED,
            "a worker could not be started: the code differs",
        ),
    ],
)
def test_first_news_decides_and_the_pool_is_closed(
    monkeypatch: pytest.MonkeyPatch, event: Event, mark: Mark, words: str
) -> None:
    pool = FakePool()

    def make_pool(settings, config, post, slots):  # type: ignore[no-untyped-def]  # as the real one
        assert slots == 1
        post(event)
        return pool

    monkeypatch.setattr(preflight, "make_pool", make_pool)
    assert preflight.look_at_ray(SETTINGS, load_processors("", {})) == Finding(mark, "RAY_ADDRESS", words)
    assert pool.started
    assert pool.closed


def test_cluster_on_which_nothing_happens_fails_and_the_pool_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = FakePool()
    monkeypatch.setattr(preflight, "START_SECONDS", 0.01)
    monkeypatch.setattr(preflight, "make_pool", lambda *_, **__: pool)
    finding = preflight.look_at_ray(SETTINGS, load_processors("", {}))
    assert finding.mark is Mark.FAILED
    assert "no worker was ready on the cluster at head:6379 within" in finding.text
    assert pool.closed


def test_missing_ray_is_a_fault_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConfigurationError("POOL: is ray, and Ray is not installed")

    monkeypatch.setattr(preflight, "make_pool", refuse)
    finding = preflight.look_at_ray(SETTINGS, load_processors("", {}))
    assert finding == Finding(Mark.FAILED, "POOL", "is ray, and Ray is not installed")
