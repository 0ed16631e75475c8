"""HTTP/1.1 for the stubs: keep-alive, bodies with Content-Length, nothing else.

It answers many thousand requests of 20 KB a second on one core: it is the contender that is measured.
"""

import asyncio
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

MAX_HEAD_BYTES = 32_768
MAX_BODY_BYTES = 64 * 1024 * 1024
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests"}


class NotUnderstoodError(Exception):
    """The peer sent something that this server does not speak; its message says what."""


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is decoded; `body` is whole."""

    method: str
    path: str
    query: str
    body: bytes

    def number(self, name: str, default: float) -> float:
        """A number of the query string. ValueError if it is none."""
        values = parse_qs(self.query).get(name)
        return float(values[0]) if values else default


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is JSON."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self) -> bytes:
        """The bytes on the wire."""
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        head = (
            f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Status')}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(self.body)}\r\n{more}\r\n"
        )
        return head.encode("latin-1") + self.body


Reply = Callable[[Answer], None]
Handler = Callable[[Request, Reply], None]


class RequestParser:
    """Takes bytes as they come, gives requests as they are complete."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._head: tuple[str, str, int] | None = None

    def feed(self, data: bytes) -> None:
        """More bytes of the connection."""
        self._data += data

    def next_request(self) -> Request | None:
        """The next complete request, None if it is not all there. NotUnderstoodError for anything else."""
        if self._head is None:
            self._head = self._take_head()
        if self._head is None or len(self._data) < self._head[2]:
            return None
        method, target, length = self._head
        body = bytes(self._data[:length])
        del self._data[:length]
        self._head = None
        path, _, query = target.partition("?")
        return Request(method, unquote(path), query, body)

    def _take_head(self) -> tuple[str, str, int] | None:
        end = self._data.find(_END_OF_HEAD)
        if end < 0:
            if len(self._data) > MAX_HEAD_BYTES:
                raise NotUnderstoodError("headers without an end")
            return None
        head = bytes(self._data[: end + 2])
        del self._data[: end + len(_END_OF_HEAD)]
        if _CHUNKED.search(head):
            raise NotUnderstoodError("a chunked body; send Content-Length")
        parts = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(parts) != 3:
            raise NotUnderstoodError("a request line that is none")
        found = _LENGTH.search(head)
        length = int(found[1]) if found else 0
        if length > MAX_BODY_BYTES:
            raise NotUnderstoodError(f"a body of more than {MAX_BODY_BYTES} bytes")
        return parts[0], parts[1], length


class Connection(asyncio.Protocol):
    """One request at a time; the handler answers now or later."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._parser = RequestParser()
        self._busy = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        self._serve_next()

    def _serve_next(self) -> None:
        if self._busy or self._transport is None:
            return
        try:
            request = self._parser.next_request()
        except NotUnderstoodError as error:
            print(f"stub: closed a connection: {error}", file=sys.stderr, flush=True)
            self._transport.close()
            return
        if request is not None:
            self._busy = True
            self._handle(request, self._reply)

    def _reply(self, answer: Answer) -> None:
        self._busy = False
        if self._transport is not None:
            self._transport.write(answer.encode())
            self._serve_next()


def reply_later(reply: Reply, answer: Answer, delay_seconds: float) -> None:
    """Answer after `delay_seconds`, at once if that is 0."""
    if delay_seconds > 0:
        asyncio.get_running_loop().call_later(delay_seconds, reply, answer)
    else:
        reply(answer)


async def serve(handle: Handler) -> None:
    """Serve on a free port of the loopback, printed as one line, until standard input ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    server = await loop.create_server(lambda: Connection(handle), "127.0.0.1", 0)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()
