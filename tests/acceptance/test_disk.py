"""A disk that takes nothing more, and then does again."""

import psutil

from tests.acceptance.conftest import StartService
from tests.acceptance.pace import Gate
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider


def test_results_wait_in_memory_while_the_disk_is_full(
    start_service: StartService, task_api: Peer, provider: StubProvider, gate: Gate
) -> None:
    texts = task_api.add(30)
    service = start_service(CONCURRENCY_LIMIT="1", BATCH_MAX_TASKS="10", TASK_TIMEOUT_SECONDS="2")
    gate.wait_for_calls(1)
    process = psutil.Process(service.pid)
    soft, hard = process.rlimit(psutil.RLIMIT_FSIZE)
    # Every write past the first byte of a file fails now, as on a full disk.
    process.rlimit(psutil.RLIMIT_FSIZE, (1, hard))
    gate.open()
    eventually(lambda: service.not_ready() == ["journal_unwritable"], what="/ready says why")
    assert len(provider.calls) == 1, "no new work is begun"
    assert task_api.succeeded() == 0, "nothing is reported that is not on disk"
    assert service.get("/health").status == 200
    full_at = service.status()["uptime_seconds"]
    eventually(lambda: service.status()["uptime_seconds"] > full_at + 2.5, what="a task's time is over")
    process.rlimit(psutil.RLIMIT_FSIZE, (soft, hard))
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()
    assert provider.paid == dict.fromkeys(texts, 1)
    eventually(lambda: not service.not_ready(), what="the service is ready again")
    assert service.metrics().sum("ai_worker_restarts_total") == 0, "no worker died of the disk"
    assert service.stop() == 0
