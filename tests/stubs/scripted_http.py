"""An HTTP server on loopback whose every answer is a function's: for peers that do what no good one would."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

_LINGER_NOT = struct.pack("ii", 1, 0)


class Ending(StrEnum):
    """What becomes of the connection after an answer."""

    KEEP = "keep"
    CLOSE_UNSAID = "close_unsaid"
    """Closed, though the answer promised to keep it."""
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    """Path and query, as they were sent."""
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes
    client_port: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A body in pieces has no length of its own; the end of the connection is its end."""

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    ending: Ending = Ending.KEEP
    head: bytes | None = None
    """Sent in place of the status line and the headers, for what only old or odd servers write."""


NO_ANSWER = Answer(0)
"""The request is read, then the connection ends without a word."""

Script = Callable[[Request], Answer]


class ScriptedServer(ThreadingHTTPServer):
    """Answers inside its `with`. `closing` is set at its end: what waits in a script must watch it."""

    daemon_threads = False
    request_queue_size = 256

    def __init__(
        self, script: Script, port: int = 0, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__((host, port), _Handler)
        self._scheme = "https" if tls else "http"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="scripted-http")

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self.server_address[0]!s}:{self.server_port}"

    def seen(self, method: str) -> list[Request]:
        with self._lock:
            return [request for request in self.requests if request.method == method]

    def note(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
            self.connections += 1

    def open_connections(self) -> int:
        with self._lock:
            return len(self._open)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        assert isinstance(request, socket.socket)  # a tuple is for UDP
        super().shutdown_request(request)
        with self._lock:
            self._open.discard(request)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ScriptedServer
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body, self.client_address[1])
        self.server.note(request)
        answer = self.server.script(request)
        if answer.status:
            self._send(answer)
        if answer.ending is Ending.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self.rfile.close()
            self.connection.close()
        if answer.ending is not Ending.KEEP or not answer.status:
            self.close_connection = True

    do_PATCH = do_POST = do_GET  # noqa: N815  named by the base class

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  named by the base class
        """Silent."""

    def _send(self, answer: Answer) -> None:
        whole = isinstance(answer.body, bytes)
        headers = {"Content-Type": "application/json", **answer.headers}
        if isinstance(answer.body, bytes):
            headers.setdefault("Content-Length", str(len(answer.body)))
        lines = [f"HTTP/1.1 {answer.status} Scripted"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        pieces = [answer.body] if isinstance(answer.body, bytes) else answer.body
        self.wfile.write(head if answer.head is None else answer.head)
        for piece in pieces:
            self.wfile.write(piece)
        self.close_connection = self.close_connection or not whole
