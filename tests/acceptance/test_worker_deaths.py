"""Workers that die in every way, while a run goes on around them."""

import os
import random
import signal
from datetime import datetime

import orjson
import psutil
import pytest

from tests.acceptance.conftest import StartService
from tests.acceptance.pace import Gate, slow
from tests.acceptance.service import ServiceProcess
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider
from tests.stubs.provider_answer import Item, embeddings_json, tokens_in, vector_for
from tests.stubs.scripted_http import NO_ANSWER, Answer, Request, ScriptedServer

KILLS = 10
POISON = "poison"


@pytest.mark.slow  # chaos kills workers at random too
def test_run_ends_the_same_though_a_random_worker_is_killed_ten_times(
    start_service: StartService, task_api: Peer, provider: StubProvider
) -> None:
    provider.policy = slow(0.05)
    # With the limit above the kills, chance cannot make one task look guilty.
    service = start_service(CONCURRENCY_LIMIT="3", BATCH_MAX_TASKS="10", WORKER_CRASH_LIMIT=str(KILLS + 1))
    task_api.add(500)
    service.wait_until_ready(workers=0)
    chance = random.Random(41)
    seen = service.metrics()
    for kill in range(KILLS):
        eventually(lambda least=40 * kill: task_api.succeeded() >= least, 30.0, "the run goes on")  # type: ignore[misc]  # mypy knows no type for a lambda's default
        os.kill(chance.choice(eventually(lambda: living_workers(service))), signal.SIGKILL)
        service.wait_for_log("worker_died", count=kill + 1)
        now = service.metrics()
        assert not now.fallen_since(seen)
        seen = now
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()
    deaths = service.log_lines("worker_died")
    assert len(deaths) == KILLS
    assert any(death["tasks"] for death in deaths), "no kill hit a worker at work"
    assert all("killed by SIGKILL" in death["how"] for death in deaths)
    assert service.metrics().sum("ai_worker_restarts_total", reason="died") == KILLS
    assert service.stop() == 0


def test_stopped_worker_is_killed_at_the_task_timeout_and_its_tasks_run_again(
    start_service: StartService, task_api: Peer, gate: Gate
) -> None:
    task_api.add(4)
    service = start_service(CONCURRENCY_LIMIT="1", TASK_TIMEOUT_SECONDS="1")
    gate.wait_for_calls(1)
    (pid,) = eventually(lambda: living_workers(service))
    os.kill(pid, signal.SIGSTOP)
    gate.open()
    service.wait_for_log("unit_timed_out")
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()
    (death,) = service.log_lines("worker_died")
    assert "TASK_TIMEOUT_SECONDS (1 s)" in death["how"]
    assert death["tasks"] == 4
    assert service.metrics().sum("ai_worker_restarts_total", reason="timeout") == 1


def test_poison_task_alone_is_failed_and_names_the_signal(
    start_service: StartService, task_api: Peer
) -> None:
    services: list[ServiceProcess] = []

    def embed_or_kill(request: Request) -> Answer:
        texts = orjson.loads(request.body)["input"]
        if any(POISON in text for text in texts):
            os.kill(owner_of(services[0], request.client_port), signal.SIGSEGV)
            return NO_ANSWER
        items = [Item(place, vector_for(text, 16)) for place, text in enumerate(texts)]
        body = embeddings_json(items, model="m", tokens=tokens_in(texts), floats=False)
        return Answer(200, body)

    texts = [f"text {place}" for place in range(100)]
    texts[37] = f"a {POISON} text"
    with ScriptedServer(embed_or_kill) as server:
        services.append(start_service(OPENAI_BASE_URL=f"{server.url}/v1", CONCURRENCY_LIMIT="3"))
        eventually(lambda: knows_memory_of_workers(services[0], 3), what="the workers' memory is known")
        task_api.add_texts(texts)
        task_api.wait_until_done()
        assert services[0].stop() == 0
    poisoned = task_api.tasks()[37]
    assert poisoned.error is not None
    assert "died 3 times" in poisoned.error
    assert "killed by SIGSEGV" in poisoned.error
    assert " MB of memory" in poisoned.error
    assert task_api.succeeded() == 99
    assert {task.final_reports for task in task_api.tasks()} == {1}


@pytest.mark.slow
def test_worker_is_recycled_after_its_tasks_and_none_is_lost(
    start_service: StartService, task_api: Peer
) -> None:
    task_api.add(120)
    service = start_service(CONCURRENCY_LIMIT="2", BATCH_MAX_TASKS="10", WORKER_MAX_TASKS="20")
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()
    eventually(lambda: service.metrics().sum("ai_worker_restarts_total", reason="recycled") >= 3)
    metrics = service.metrics()
    recycled = metrics.sum("ai_worker_restarts_total", reason="recycled")
    assert metrics.sum("ai_worker_restarts_total") == recycled
    assert not service.log_lines("worker_died")
    assert service.stop() == 0


@pytest.mark.slow
def test_worker_is_back_in_under_half_a_second(start_service: StartService) -> None:
    service = start_service(CONCURRENCY_LIMIT="1")
    service.wait_until_ready()
    waits = []
    for kill in (1, 2, 3):
        os.kill(eventually(lambda: living_workers(service))[0], signal.SIGKILL)
        died = service.wait_for_log("worker_died", count=kill)
        back = service.wait_for_log("worker_started", count=kill + 1)
        waits.append(seconds_between(died["timestamp"], back["timestamp"]))
    # The quickest, as other work on this machine makes any of them slower.
    assert min(waits) < 0.5, waits


def living_workers(service: ServiceProcess) -> list[int]:
    return [pid for pid in service.worker_pids() if psutil.pid_exists(pid)]


def knows_memory_of_workers(service: ServiceProcess, count: int) -> bool:
    known = [worker for worker in service.workers("idle") if worker["rss_bytes"] > 0]
    return len(known) == count


def owner_of(service: ServiceProcess, port: int) -> int:
    """The process beneath the service that called from this port."""
    for process in service.descendants():
        if any(connection.laddr.port == port for connection in process.net_connections("tcp4")):
            return process.pid
    raise AssertionError(f"nobody called from port {port}")


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
