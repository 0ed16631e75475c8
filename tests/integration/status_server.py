"""The real HTTP server with a board to which a test publishes a status."""

import contextlib
import http.client
import time
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from supervisor.console.gauges import StatusGauges
from supervisor.console.http_server import MetricsServer
from supervisor.console.wake import WakeEndpoint
from supervisor.status.status import Status, StatusBoard


@dataclass(frozen=True, slots=True)
class StatusServer:
    board: StatusBoard
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def publish(self, status: Status) -> None:
        self.board.publish(status, time.monotonic())

    def get(self, path: str, method: str = "GET") -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.headers, response.read()


@contextlib.contextmanager
def status_server(port: int = 0) -> Iterator[StatusServer]:
    """Serves while the block runs."""
    board = StatusBoard()
    registry = CollectorRegistry()
    registry.register(StatusGauges(board))
    wake_endpoint = WakeEndpoint(None, lambda _: None, time.monotonic)
    server = MetricsServer("127.0.0.1", port, board, registry, wake_endpoint)
    server.start(lambda _: None)
    try:
        yield StatusServer(board, server.port)
    finally:
        server.close()
