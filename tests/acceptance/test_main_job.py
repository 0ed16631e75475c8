"""The main job: tasks of both shapes, from the reference API through the pool to their report."""

from tests.acceptance.conftest import StartService
from tests.acceptance.service import titled_workers
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider

TASKS = 500


def test_five_hundred_tasks_succeed_in_five_provider_calls(
    start_service: StartService, task_api: Peer, provider: StubProvider
) -> None:
    service = start_service()
    service.wait_until_ready(workers=5)
    assert sorted(titled_workers(service)) == ["0", "1", "2", "3", "4"]
    texts = task_api.add(TASKS)
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()
    assert len(provider.calls) == 5
    assert provider.paid == dict.fromkeys(texts, 1)
    eventually(lambda: service.status()["outbox"] == 0, what="every report was acknowledged")
    metrics = service.metrics()
    assert metrics.sum("ai_tasks_processed_total", status="succeeded") == TASKS
    assert metrics.sum("ai_reports_total", outcome="done") == TASKS
    assert metrics.sum("openai_batch_size_sum") == TASKS
    assert metrics.sum("openai_requests_total", status="ok") == 5
    assert service.get("/health").status == 200
    assert service.stop() == 0
    finished = service.log_lines("task_finished")
    assert sorted(line["task_id"] for line in finished) == sorted(task_api.ids)
    stored = {task.id: task.last_correlation_id for task in task_api.tasks()}
    assert {line["task_id"]: line["correlation_id"] for line in finished} == stored
