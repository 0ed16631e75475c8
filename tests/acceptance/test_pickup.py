"""How soon new work is noticed, beside polling."""

import http.client
import time
from contextlib import closing

import pytest

from tests.acceptance.conftest import StartService
from tests.acceptance.service import ServiceProcess
from tests.acceptance.task_api import Peer
from tests.eventually import eventually

RARELY = {"POLLING_INTERVAL_SECONDS": "60", "POLLING_MIN_INTERVAL_SECONDS": "60", "CONCURRENCY_LIMIT": "1"}
WAKE_TOKEN = "acceptance-wake-token"


@pytest.mark.slow
def test_ring_at_the_door_brings_a_poll_at_once(start_service: StartService, task_api: Peer) -> None:
    service = start_service(**RARELY, WAKE_TOKEN=WAKE_TOKEN)
    wait_for_first_poll(service)
    task_api.add(3)
    assert ring(service, "wrong") == 401
    assert ring(service, WAKE_TOKEN) == 202
    task_api.wait_until_done(5.0)
    assert service.stop() == 0


def test_long_poll_brings_work_at_once_and_holds_up_no_drain(
    start_service: StartService, task_api: Peer
) -> None:
    service = start_service(**RARELY, POLL_WAIT_SECONDS="30")
    service.wait_until_ready()
    eventually(lambda: service.status()["poll"]["under_way"], what="a poll waits at the API")
    task_api.add(3)
    task_api.wait_until_done(5.0)
    asked_at = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - asked_at < 3.0


def wait_for_first_poll(service: ServiceProcess) -> None:
    service.wait_until_ready()
    eventually(lambda: service.metrics().sum("ai_polls_total") >= 1, what="the first poll")


def ring(service: ServiceProcess, token: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=5)) as connection:
        connection.request("POST", "/wake", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
