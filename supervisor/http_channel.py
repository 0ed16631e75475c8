"""One kept-alive HTTP connection to the task API, with bounds that hold against any other side.

The standard library's client on its own spends about half the CPU of a pooled one on a 20 KB PATCH, and a
PATCH is most of what a task costs this process. Timeouts of sockets begin anew with each byte; here the
whole exchange has one deadline.
"""

import http.client
import io
import select
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `complete` is False where the body was larger than asked for and is cut."""

    status: int
    headers: http.client.HTTPMessage
    body: bytearray
    complete: bool


class _Deadline:
    """When the exchange under way has to be over; shared by the reader of each answer."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.at = 0.0

    def left_seconds(self) -> float:
        left = self.at - self._clock()
        if left <= 0:
            raise TimeoutError("the answer was not whole in time")
        return left


class _TimedReader(io.RawIOBase):
    """Reads from a socket, never waiting past the deadline.

    `file` is the socket's own reader, unused but open: while it is, closing the connection leaves the
    socket to us, as an answer that ends with the connection needs.
    """

    def __init__(self, sock: socket.socket, file: io.BufferedReader, deadline: _Deadline) -> None:
        self._sock = sock
        self._file = file
        self._deadline = deadline

    def close(self) -> None:
        self._file.close()
        super().close()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._sock.settimeout(self._deadline.left_seconds())
        return self._sock.recv_into(buffer)


class HttpChannel:
    """For one thread. Connects when needed, again after any trouble; follows no redirect, knows no proxy.

    `clock` is monotonic.
    """

    def __init__(
        self, base: SplitResult, tls: ssl.SSLContext | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._deadline = _Deadline(clock)
        self._clock = clock
        host = base.hostname or ""
        self._connection = (
            http.client.HTTPConnection(host, base.port)
            if tls is None
            else http.client.HTTPSConnection(host, base.port, context=tls)
        )
        self._connection.response_class = self._make_response  # type: ignore[assignment]  # called, never subclassed

    def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        timeout_seconds: float,
        most_bytes: int,
    ) -> Answer:
        """Send a request and read its answer, all within `timeout_seconds`.

        Raises TimeoutError, other OSErrors and HTTPException; the next exchange uses a new connection.
        """
        self._deadline.at = self._clock() + timeout_seconds
        self._drop_if_stale()
        connection = self._connection
        connection.timeout = timeout_seconds
        whole = False
        try:
            if connection.sock is not None:
                connection.sock.settimeout(timeout_seconds)
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            content = bytearray()
            while len(content) <= most_bytes and (chunk := response.read1(CHUNK_BYTES)):
                content += chunk
            whole = not response.length and len(content) <= most_bytes
            response.close()
            if not whole and len(content) <= most_bytes:
                raise http.client.IncompleteRead(b"", response.length)
            return Answer(response.status, response.headers, content, complete=len(content) <= most_bytes)
        finally:
            if not whole:
                connection.close()

    def _make_response(self, sock: socket.socket, *, method: str | None = None) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, method=method)
        response.fp = io.BufferedReader(_TimedReader(sock, response.fp, self._deadline))
        return response

    def _drop_if_stale(self) -> None:
        sock = self._connection.sock
        if sock is None:
            return
        # Between requests there is nothing to read, unless the other side has hung up.
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        if poller.poll(0):
            self._connection.close()
