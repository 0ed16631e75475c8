"""The cause is in the headline: page, terminal, `/status` and log say what failed last, and where."""

import subprocess
import sys

import pytest

from tests.acceptance.service import RUN, Json, ServiceProcess, clean_environment
from tests.eventually import eventually
from tests.stubs.scripted_http import Answer
from tests.wild.conftest import Wild

pytestmark = pytest.mark.slow

BROKEN = Answer(500, b'{"detail":"relation ai_tasks does not exist"}', {"Content-Type": "application/json"})


def idle_status(service: ServiceProcess, reason: str) -> Json:
    """The status once the service is idle for this reason, and knows of trouble."""

    def found() -> Json:
        status = service.status()
        return status if status.get("idle") == reason and status["troubles"] else {}

    return eventually(found, 10.0)


def headline_of(service: ServiceProcess) -> str:
    return service.get("/").body.decode().partition("<main")[2].partition("</section>")[0]


def in_terminal(service: ServiceProcess) -> str:
    url = f"http://127.0.0.1:{service.port}"
    done = subprocess.run(
        [sys.executable, RUN, "status", "--url", url],
        env=clean_environment({"COLUMNS": "200"}),
        capture_output=True,
        check=True,
        text=True,
    )
    return " ".join(done.stdout.split())


def test_api_that_answers_with_an_error_is_told_everywhere_with_its_words(wild: Wild) -> None:
    wild.api.front = lambda _: BROKEN
    service = wild.start(CIRCUIT_BREAKER_THRESHOLD="2", CIRCUIT_BREAKER_RECOVERY_SECONDS="60")
    (trouble,) = idle_status(service, "api_circuit_open")["troubles"]
    words = 'status 500: {"detail":"relation ai_tasks does not exist"}'
    assert (trouble["detail"], trouble["address"]) == (words, wild.api_server.url)
    assert trouble["times"] >= 2
    headline = headline_of(service)
    assert "The task API answers with server errors" in headline
    assert f"At {wild.api_server.url}, {trouble['times']} times since " in headline
    assert "relation ai_tasks does not exist" in headline
    assert "relation ai_tasks does not exist" in in_terminal(service)
    assert service.wait_for_log("breaker_changed")["detail"] == words


@pytest.mark.slow
def test_provider_that_nobody_listens_at_is_told_while_a_task_waits(wild: Wild) -> None:
    wild.api.add(1)
    service = wild.start(OPENAI_BASE_URL="http://127.0.0.1:9/v1", RETRY_BACKOFF_FACTOR="60")
    (trouble,) = idle_status(service, "retry_wait")["troubles"]
    assert (trouble["reason"], trouble["setting"]) == ("connection", "OPENAI_BASE_URL")
    eventually(
        lambda: (
            "No connection to http://127.0.0.1:9/v1" in headline_of(service)
            and "Waiting to try 1 task again after errors" in headline_of(service)
        ),
        10.0,
    )
