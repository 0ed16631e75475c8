"""One slot and the thread that serves it, with workers that break off anywhere."""

import itertools
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import psutil
import pytest

from shared.messages import Unit
from supervisor.pool.base import UnitFinished, UnitProgressed, WorkerDied, WorkerStarted
from supervisor.pool.worker_slot import WorkerSlot
from tests.builders import make_task
from tests.eventually import eventually
from tests.integration import pipe_peers
from tests.integration.pool_events import EventLog

UNIT = Unit(5, (make_task(),))

Peer = Callable[[Connection], None]
StartSlot = Callable[..., WorkerSlot]


@pytest.fixture
def log() -> EventLog:
    return EventLog()


@pytest.fixture
def start_slot(log: EventLog) -> Iterator[StartSlot]:
    """A slot whose first workers are these, in turn, and whose later ones are good."""
    context = multiprocessing.get_context("forkserver")
    running: list[tuple[WorkerSlot, threading.Thread]] = []

    def start(*peers: Peer) -> WorkerSlot:
        line = itertools.chain(peers, itertools.repeat(pipe_peers.echo))

        def launch(_: int) -> tuple[BaseProcess, Connection]:
            ours, theirs = context.Pipe()
            process = context.Process(target=next(line), args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            return process, ours

        slot = WorkerSlot(0, launch, threading.Lock(), log.post)
        thread = threading.Thread(target=slot.run)
        thread.start()
        running.append((slot, thread))
        return slot

    yield start
    for slot, thread in running:
        slot.kill()
        slot.close()
        thread.join()


@pytest.fixture(autouse=True, scope="module")
def forkserver_of_this_module() -> Iterator[None]:
    yield
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]  # there is no public way


def assert_works(slot: WorkerSlot, log: EventLog, start: int) -> None:
    """The slot's `start`th worker does a unit."""
    before = len(log.all(UnitFinished))
    slot.dispatch(log.pid(0, start), UNIT)
    assert log.wait(UnitFinished, before + 1).done.unit_id == UNIT.id


def test_worker_killed_in_the_middle_of_its_answer_is_dead_with_its_unit(
    start_slot: StartSlot, log: EventLog
) -> None:
    slot = start_slot(pipe_peers.die_in_mid_message)
    slot.dispatch(log.pid(0), UNIT)
    died = log.wait(WorkerDied)
    assert (died.unit_ids, died.exit_code, died.was_ready) == ((UNIT.id,), -signal.SIGKILL, True)
    assert_works(slot, log, start=2)


def test_worker_stopped_in_the_middle_of_its_answer_can_be_killed(
    start_slot: StartSlot, log: EventLog
) -> None:
    slot = start_slot(pipe_peers.stop_in_mid_message)
    pid = log.pid(0)
    slot.dispatch(pid, UNIT)
    eventually(lambda: is_stopped(pid), what="the worker has stopped")
    assert not log.all(WorkerDied)
    slot.kill()
    died = log.wait(WorkerDied)
    assert (died.unit_ids, died.exit_code) == ((UNIT.id,), -signal.SIGKILL)
    assert_works(slot, log, start=2)


def test_answer_that_was_complete_counts_though_its_worker_died(start_slot: StartSlot, log: EventLog) -> None:
    slot = start_slot(pipe_peers.answer_and_die)
    slot.dispatch(log.pid(0), UNIT)
    died = log.wait(WorkerDied)
    assert (died.unit_ids, died.exit_code) == ((), 7)
    assert log.all(UnitFinished)[0].done.unit_id == UNIT.id


def test_outcomes_that_came_before_the_death_are_told_and_the_unit_is_still_held(
    start_slot: StartSlot, log: EventLog
) -> None:
    slot = start_slot(pipe_peers.send_progress_and_die)
    slot.dispatch(log.pid(0), UNIT)
    died = log.wait(WorkerDied)
    assert (died.unit_ids, died.exit_code) == ((UNIT.id,), 7)
    (progressed,) = log.all(UnitProgressed)
    assert (progressed.slot, progressed.progress.unit_id) == (0, UNIT.id)
    assert progressed.progress.outcomes.keys() == {UNIT.tasks[0].id}


def test_unfit_worker_says_why(start_slot: StartSlot, log: EventLog) -> None:
    start_slot(pipe_peers.be_unfit)
    died = log.wait(WorkerDied)
    assert (died.was_ready, died.reason) == (False, "there is no model")


def test_restarts_back_off_while_workers_die_at_start(start_slot: StartSlot, log: EventLog) -> None:
    began = time.monotonic()
    slot = start_slot(*[pipe_peers.die_at_start] * 3)
    assert_works(slot, log, start=1)
    assert time.monotonic() - began > 0.2 + 0.4 + 0.8
    assert [(died.exit_code, died.was_ready) for died in log.all(WorkerDied)] == [(3, False)] * 3
    # One that had been ready is replaced at once, and the backoff begins anew.
    killed_at = time.monotonic()
    os.kill(log.pid(0), signal.SIGKILL)
    log.wait(WorkerStarted, 2)
    assert time.monotonic() - killed_at < 0.5


def test_launch_that_fails_is_tried_again(log: EventLog) -> None:
    tries = itertools.count()

    def launch(_: int) -> tuple[BaseProcess, Connection]:
        next(tries)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    slot = WorkerSlot(0, launch, threading.Lock(), log.post)
    thread = threading.Thread(target=slot.run)
    thread.start()
    died = log.wait(WorkerDied, 2)
    assert (died.exit_code, died.was_ready) == (None, False)
    assert "Resource temporarily unavailable" in died.reason
    slot.close()
    thread.join(1.0)
    assert not thread.is_alive(), "close waits for no backoff"


def test_worker_that_does_not_end_when_asked_is_killed(start_slot: StartSlot, log: EventLog) -> None:
    slot = start_slot(pipe_peers.ignore_the_end_of_the_lane)
    slot.recycle(log.pid(0))
    assert log.wait(WorkerDied).exit_code == -signal.SIGKILL
    assert_works(slot, log, start=2)


def test_kill_without_a_worker_does_nothing(log: EventLog) -> None:
    WorkerSlot(0, lambda _: pytest.fail("nothing was started"), threading.Lock(), log.post).kill()


def is_stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED
