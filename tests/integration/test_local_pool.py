"""The pool with real workers, whatever happens to them."""

import contextlib
import multiprocessing.forkserver
import multiprocessing.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil
import pytest

from shared.messages import Unit
from shared.models import Output
from supervisor.pool.base import UnitFinished, WorkerDied, WorkerStarted
from supervisor.pool.local import LocalPool
from tests.builders import make_task
from tests.eventually import eventually
from tests.integration.pool_events import EventLog
from tests.stubs.provider import StubProvider
from tests.stubs.provider_answer import vector_for
from tests.stubs.provider_faults import hang
from tests.worker_configs import make_config
from workers.process.forkserver import PRELOAD_MODULES

SLOTS = 2


@pytest.fixture
def provider() -> Iterator[StubProvider]:
    with StubProvider(dimensions=8) as provider:
        yield provider


@pytest.fixture
def log() -> EventLog:
    return EventLog()


@pytest.fixture
def pool(
    provider: StubProvider, log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPool]:
    """All workers are ready."""
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))  # the pool adds to it
    with running_pool(tmp_path, log, provider.base_url) as pool:
        for slot in range(SLOTS):
            log.pid(slot)
        yield pool


@contextlib.contextmanager
def running_pool(folder: Path, log: EventLog, base_url: str) -> Iterator[LocalPool]:
    pool = LocalPool(SLOTS, make_config(folder, base_url=base_url), log.post)
    pool.start()
    yield pool
    for slot in range(SLOTS):
        pool.kill(slot)
    pool.close()


def unit_of(unit_id: int, *texts: str) -> Unit:
    tasks = tuple(make_task(f"{unit_id}-{place}", text=text) for place, text in enumerate(texts))
    return Unit(unit_id, tasks)


def test_unit_comes_back_with_an_output_for_each_task(pool: LocalPool, log: EventLog) -> None:
    pool.dispatch(1, log.pid(1), unit_of(7, "one", "two"))
    finished = log.wait(UnitFinished)
    assert (finished.slot, finished.done.unit_id, finished.done.failure) == (1, 7, None)
    for task_id, text in (("7-0", "one"), ("7-1", "two")):
        output = finished.done.outcomes[task_id]
        assert isinstance(output, Output)
        assert orjson.loads(output.value) == pytest.approx(vector_for(text, 8).tolist(), abs=1e-6)


def test_idle_worker_that_is_killed_is_replaced(pool: LocalPool, log: EventLog) -> None:
    os.kill(log.pid(0), signal.SIGKILL)
    died = log.wait(WorkerDied)
    assert (died.slot, died.unit_ids, died.exit_code, died.was_ready) == (0, (), -signal.SIGKILL, True)
    pool.dispatch(0, log.pid(0, start=2), unit_of(1, "one"))
    assert log.wait(UnitFinished).slot == 0
    assert len(log.all(WorkerStarted, slot=1)) == 1, "the other slot took no notice"


def test_busy_worker_that_is_killed_is_told_with_its_unit_while_others_work(
    pool: LocalPool, log: EventLog, provider: StubProvider
) -> None:
    provider.script(hang())
    pool.dispatch(0, log.pid(0), unit_of(1, "one"))
    assert provider.wait_for_calls(1)
    os.kill(log.pid(0), signal.SIGSEGV)
    pool.dispatch(1, log.pid(1), unit_of(2, "two"))
    died = log.wait(WorkerDied)
    assert (died.slot, died.unit_ids, died.exit_code) == (0, (1,), -signal.SIGSEGV)
    assert log.wait(UnitFinished).done.unit_id == 2
    assert log.pid(0, start=2) != log.pid(0)


def test_unit_for_a_worker_that_is_gone_is_dropped(
    pool: LocalPool, log: EventLog, provider: StubProvider
) -> None:
    gone = log.pid(0)
    os.kill(gone, signal.SIGKILL)
    now = log.pid(0, start=2)
    pool.dispatch(0, gone, unit_of(1, "dropped"))
    pool.recycle(0, gone)
    pool.dispatch(0, now, unit_of(2, "done"))
    assert log.wait(UnitFinished).done.unit_id == 2
    assert [call.texts for call in provider.calls] == [("done",)]
    assert len(log.all(WorkerDied)) == 1


