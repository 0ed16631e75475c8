"""The connections of the HTTP port: one request and one answer each, with deadlines and limits."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple

import h11

from shared.logs import LogEvent, get_logger
from supervisor.runtime.events import Event, start_thread

HEAD_SECONDS = 5.0
"""For the whole head of a request, however slowly it comes."""
ANSWER_SECONDS = 20.0
"""For the whole answer, until its last byte is sent."""
LINGER_SECONDS = 1.0
MAX_HEAD_BYTES = 16_384
MAX_LINGER_BYTES = 1_048_576
MAX_CONNECTIONS = 128
MAX_CONNECTIONS_OF_A_SOURCE = 32
ACCEPT_PAUSE_SECONDS = 0.1
READ_BYTES = 65_536
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
NOTHING_INSIDE = "default-src 'none'; frame-ancestors 'none'"
HEADERS = (
    ("Connection", "close"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)

log = get_logger("http")


class Request(NamedTuple):
    """What is read of a request. A header that was not sent is None."""

    method: str
    path: str
    host: str | None
    authorization: str | None


class Answer(NamedTuple):
    """`policy` is the Content-Security-Policy."""

    status: HTTPStatus
    content_type: str
    body: bytes
    policy: str = NOTHING_INSIDE


Render = Callable[[], Answer]
"""Makes an answer; may take time."""
Route = Callable[[Request], Answer | Render]
"""Answers at once, or says what makes the answer."""


class Connections:
    """Serves all clients on one thread, and renders on another.

    At a limit the oldest connection is closed for the new one. A probe takes milliseconds and is never
    the oldest, so it is answered whatever other clients do.
    """

    def __init__(self, listeners: Sequence[socket.socket], route: Route) -> None:
        self._listeners = listeners
        self._route = route
        self._renderer = _Renderer()
        self._open: dict[asyncio.Task[None], str] = {}
        """The oldest first, each with its source."""
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._stop = asyncio.Event()
        for listener in listeners:
            listener.setblocking(False)

    def start(self, post: Callable[[Event], None]) -> None:
        self._loop = self._runner.get_loop()
        self._thread = start_thread("http", self._run, post)

    def close(self) -> None:
        """Close every connection and listen no more."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        with self._runner, contextlib.ExitStack() as stack:
            stack.callback(self._renderer.close)
            for listener in self._listeners:
                stack.enter_context(listener)
            self._runner.run(self._serve())

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            accepting = [group.create_task(self._accept(listener)) for listener in self._listeners]
            await self._stop.wait()
            for task in accepting:
                task.cancel()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError:  # no file is left, or the client has gone
                self._close_oldest(self._open)
                await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            if _has_gone(client):
                client.close()
            else:
                self._admit(client, source_of(address[0]))
            await asyncio.sleep(0)  # what has already arrived is read before the next client is accepted

    def _admit(self, client: socket.socket, source: str) -> None:
        of_source = [task for task, other in self._open.items() if other == source]
        if len(of_source) >= MAX_CONNECTIONS_OF_A_SOURCE:
            self._close_oldest(of_source)
        elif len(self._open) >= MAX_CONNECTIONS:
            self._close_oldest(self._open)
        task = asyncio.create_task(self._converse(client))
        self._open[task] = source
        task.add_done_callback(lambda done: self._open.pop(done, None))

    def _close_oldest(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        for oldest in tasks:
            oldest.cancel()
            del self._open[oldest]
            break

    async def _converse(self, client: socket.socket) -> None:
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        with client, contextlib.suppress(OSError):  # a missed deadline is an OSError too
            async with asyncio.timeout(HEAD_SECONDS):
                request = await _read_request(parser, client)
            if request is None:
                return
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = request if isinstance(request, Answer) else await self._answer(request)
                await _send(parser, client, answer)
            async with asyncio.timeout(LINGER_SECONDS):
                await _linger(client)

    async def _answer(self, request: Request) -> Answer:
        try:
            answer = self._route(request)
            return answer if isinstance(answer, Answer) else await self._renderer.render(answer)
        except Exception as error:  # a fault in a page must not end the work
            log.exception(LogEvent.HTTP_ANSWER_FAILED, path=request.path, error=type(error).__name__)
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, TEXT, b"a fault of the service: see its log\n")


class _Renderer:
    """Renders one answer at a time. All who ask for it before that begins share it."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "http-render")
        self._one_at_a_time = asyncio.Lock()
        self._waiting: dict[Render, asyncio.Task[Answer]] = {}

    async def render(self, render: Render) -> Answer:
        task = self._waiting.get(render)
        if task is None:
            task = self._waiting[render] = asyncio.create_task(self._run(render))
        return await asyncio.shield(task)  # others wait for it when this client has gone

    async def _run(self, render: Render) -> Answer:
        async with self._one_at_a_time:
            del self._waiting[render]
            return await asyncio.get_running_loop().run_in_executor(self._executor, render)

    def close(self) -> None:
        self._executor.shutdown(wait=False)


@lru_cache(1024)
def source_of(address: str) -> str:
    """Whom a client's address stands for: itself, or with IPv6 the network of 64 bits that it is in."""
    ip = ip_address(address.partition("%")[0])
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))


def _has_gone(client: socket.socket) -> bool:
    """Did the client close at once? In a flood of such clients a probe waits until all are looked at."""
    try:
        return not client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


async def _read_request(parser: h11.Connection, client: socket.socket) -> Request | Answer | None:
    """The head, or the answer where it is none that can be read. None where nothing is sent."""
    loop = asyncio.get_running_loop()
    try:
        while (event := parser.next_event()) is h11.NEED_DATA:
            parser.receive_data(await loop.sock_recv(client, READ_BYTES))
    except h11.RemoteProtocolError as error:
        return Answer(HTTPStatus(error.error_status_hint), TEXT, b"this is no HTTP request\n")
    if not isinstance(event, h11.Request):
        return None
    headers = {name: value.decode("latin-1") for name, value in event.headers}
    path = event.target.decode("latin-1").partition("?")[0]
    return Request(event.method.decode(), path, headers.get(b"host"), headers.get(b"authorization"))


async def _send(parser: h11.Connection, client: socket.socket, answer: Answer) -> None:
    loop = asyncio.get_running_loop()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else the body waits for the head to arrive
    head = h11.Response(
        status_code=answer.status,
        reason=answer.status.phrase,
        headers=[
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Content-Security-Policy", answer.policy),
            *HEADERS,
        ],
    )
    await loop.sock_sendall(client, parser.send(head) or b"")
    await loop.sock_sendall(client, parser.send(h11.Data(answer.body)) or b"")
    client.shutdown(socket.SHUT_WR)


async def _linger(client: socket.socket) -> None:
    """Read on until the client closes: a close before that may destroy an answer that is on its way."""
    loop = asyncio.get_running_loop()
    left = MAX_LINGER_BYTES
    while left > 0 and (rest := await loop.sock_recv(client, READ_BYTES)):
        left -= len(rest)
