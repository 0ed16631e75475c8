"""The pool on Ray with real workers: in processes of this machine, and on Ray where that is installed."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from shared.messages import Unit
from shared.metrics import reserve_metric_files
from shared.models import InputPlace, Output
from supervisor.pool.base import UnitFinished, WorkerDied, WorkerStarted
from tests.builders import make_task
from tests.eventually import eventually
from tests.integration.ray_places import HAS_RAY, OnProcesses, Place, PoolOn, ray_head
from tests.stubs.provider import StubProvider
from tests.stubs.provider_answer import vector_for
from tests.worker_configs import make_config

KEY = "sk-known-to-workers-alone-0123"
PLACES = ["processes", pytest.param("ray", marks=pytest.mark.skipif(not HAS_RAY, reason="make verify-ray"))]


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if request.param == "processes":
        yield OnProcesses()
        return
    with ray_head(tmp_path_factory.mktemp("r"), cpus=1) as on_ray:
        yield on_ray


@pytest.fixture
def provider() -> Iterator[StubProvider]:
    with StubProvider(dimensions=8) as provider:
        yield provider


@pytest.fixture
def start(place: Place, provider: StubProvider, tmp_path: Path) -> Iterator[Callable[[int], PoolOn]]:
    running: list[PoolOn] = []

    def starter(threads: int) -> PoolOn:
        reserve_metric_files(tmp_path, ["worker-0"])
        config = make_config(tmp_path, base_url=provider.base_url, key=KEY)
        running.append(PoolOn(place, replace(config, threads=threads), tmp_path))
        return running[-1]

    yield starter
    for one in running:
        one.pool.close()
        eventually(lambda: not place.actor_pids(), what="no actor outlives its pool")


def unit(number: int, *texts: str) -> Unit:
    tasks = [make_task(f"t-{place}", text=text) for place, text in enumerate(texts)]
    return Unit(number, tuple(tasks), "model", "openai")


def vector(event: UnitFinished, task_id: str = "t-0") -> list[float]:
    output = event.done.outcomes[task_id]
    assert isinstance(output, Output), output
    numbers: list[float] = orjson.loads(output.value)
    return numbers


def test_a_worker_answers_and_what_it_counted_is_counted_here(start: Callable[[int], PoolOn]) -> None:
    one = start(1)
    number = one.worker()
    for unit_id in (1, 2):
        one.pool.dispatch(0, number, unit(unit_id, f"text {unit_id}"))
        done = one.log.wait(UnitFinished, unit_id)
        assert vector(done) == pytest.approx(vector_for(f"text {unit_id}", 8).tolist(), abs=1e-7)
    assert one.counted("openai_requests_total") == 2
    assert one.pool.rss_bytes(0) > 10 * 2**20
    assert one.log.all(WorkerStarted)[0].where.startswith("Ray node ")


@pytest.mark.slow
def test_input_that_is_in_a_file_here_reaches_the_worker(start: Callable[[int], PoolOn]) -> None:
    one = start(1)
    (one.inputs / "a.inputs").write_bytes(b'"no"{"text":"diary"}')
    first, second = unit(1, "a", "b").tasks
    there = replace(first, input=None, input_place=InputPlace("a.inputs", 4, 16))
    gone = replace(second, input=None, input_place=InputPlace("b.inputs", 0, 3))
    number = one.worker()
    one.pool.dispatch(0, number, Unit(1, (there,), "model", "openai"))
    assert vector(one.log.wait(UnitFinished)) == pytest.approx(vector_for("diary", 8).tolist(), abs=1e-7)
    one.pool.dispatch(0, number, Unit(2, (there, gone), "model", "openai"))
    unreadable = one.log.wait(UnitFinished, 2).done.unreadable
    assert unreadable.keys() == {"t-1"}
    assert "No such file" in unreadable["t-1"]


@pytest.mark.slow
def test_units_of_a_worker_with_threads_run_at_once(
    start: Callable[[int], PoolOn], provider: StubProvider
) -> None:
    both = threading.Barrier(2)

    def together(texts: Sequence[str]) -> None:
        del texts
        both.wait(20.0)

    provider.policy = together
    one = start(2)
    number = one.worker()
    for unit_id in (1, 2):
        one.pool.dispatch(0, number, unit(unit_id, f"text {unit_id}"))
    one.log.wait(UnitFinished, 2)


@pytest.mark.slow
def test_idle_actor_that_is_killed_is_seen_at_once_and_replaced(start: Callable[[int], PoolOn]) -> None:
    one = start(1)
    one.worker()
    (pid,) = one.place.actor_pids()
    os.kill(pid, signal.SIGKILL)
    death = one.log.wait(WorkerDied)
    assert (death.unit_ids, death.was_ready) == ((), True)
    assert death.reason.startswith("died")
    one.pool.dispatch(0, one.worker(2), unit(1, "text"))
    one.log.wait(UnitFinished)
    assert len(one.log.all(WorkerDied)) == 1


@pytest.mark.slow
def test_killed_worker_held_its_unit_and_its_counters_do_not_fall(
    start: Callable[[int], PoolOn], provider: StubProvider
) -> None:
    one = start(1)
    number = one.worker()
    one.pool.dispatch(0, number, unit(1, "text"))
    one.log.wait(UnitFinished)
    began, may_end = threading.Event(), threading.Event()

    def slow(texts: Sequence[str]) -> None:
        del texts
        began.set()
        may_end.wait(20.0)

    provider.policy = slow
    one.pool.dispatch(0, number, unit(2, "slow"))
    assert began.wait(20.0)
    one.pool.kill(0)
    assert one.log.wait(WorkerDied) == WorkerDied(0, (2,), -9, was_ready=True)
    may_end.set()
    one.pool.dispatch(0, one.worker(2), unit(3, "text"))
    assert one.log.wait(UnitFinished, 2).done.unit_id == 3
    assert one.counted("openai_requests_total") == 2


@pytest.mark.slow
def test_recycled_worker_ends_gently_and_another_takes_its_place(start: Callable[[int], PoolOn]) -> None:
    one = start(1)
    one.pool.recycle(0, one.worker())
    assert one.log.wait(WorkerDied) == WorkerDied(0, (), 0, was_ready=True)
    assert one.worker(2) != one.worker(1)
