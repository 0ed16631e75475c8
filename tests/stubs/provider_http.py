"""The HTTP side of the stub provider: a thread a connection, and answers that arrive in every bad way."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.stubs.provider_faults import Delivery

DRIP_SECONDS = 0.02
_LINGER_NOT = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = Delivery.WHOLE
    delay_seconds: float = 0.0


Answer = Callable[[Request], Reply]


class StubServer(ThreadingHTTPServer):
    """Serves `answer` on loopback until closed, which also ends the connections that hang."""

    daemon_threads = False
    request_queue_size = 256

    def __init__(self, port: int, answer: Answer) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answer = answer
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="stub-provider")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StubServer
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_POST(self) -> None:
        self._respond()

    def do_GET(self) -> None:
        self._respond()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  named by the base class
        """Silent."""

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.answer(Request(self.command, self.path, headers, body))
        if reply.delay_seconds:
            self.server.closing.wait(reply.delay_seconds)
        if reply.delivery is Delivery.RESET:
            return self._reset()
        if reply.delivery is Delivery.NOTHING:
            return self._fall_silent()
        return self._deliver(reply)

    def _deliver(self, reply: Reply) -> None:
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(reply.body)),
            **reply.headers,
        }
        lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        if reply.delivery is Delivery.WHOLE:
            self.wfile.write(head + reply.body)
        elif reply.delivery is Delivery.DRIP:
            self._drip(head, reply.body)
        else:
            self.wfile.write(head + reply.body[: len(reply.body) // 2])
            if reply.delivery is Delivery.HALF_THEN_SILENCE:
                self._fall_silent()
            self.close_connection = True

    def _drip(self, head: bytes, body: bytes) -> None:
        self.wfile.write(head)
        for place in range(len(body)):
            if self.server.closing.wait(DRIP_SECONDS):
                break
            self.wfile.write(body[place : place + 1])
        self.close_connection = True

    def _fall_silent(self) -> None:
        self.server.closing.wait()
        self.close_connection = True

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.rfile.close()
        self.connection.close()
