"""The bridge on a real Ray. Skipped where Ray is not installed; `make verify-ray` runs it."""

from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from shared.metrics import reserve_metric_files
from shared.provider_accounts import LOCAL
from supervisor.pool.base import WorkerDied, WorkersAwaited, WorkerStarted
from supervisor.pool.ray.messages import BridgeConfig
from supervisor.pool.ray.pool import BridgeProcess
from tests.eventually import eventually
from tests.integration.ray_places import HAS_RAY, OnRay, PoolOn, free_port, ray_head
from tests.worker_configs import make_config

KEY = "sk-known-to-workers-alone-0123"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not HAS_RAY, reason="make verify-ray")]


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnRay]:
    with ray_head(tmp_path_factory.mktemp("r"), cpus=1) as on_ray:
        yield on_ray


@pytest.fixture
def start(ray: OnRay, tmp_path: Path) -> Iterator[Callable[..., PoolOn]]:
    running: list[PoolOn] = []

    def starter(slots: int = 1, provider: str = LOCAL, key: str | None = None) -> PoolOn:
        reserve_metric_files(tmp_path, [f"worker-{slot}" for slot in range(slots)])
        config = make_config(tmp_path, provider=provider, key=key)
        running.append(PoolOn(ray, config, tmp_path, slots))
        return running[-1]

    yield starter
    for one in running:
        one.pool.close()
        eventually(lambda: not ray.actor_pids(), what="no actor outlives its pool")


def awaited(one: PoolOn) -> list[str]:
    return [event.reason for event in one.log.events if isinstance(event, WorkersAwaited)]


def test_bridge_that_is_killed_takes_its_actors_along_and_another_starts_new_ones(
    start: Callable[..., PoolOn], ray: OnRay
) -> None:
    one = start()
    number = one.worker()
    (pid,) = ray.actor_pids()
    ray.bridges[-1].kill()
    death = one.log.wait(WorkerDied)
    assert (death.slot, death.unit_ids, death.was_ready) == (0, (), True)
    assert "the connection to the Ray cluster" in death.reason
    assert one.worker(2) > number
    assert pid not in ray.actor_pids()
    assert len(one.log.all(WorkerDied)) == 1


def test_worker_without_a_place_waits_and_is_told(start: Callable[..., PoolOn]) -> None:
    one = start(slots=2)
    one.worker()
    eventually(lambda: awaited(one), 40.0)
    assert awaited(one)[0].startswith(
        "1 of 2 workers wait: the Ray cluster has no place yet for another worker"
    )
    assert one.log.all(WorkerDied) == []


def test_key_of_a_provider_is_in_no_file_of_ray(start: Callable[..., PoolOn], ray: OnRay) -> None:
    start(provider="openai", key=KEY).worker()
    files = [path for path in ray.files.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_head_that_does_not_answer_is_told(ray: OnRay, tmp_path: Path) -> None:
    class Elsewhere(OnRay):
        def start_bridge(self, config: BridgeConfig) -> tuple[BridgeProcess, Connection]:
            return ray.start_bridge(config)

    nowhere = Elsewhere(f"127.0.0.1:{free_port()}", ray._head, ray.files)
    one = PoolOn(nowhere, make_config(tmp_path, provider=LOCAL, key=None), tmp_path)
    eventually(lambda: awaited(one), 40.0)
    one.pool.close()
    assert awaited(one) == [
        f"nothing answers at {nowhere.address}; check RAY_ADDRESS, and that the head of the cluster runs"
    ]
    assert not one.log.all(WorkerStarted)
    assert not one.log.all(WorkerDied)
