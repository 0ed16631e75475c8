"""Signals other than those that end the service."""

import signal

from tests.acceptance.conftest import StartService
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider


def test_paused_service_begins_nothing_until_it_is_resumed(
    start_service: StartService, task_api: Peer, provider: StubProvider
) -> None:
    service = start_service(CONCURRENCY_LIMIT="1")
    service.wait_until_ready()
    service.send_signal(signal.SIGUSR1)
    eventually(lambda: service.status()["phase"] == "paused")
    assert service.status()["idle"] == "paused"
    task_api.add(10)
    paused_at = service.status()["uptime_seconds"]
    # Several polls would have come in this time, as the interval is 0.5 s at most.
    eventually(lambda: service.status()["uptime_seconds"] > paused_at + 1.5, what="time passes")
    assert task_api.open() == 10
    assert not provider.calls
    assert not service.not_ready(), "paused is no fault"
    service.send_signal(signal.SIGUSR2)
    task_api.wait_until_done()
    eventually(lambda: service.status()["phase"] == "running")
    service.send_signal(signal.SIGUSR1)
    eventually(lambda: service.status()["phase"] == "paused")
    assert service.stop() == 0, "a paused service drains too"


def test_sigquit_prints_every_stack_and_the_service_goes_on(
    start_service: StartService, task_api: Peer
) -> None:
    service = start_service(CONCURRENCY_LIMIT="1")
    service.wait_until_ready()
    service.send_signal(signal.SIGQUIT)
    stacks = eventually(lambda: "Current thread" in service.errors.read_text() and service.errors.read_text())
    assert stacks
    for place in ("supervisor/loop.py", "supervisor/poller.py", "worker_slot.py", "supervisor/reporter.py"):
        assert place in stacks
    task_api.add(3)
    task_api.wait_until_done()
    assert service.stop() == 0