def test_worker_that_stops_while_it_receives_a_large_unit_holds_up_its_slot_alone(
    pool: LocalPool, log: EventLog
) -> None:
    stopped = log.pid(0)
    os.kill(stopped, signal.SIGSTOP)
    pool.dispatch(0, stopped, unit_of(1, *["x" * 1_000_000] * 20))
    pool.dispatch(1, log.pid(1), unit_of(2, "two"))
    assert log.wait(UnitFinished).done.unit_id == 2
    assert not log.all(WorkerDied)
    pool.kill(0)
    died = log.wait(WorkerDied)
    assert (died.slot, died.unit_ids, died.exit_code) == (0, (1,), -signal.SIGKILL)
    pool.dispatch(0, log.pid(0, start=2), unit_of(3, "three"))
    assert log.wait(UnitFinished, 2).done.unit_id == 3


def test_recycled_worker_ends_gently_and_is_replaced(pool: LocalPool, log: EventLog) -> None:
    pool.recycle(0, log.pid(0))
    died = log.wait(WorkerDied)
    assert (died.slot, died.unit_ids, died.exit_code, died.was_ready) == (0, (), 0, True)
    assert log.pid(0, start=2) != log.pid(0)


def test_killed_forkserver_takes_its_workers_along_and_all_come_back(pool: LocalPool, log: EventLog) -> None:
    forkserver = psutil.Process(log.pid(0)).parent()
    assert forkserver is not None
    forkserver.kill()
    log.wait(WorkerDied, SLOTS)
    for slot in range(SLOTS):
        pool.dispatch(slot, log.pid(slot, start=2), unit_of(slot, "again"))
    log.wait(UnitFinished, SLOTS)


def test_memory_of_a_worker_is_known_while_it_lives(pool: LocalPool, log: EventLog) -> None:
    assert pool.rss_bytes(0) > 10_000_000
    pool.close()
    assert pool.rss_bytes(0) == 0


def test_close_ends_every_worker_gently_and_none_takes_its_place(pool: LocalPool, log: EventLog) -> None:
    workers = [psutil.Process(log.pid(slot)) for slot in range(SLOTS)]
    pool.close()
    eventually(lambda: not any(worker.is_running() for worker in workers), what="all workers have ended")
    assert not log.all(WorkerDied)
    assert len(log.all(WorkerStarted)) == SLOTS


def test_close_does_not_wait_for_ever_for_a_busy_worker(
    pool: LocalPool, log: EventLog, provider: StubProvider
) -> None:
    provider.script(hang())
    pool.dispatch(0, log.pid(0), unit_of(1, "one"))
    assert provider.wait_for_calls(1)
    worker = psutil.Process(log.pid(0))
    pool.close()
    eventually(lambda: not worker.is_running(), what="the busy worker has ended")


@pytest.mark.slow
def test_worker_that_cannot_be_forked_is_tried_again_and_costs_no_other(
    tmp_path: Path, log: EventLog, provider: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    stop_forkserver()
    scarce = [*PRELOAD_MODULES, "tests.integration.scarce_processes"]
    monkeypatch.setattr("workers.process.forkserver.PRELOAD_MODULES", scarce)
    with running_pool(tmp_path, log, provider.base_url):
        log.wait(WorkerStarted, SLOTS)
        failed = log.all(WorkerDied)
        assert [(died.exit_code, died.was_ready) for died in failed] == [(None, False)] * 2
        assert all("no process" in died.reason and "ulimit -u" in died.reason for died in failed)
        assert sorted(started.slot for started in log.all(WorkerStarted)) == [0, 1]
    stop_forkserver()


@pytest.mark.slow
@pytest.mark.parametrize("removed", ["socket", "directory"])
def test_workers_start_though_the_socket_of_the_forkserver_was_removed(
    pool: LocalPool, log: EventLog, removed: str
) -> None:
    directory = Path(multiprocessing.util.get_temp_dir())
    for socket in directory.iterdir():
        socket.unlink()
    if removed == "directory":
        directory.rmdir()
    for start in (2, 3):
        os.kill(log.pid(0, start - 1), signal.SIGKILL)
        pool.dispatch(0, log.pid(0, start), unit_of(start, "again"))
        assert log.wait(UnitFinished, start - 1).slot == 0
    assert len(log.all(WorkerStarted, slot=1)) == 1, "the worker of the first forkserver goes on"
    pool.dispatch(1, log.pid(1), unit_of(9, "on"))
    assert log.wait(UnitFinished, 3).slot == 1
    assert [died.was_ready for died in log.all(WorkerDied)] == [True, True]


def stop_forkserver() -> None:
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]  # there is no public way


@pytest.fixture(autouse=True, scope="module")
def forkserver_of_this_module() -> Iterator[None]:
    """The next module gets one of its own."""
    yield
    stop_forkserver()
