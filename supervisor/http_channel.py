"""One kept-alive HTTP connection to the task API, with bounds that hold against any other side.

A PATCH is most of what a task costs this process, so the request is written in one piece and only the
answer is left to the standard library's client. Timeouts of sockets begin anew with each byte; here the
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

    Each header of `headers` goes out as it is: names and values must be printable ASCII. `clock` is
    monotonic.
    """

    def __init__(
        self,
        base: SplitResult,
        tls: ssl.SSLContext | None,
        headers: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = (base.hostname or "", base.port or (443 if tls else 80))
        self._tls = tls
        self._clock = clock
        self._deadline = _Deadline(clock)
        self._fixed_head = _lines({"Host": base.netloc.encode("idna").decode(), **headers})
        self._socket: socket.socket | None = None

    def exchange(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout_seconds: float,
        most_bytes: int,
    ) -> Answer:
        """Send a request and read its answer, all within `timeout_seconds`.

        Raises TimeoutError, other OSErrors and HTTPException; the next exchange uses a new connection.
        """
        self._deadline.at = self._clock() + timeout_seconds
        head = f"{method} {path} HTTP/1.1\r\n{self._fixed_head}{_lines(headers)}\r\n"
        keep = False
        try:
            sock = self._connected()
            sock.settimeout(self._deadline.left_seconds())
            # One write: headers apart from the body would be a packet and a system call of their own.
            sock.sendall(head.encode("ascii") + body)
            response = http.client.HTTPResponse(sock, method=method)
            response.fp = io.BufferedReader(_TimedReader(sock, response.fp, self._deadline))
            response.begin()
            answer = _read(response, most_bytes)
            keep = answer.complete and not response.will_close
            return answer
        finally:
            if not keep:
                self.close()

    def close(self) -> None:
        """Hang up; the next exchange connects anew."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is not None and _is_stale(self._socket):
            self.close()
        if self._socket is None:
            plain = socket.create_connection(self._address, self._deadline.left_seconds())
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = plain
            if self._tls is not None:
                self._socket = self._tls.wrap_socket(plain, server_hostname=self._address[0])
        return self._socket


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def _is_stale(sock: socket.socket) -> bool:
    # Between requests there is nothing to read, unless the other side has hung up.
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(0))


def _read(response: http.client.HTTPResponse, most_bytes: int) -> Answer:
    content = bytearray()
    while len(content) <= most_bytes and (chunk := response.read1(CHUNK_BYTES)):
        content += chunk
    complete = len(content) <= most_bytes
    missing = response.length
    response.close()
    if complete and missing:
        raise http.client.IncompleteRead(b"", missing)
    return Answer(response.status, response.headers, content, complete)
