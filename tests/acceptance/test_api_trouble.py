"""A task API that is not there, or says what no task API should."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import StartService
from tests.acceptance.scripted_api import ScriptedApi, flat_task, page_of
from tests.acceptance.service import API_TOKEN, ServiceProcess
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider
from tests.stubs.scripted_http import Answer, Ending, ScriptedServer

MEGABYTE = 2**20
QUICK = {
    "CONCURRENCY_LIMIT": "1",
    "CIRCUIT_BREAKER_THRESHOLD": "2",
    "CIRCUIT_BREAKER_RECOVERY_SECONDS": "0.2",
    "POLLING_INTERVAL_SECONDS": "0.1",
}


@pytest.mark.slow
def test_service_waits_for_an_api_that_is_not_there_and_works_when_it_comes(
    start_service: StartService, task_api: Peer
) -> None:
    task_api.add(5)
    task_api.stop()
    service = start_service(**QUICK)
    eventually(lambda: service.not_ready() == ["api_circuit_open"], what="/ready names the API")
    assert service.get("/health").status == 200
    assert service.metrics().sum("circuit_breaker_state", service="api") in (1, 2)
    assert service.metrics().sum("ai_polls_total", result="unreachable") >= 2
    task_api.start()
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()
    eventually(lambda: not service.not_ready(), what="the service is ready again")
    assert service.metrics().sum("circuit_breaker_state", service="api") == 0
    assert service.stop() == 0


def test_api_that_goes_and_comes_back_gets_every_result_once(
    start_service: StartService, task_api: Peer, provider: StubProvider
) -> None:
    texts = task_api.add(30)
    service = start_service(**QUICK, BATCH_MAX_TASKS="10")
    provider.wait_for_calls(1)
    task_api.stop()
    eventually(lambda: service.status()["outbox"] + service.status()["backlog"] <= 30)
    eventually(lambda: "api_circuit_open" in service.not_ready(), what="the breaker opens")
    eventually(lambda: len(provider.calls) == 3, what="work under way is finished without the API")
    task_api.start()
    task_api.wait_until_done()
    assert task_api.succeeded() == 30
    assert provider.paid == dict.fromkeys(texts, 1)
    assert service.stop() == 0


@pytest.mark.slow
def test_answers_that_are_no_page_change_nothing(launch: StartService, provider: StubProvider) -> None:
    trap = ScriptedApi()
    with ScriptedServer(trap) as elsewhere:
        bad_pages = {
            "foreign": [Answer(200, b"<!doctype html><title>Sign in</title>", {"Content-Type": "text/html"})],
            "bad_page": [
                Answer(200, b'{"tasks": 3}'),
                Answer(200, b"[{"),
                Answer(200, b"[]", {"Content-Encoding": "gzip"}),
            ],
            "redirect": [Answer(code, b"", {"Location": f"{elsewhere.url}/x"}) for code in (301, 302, 307)],
            "unauthorized": [Answer(401, b"{}"), Answer(403, b"{}")],
            "client_error": [Answer(404, b"not here")],
            "server_error": [Answer(503, b"busy")],
            "unreachable": [Answer(200, b"[", {"Content-Length": "90"}, Ending.RESET)],
            "rate_limited": [Answer(429, b"", {"Retry-After": "0"})],
        }
        api = ScriptedApi(*itertools.chain(*bad_pages.values()), page_of([flat_task("1", "a text")]))
        with ScriptedServer(api) as server:
            service = start_against(launch, server, provider)
            eventually(lambda: api.reports, what="the good page at the end was worked on")
            polls = service.metrics()
            assert service.stop() == 0
        assert {name: polls.sum("ai_polls_total", result=name) for name in bad_pages} == {
            name: len(answers) for name, answers in bad_pages.items()
        }
        assert not elsewhere.requests, "no redirect was followed"
    assert api.last_status("1") == "succeeded"
    redirect = next(line for line in service.log_lines("poll_failed") if line["result"] == "redirect")
    assert "check API_BASE_URL" in redirect["detail"]
    assert API_TOKEN not in service.output()


def test_page_with_three_broken_tasks_loses_only_these(launch: StartService, provider: StubProvider) -> None:
    items: list[object] = [flat_task(str(place), f"text {place}") for place in range(1000)]
    items.insert(990, {"type": "text-embedding", "status": "pending", "input_data": {"text": "no id"}})
    items.insert(500, flat_task("broken", ""))
    items.insert(0, "no task at all")
    api = ScriptedApi(page_of(items))
    with ScriptedServer(api) as server:
        service = start_against(launch, server, provider, CONCURRENCY_LIMIT="3")  # has room for 1,200
        eventually(lambda: len(api.reports) == 1001, 30.0, "every task with an id is reported")
        metrics = service.metrics()
        assert service.stop() == 0
    assert all(api.last_status(str(place)) == "succeeded" for place in range(1000))
    assert api.reports["broken"] == [
        {"status": "failed", "output_data": None, "error_message": 'input: "text" is empty'}
    ]
    assert metrics.sum("ai_tasks_rejected_total") == 3
    assert all(len(reports) == 1 for reports in api.reports.values())


@pytest.mark.slow
def test_page_of_200_megabytes_is_refused_without_holding_it(
    launch: StartService, provider: StubProvider
) -> None:
    measured = threading.Event()

    def flood() -> Iterator[bytes]:
        yield b"["
        measured.wait(20)
        yield from itertools.repeat(b" " * MEGABYTE, 200)
        yield b"]"

    api = ScriptedApi(page_of([]), Answer(200, flood()), page_of([flat_task("1", "a text")]))
    with ScriptedServer(api) as server:
        service = start_against(launch, server, provider, POLLING_INTERVAL_SECONDS="1")
        service.wait_until_ready()
        before = peak_memory_megabytes(service)
        measured.set()
        refused = service.wait_for_log("poll_failed")
        assert refused["result"] == "bad_page"
        assert "larger than" in refused["detail"]
        eventually(lambda: api.reports, what="the next page was worked on")
        assert peak_memory_megabytes(service) - before < 160
        assert service.stop() == 0


def start_against(
    launch: StartService, server: ScriptedServer, provider: StubProvider, **settings: str
) -> ServiceProcess:
    peers = {
        "API_BASE_URL": server.url,
        "API_TOKEN": API_TOKEN,
        "OPENAI_BASE_URL": provider.base_url,
        "OPENAI_API_KEY": "sk-none",
    }
    patient = {"CIRCUIT_BREAKER_THRESHOLD": "100", "POLLING_INTERVAL_SECONDS": "0.05"}
    return launch(**{**peers, **patient, "CONCURRENCY_LIMIT": "2", **settings})


def peak_memory_megabytes(service: ServiceProcess) -> float:
    for line in Path(f"/proc/{service.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")
