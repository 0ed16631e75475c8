"""One kept-alive HTTP connection to the task API, with bounds that hold against any other side.

A PATCH is most of what a task costs this process, so the request is written in one piece. Timeouts of
sockets begin anew with each byte; here the whole exchange has one deadline.
"""

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult

from supervisor.task_api.http_answer import Answer, AnswerReader

CHUNK_BYTES = 64 * 1024
MICROSECONDS = 1e6


class _Wire:
    """A connected socket that never waits past `deadline`.

    A timeout of Python's own is a system call more, and a hand-over of the interpreter, for every send and
    receive; the kernel's costs nothing, but TLS does not heed it.
    """

    def __init__(self, sock: socket.socket, clock: Callable[[], float]) -> None:
        self._sock = sock
        self._clock = clock
        self._poller = select.poll()
        self._poller.register(sock, select.POLLIN)
        self.deadline = 0.0

    def hang_up(self) -> None:
        self._sock.close()

    def receive(self) -> bytes:
        """Empty once the other side has hung up."""
        self._limit(socket.SO_RCVTIMEO)
        try:
            return self._sock.recv(CHUNK_BYTES)
        except BlockingIOError as error:
            raise _late() from error

    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._limit(socket.SO_SNDTIMEO)
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError as error:
                raise _late() from error

    def is_stale(self) -> bool:
        """Has the other side hung up since the last answer, or said something nobody asked for?"""
        return bool(self._poller.poll(0))

    def _limit(self, option: int) -> None:
        left = self.deadline - self._clock()
        if left <= 0:
            raise _late()
        if isinstance(self._sock, ssl.SSLSocket):
            self._sock.settimeout(left)
        else:
            seconds, rest = divmod(left, 1.0)
            timeval = struct.pack("@ll", int(seconds), max(1, int(rest * MICROSECONDS)))
            self._sock.setsockopt(socket.SOL_SOCKET, option, timeval)


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
        self._fixed_head = _lines({"Host": base.netloc.encode("idna").decode(), **headers})
        self._wire: _Wire | None = None

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

        Raises TimeoutError, other OSErrors and BrokenAnswerError; the next exchange uses a new connection.
        """
        deadline = self._clock() + timeout_seconds
        head = f"{method} {path} HTTP/1.1\r\n{self._fixed_head}{_lines(headers)}\r\n"
        keep = False
        try:
            wire = self._connected(deadline)
            # One write: headers apart from the body would be a packet and a system call of their own.
            wire.send(head.encode("ascii") + body)
            answer = AnswerReader(wire.receive, most_bytes).read()
            keep = not answer.last
            return answer
        finally:
            if not keep:
                self.close()

    def close(self) -> None:
        """Hang up; the next exchange connects anew."""
        if self._wire is not None:
            self._wire.hang_up()
            self._wire = None

    def _connected(self, deadline: float) -> _Wire:
        if self._wire is not None and self._wire.is_stale():
            self.close()
        if self._wire is None:
            left = deadline - self._clock()
            if left <= 0:
                raise _late()
            sock = socket.create_connection(self._address, left)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_hostname=self._address[0])
            else:
                sock.settimeout(None)
            self._wire = _Wire(sock, self._clock)
        self._wire.deadline = deadline
        return self._wire


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def _late() -> TimeoutError:
    return TimeoutError("the answer was not whole in time")
