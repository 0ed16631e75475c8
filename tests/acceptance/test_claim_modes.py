"""Three replicas on one task API, one of which is killed: every way to claim and to report."""

import pytest

from examples.task_api.task import State
from tests.acceptance.conftest import StartService
from tests.acceptance.pace import Gate, slow
from tests.acceptance.service import ServiceProcess
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider

REPLICAS = 3
TASKS = 300
UNIT = 10
LEASE_SECONDS = 15
EACH, BATCH, BULK = {"CLAIM_MODE": "each"}, {"CLAIM_MODE": "batch"}, {"BULK_REPORTS": "50"}
CLAIM_PATH, RENEW_PATH, BULK_PATH = "/api/ai-tasks/claim", "/api/ai-tasks/renew", "/api/ai-tasks"


def requests_to(service: ServiceProcess, path: str) -> float:
    return service.metrics().sum("api_requests_total", endpoint=path)


def slowly(mode: dict[str, str], name: str) -> object:
    return pytest.param(mode, id=name, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(BATCH | BULK, id="batch, bulk"),
        slowly(BATCH, "batch"),
        slowly(EACH | BULK, "each, bulk"),
        slowly(EACH, "each"),
    ],
)
def test_three_replicas_and_a_kill_do_each_task_once(
    start_service: StartService, task_api: Peer, provider: StubProvider, mode: dict[str, str]
) -> None:
    provider.policy = slow(0.05)
    lease = {"CLAIM_LEASE_SECONDS": str(LEASE_SECONDS)}  # of a page that was on its way to the killed one
    settings = {"CONCURRENCY_LIMIT": "1", "BATCH_MAX_TASKS": str(UNIT), **mode, **lease}
    services = [start_service(STATE_DIR=f"state-{number}", **settings) for number in range(REPLICAS)]
    for service in services:
        service.wait_until_ready()
    texts = task_api.add(TASKS)
    services[0].wait_for_log("task_finished")
    services[0].kill9()
    services[0] = start_service(STATE_DIR="state-0", **settings)
    task_api.wait_until_done()
    assert {task.state for task in task_api.tasks()} == {State.SUCCEEDED}
    assert {task.final_reports for task in task_api.tasks()} <= {1, 2}, "what was on its way is sent again"
    assert set(provider.paid) == set(texts)
    paid_again = sum(times - 1 for times in provider.paid.values())
    assert paid_again <= UNIT, "no more than was under way when the replica was killed"
    claims = sum(requests_to(service, CLAIM_PATH) for service in services)
    bulk_reports = sum(requests_to(service, BULK_PATH) for service in services)
    assert bool(claims) == (mode["CLAIM_MODE"] == "batch")
    assert bool(bulk_reports) == ("BULK_REPORTS" in mode)
    assert [service.stop() for service in services] == [0] * REPLICAS


@pytest.mark.slow
def test_what_a_replica_that_never_returns_had_claimed_is_done_by_another(
    start_service: StartService, task_api: Peer, gate: Gate
) -> None:
    task_api.add(30)
    settings = {"CONCURRENCY_LIMIT": "1", "BATCH_MAX_TASKS": str(UNIT), "CLAIM_MODE": "batch"}
    gone = start_service(STATE_DIR="state-0", CLAIM_LEASE_SECONDS=str(LEASE_SECONDS), **settings)
    gate.wait_for_calls(1)
    gone.kill9()
    gate.open()
    start_service(STATE_DIR="state-1", CLAIM_LEASE_SECONDS=str(LEASE_SECONDS), **settings)
    eventually(
        lambda: all(task.state is State.SUCCEEDED for task in task_api.tasks()),
        3 * LEASE_SECONDS,
        "the leases of the one that is gone end",
    )
    task_api.assert_each_succeeded_once()


@pytest.mark.slow
def test_a_service_whose_work_takes_longer_than_a_lease_keeps_its_tasks(
    start_service: StartService, task_api: Peer, gate: Gate
) -> None:
    task_api.add(5)
    settings = {"CONCURRENCY_LIMIT": "1", "CLAIM_MODE": "batch", "CLAIM_LEASE_SECONDS": str(LEASE_SECONDS)}
    service = start_service(**settings)
    gate.wait_for_calls(1)
    eventually(
        lambda: requests_to(service, RENEW_PATH) >= 1,
        LEASE_SECONDS,
        "the leases are renewed",
    )
    gate.open()
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()
