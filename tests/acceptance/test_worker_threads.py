"""WORKER_THREADS: several units in one worker process, when it is killed, overrun, drained or replaced."""

import os
import signal
from collections.abc import Sequence

import pytest

from tests.acceptance.conftest import StartService
from tests.acceptance.pace import Gate
from tests.acceptance.service import ServiceProcess
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider
from tests.stubs.provider_faults import Fault, hang

SLOW = "slow"


def test_killed_worker_costs_its_units_a_second_run_and_a_drain_ends_all(
    start_service: StartService, task_api: Peer, gate: Gate
) -> None:
    service = start_service(CONCURRENCY_LIMIT="8", WORKER_THREADS="4", BATCH_MAX_TASKS="1")
    task_api.add(8)
    gate.wait_for_calls(8)
    first, second = eventually(lambda: holding_four(service), what="both workers hold four units")
    assert first != second
    os.kill(first, signal.SIGKILL)
    death = service.wait_for_log("worker_died")
    assert death["tasks"] == 4
    gate.wait_for_calls(9)
    eventually(lambda: units_held(service) == [1, 4], what="a suspect has a worker for itself")
    gate.open()
    assert service.stop() == 0
    left = len(task_api.tasks()) - task_api.succeeded()
    assert left <= 3, "of the suspects those that had not begun may be left to the next run"
    start_service()
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()


def units_held(service: ServiceProcess) -> list[int]:
    return sorted(worker["units_held"] for worker in service.workers("busy"))


def holding_four(service: ServiceProcess) -> list[int]:
    """The workers, once both hold four units."""
    pids = [worker["pid"] for worker in service.workers("busy") if worker["units_held"] == 4]
    return pids if len(pids) == 2 else []


@pytest.mark.slow
def test_call_past_its_deadline_ends_alone_beside_healthy_ones(
    start_service: StartService, task_api: Peer, provider: StubProvider
) -> None:
    def policy(texts: Sequence[str]) -> Fault | None:
        return hang() if SLOW in texts else None

    provider.policy = policy
    task_api.add_texts([SLOW, "a", "b", "c"])
    service = start_service(
        CONCURRENCY_LIMIT="4",
        WORKER_THREADS="4",
        BATCH_MAX_TASKS="1",
        TASK_TIMEOUT_SECONDS="2",
        MAX_RETRIES="0",
    )
    task_api.wait_until_done()
    failed, *others = task_api.tasks()
    assert "before the time of the unit was over (TASK_TIMEOUT_SECONDS)" in str(failed.error)
    assert [task.error for task in others] == [None, None, None]
    assert not service.log_lines("worker_died")


@pytest.mark.slow
def test_worker_with_threads_is_replaced_between_units_and_no_task_is_lost(
    start_service: StartService, task_api: Peer
) -> None:
    task_api.add(120)
    service = start_service(
        CONCURRENCY_LIMIT="8", WORKER_THREADS="4", BATCH_MAX_TASKS="2", WORKER_MAX_TASKS="20"
    )
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()
    eventually(lambda: service.metrics().sum("ai_worker_restarts_total", reason="recycled") >= 2)
    assert not service.log_lines("worker_died")
    assert service.stop() == 0
