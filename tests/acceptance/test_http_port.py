"""The HTTP port of the service: reads only, and no client holds up another."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import Harness
from tests.acceptance.service import ServiceProcess

SLOW_CLIENTS = 40
SCRAPES = 20


@pytest.mark.slow
def test_clients_of_a_byte_a_second_do_not_disturb_a_scrape(harness: Harness) -> None:
    with slow_clients(harness.service):
        for _ in range(SCRAPES):
            began = time.monotonic()
            assert harness.service.metrics().sum("ai_task_processor_build_info") == 1
            assert time.monotonic() - began < 1.0


def test_port_serves_reads_only_and_shrugs_off_rude_clients(harness: Harness) -> None:
    service = harness.service
    for rude in (b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000, b"\r\n\r\n", b""):
        client = socket.create_connection(("127.0.0.1", service.port), 5.0)
        with client, contextlib.suppress(OSError):
            client.sendall(rude)
            client.shutdown(socket.SHUT_WR)
            client.recv(1000)
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert service.get("/status", method).status == 405
    assert service.get("/state/journal.sqlite3").status == 404
    assert service.get("/../../etc/passwd").status == 404
    assert not service.not_ready()


@contextlib.contextmanager
def slow_clients(service: ServiceProcess) -> Iterator[None]:
    """So many connections that each send a byte of a request, then, a second later, the next."""
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            for _ in range(SLOW_CLIENTS)
        ]
        done = threading.Event()

        def drip() -> None:
            for byte in b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n":
                for client in clients:
                    with contextlib.suppress(OSError):
                        client.send(bytes((byte,)))
                if done.wait(1.0):
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
