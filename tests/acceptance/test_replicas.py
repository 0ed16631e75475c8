"""Several services on one task API."""

import signal
from collections import Counter

import pytest

from examples.task_api.task import State
from tests.acceptance.conftest import StartService
from tests.acceptance.pace import Gate, slow
from tests.acceptance.task_api import Peer
from tests.stubs.provider import StubProvider

TASKS = 200
SHARDS = [{"SHARD_COUNT": "2", "SHARD_INDEX": str(index)} for index in range(2)]
CLAIMS = [{"CLAIM_TASKS": "true"}] * 2


@pytest.mark.parametrize(
    "replicas", [CLAIMS, pytest.param(SHARDS, marks=pytest.mark.slow)], ids=["claims", "shards"]
)
def test_replicas_do_each_task_once(
    start_service: StartService, task_api: Peer, provider: StubProvider, replicas: list[dict[str, str]]
) -> None:
    provider.policy = slow(0.02)
    services = [
        start_service(STATE_DIR=f"state-{number}", CONCURRENCY_LIMIT="1", BATCH_MAX_TASKS="10", **replica)
        for number, replica in enumerate(replicas)
    ]
    for service in services:
        service.wait_until_ready()
    texts = task_api.add(TASKS)
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()
    assert provider.paid == dict.fromkeys(texts, 1)
    assert [service.stop() for service in services] == [0, 0]
    done = [len(service.log_lines("task_finished")) for service in services]
    assert sum(done) == TASKS
    assert all(done), "every replica had its part"


def test_drain_gives_back_claims_that_were_not_worked_on(
    start_service: StartService, task_api: Peer, gate: Gate
) -> None:
    task_api.add(100)
    service = start_service(CLAIM_TASKS="true", CONCURRENCY_LIMIT="1", BATCH_MAX_TASKS="10")
    gate.wait_for_calls(1)
    claimed = Counter(task.state for task in task_api.tasks())[State.PROCESSING]
    assert claimed > 10, "more was claimed than is in work"
    service.send_signal(signal.SIGTERM)
    service.wait_for_log("drain_started")
    gate.open()
    assert service.wait() == 0
    assert Counter(task.state for task in task_api.tasks()) == {State.SUCCEEDED: 10, State.PENDING: 90}


@pytest.mark.slow
def test_claims_are_resumed_after_a_crash(start_service: StartService, task_api: Peer, gate: Gate) -> None:
    task_api.add(30)
    service = start_service(CLAIM_TASKS="true", CONCURRENCY_LIMIT="1", BATCH_MAX_TASKS="10")
    gate.wait_for_calls(1)
    service.kill9()
    gate.open()
    start_service(CLAIM_TASKS="true")
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()
