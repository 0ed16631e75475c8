"""What an earlier run left is taken up, and what was paid for is not bought again."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.acceptance.conftest import StartService
from tests.acceptance.pace import Gate, slow
from tests.acceptance.service import ServiceProcess, alive
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider

TASKS = 300
WORKERS = 3
BATCH = 10
REPORTS_UNDER_WAY = 64
ORPHAN_SECONDS = 2.0


def drain_in_vain(service: ServiceProcess) -> None:
    assert service.stop() == 3


def test_run_survives_kill_9_of_the_supervisor(
    start_service: StartService, task_api: Peer, provider: StubProvider
) -> None:
    provider.policy = slow(0.05)
    task_api.add(TASKS)
    settings = {"CONCURRENCY_LIMIT": str(WORKERS), "BATCH_MAX_TASKS": str(BATCH)}
    service = start_service(**settings)
    eventually(lambda: task_api.succeeded() >= TASKS // 4, 30.0, "a quarter of the tasks is done")
    processes = service.descendants()
    assert len(processes) > WORKERS
    service.kill9()
    assert_all_end(processes)
    finished = texts_of_finished(service.state_dir, task_api)
    restarted = start_service(**settings)
    recovered = restarted.wait_for_log("journal_recovered")
    assert recovered["to_report"] == len(finished)
    task_api.wait_until_done()
    assert task_api.succeeded() == TASKS
    again = {text for text, times in provider.paid.items() if times > 1}
    assert len(again) <= WORKERS * BATCH, "no more was bought twice than was in work at the kill"
    assert not again & finished, "what was in the journal was not bought again"
    twice = [task for task in task_api.tasks() if task.final_reports != 1]
    assert len(twice) <= REPORTS_UNDER_WAY, "only a PATCH whose answer was not yet on disk is sent again"
    assert restarted.stop() == 0


@pytest.mark.slow
def test_stopped_workers_do_not_outlive_a_killed_supervisor(
    start_service: StartService, task_api: Peer, gate: Gate
) -> None:
    service = start_service(CONCURRENCY_LIMIT=str(WORKERS))
    service.wait_until_ready(workers=WORKERS)
    task_api.add(1)
    gate.wait_for_calls(1)
    workers = [psutil.Process(pid) for pid in service.worker_pids()]
    for worker in workers:
        worker.suspend()
    service.kill9()
    assert_all_end(workers)


@pytest.mark.parametrize(
    "end",
    [pytest.param(drain_in_vain, marks=pytest.mark.slow), ServiceProcess.kill9],
    ids=["drain", "kill -9"],
)
def test_results_are_reported_after_a_restart_without_calling_the_provider_again(
    start_service: StartService,
    task_api: Peer,
    provider: StubProvider,
    gate: Gate,
    end: Callable[[ServiceProcess], None],
) -> None:
    texts = task_api.add(40)
    service = start_service(
        CONCURRENCY_LIMIT="2",
        BATCH_MAX_TASKS="20",
        CIRCUIT_BREAKER_THRESHOLD="1",
        DRAIN_TIMEOUT_SECONDS="0.2",
    )
    gate.wait_for_calls(2)
    task_api.stop()
    gate.open()
    eventually(lambda: service.status()["outbox"] == 40, what="all results wait for the API")
    end(service)
    task_api.start()
    assert task_api.succeeded() == 0
    restarted = start_service()
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()
    assert provider.paid == dict.fromkeys(texts, 1)
    assert len(provider.calls) == 2
    assert restarted.wait_for_log("journal_recovered")["to_report"] == 40
    assert restarted.stop() == 0


def assert_all_end(processes: list[psutil.Process]) -> None:
    eventually(
        lambda: not any(alive(process) for process in processes),
        ORPHAN_SECONDS,
        "every process beneath the supervisor has ended",
    )


def texts_of_finished(state_dir: Path, task_api: Peer) -> set[str]:
    """The texts of the tasks whose results the journal holds."""
    journal = sqlite3.connect(state_dir / "journal.sqlite3")
    try:
        rows = journal.execute("SELECT id FROM tasks WHERE state = 'finished'").fetchall()
    finally:
        journal.close()
    ids = {row[0] for row in rows}
    return {task_api.text_of(task_id) for task_id in ids}
