"""Signals other than those that end the service."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import Harness, StartService
from tests.acceptance.service import OPENAI_KEY, ServiceProcess
from tests.eventually import eventually


def test_paused_service_begins_nothing_until_it_is_resumed(harness: Harness) -> None:
    service, task_api, provider = harness.service, harness.task_api, harness.provider
    service.send_signal(signal.SIGUSR1)
    eventually(lambda: service.status()["phase"] == "paused")
    assert service.status()["idle"] == "paused"
    calls = len(provider.calls)
    task_api.add(10, prefix="paused")
    paused_at = service.status()["uptime_seconds"]
    # Several polls would have come in this time, as the interval is 0.5 s at most.
    eventually(lambda: service.status()["uptime_seconds"] > paused_at + 1.5, what="time passes")
    assert task_api.open() == 10
    assert len(provider.calls) == calls
    assert not service.not_ready(), "paused is no fault"
    service.send_signal(signal.SIGUSR2)
    task_api.wait_until_done()
    eventually(lambda: service.status()["phase"] == "running")


@pytest.mark.slow
def test_paused_service_drains(start_service: StartService) -> None:
    service = start_service(CONCURRENCY_LIMIT="1")
    service.wait_until_ready()
    service.send_signal(signal.SIGUSR1)
    service.wait_for_log("paused")
    service.send_signal(signal.SIGINT)
    assert service.wait(5.0) == 0
    assert service.log_lines()[-1]["event"] == "service_stopped"
    assert "Traceback" not in service.output()


def test_sigquit_prints_every_stack_and_the_service_goes_on(harness: Harness) -> None:
    service = harness.service
    service.send_signal(signal.SIGQUIT)
    eventually(lambda: "Current thread" in service.errors.read_text())
    stacks = service.errors.read_text()
    for place in (
        "supervisor/loop.py",
        "supervisor/task_api/client.py",
        "worker_slot.py",
        "supervisor/task_api/http/wire.py",
    ):
        assert place in stacks
    harness.task_api.add(3, prefix="after SIGQUIT")
    harness.task_api.wait_until_done()


BLOCK_ALL = """import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execvp(sys.argv[1], sys.argv[1:])"""


@pytest.mark.slow
def test_service_that_was_started_with_all_signals_blocked_notices_deaths_and_drains(tmp_path: Path) -> None:
    settings = {"API_BASE_URL": "http://127.0.0.1:9", "OPENAI_API_KEY": OPENAI_KEY, "CONCURRENCY_LIMIT": "1"}
    service = ServiceProcess(tmp_path, settings, through=(sys.executable, "-c", BLOCK_ALL))
    try:
        os.kill(service.wait_for_log("worker_started", 20.0)["pid"], signal.SIGKILL)
        service.wait_for_log("worker_started", count=2)
        assert service.stop() == 0
    finally:
        service.clean_up()
