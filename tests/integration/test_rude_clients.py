"""Whatever the clients of the HTTP port do, probes are answered within a second."""

import contextlib
import http.client
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from http import HTTPStatus

import pytest
import structlog.testing
from prometheus_client import CollectorRegistry

from shared.logs import LogEvent
from supervisor.console import connections
from supervisor.console.connections import (
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_OF_A_SOURCE,
    TEXT,
    Answer,
    Connections,
    Render,
    Request,
    source_of,
)
from supervisor.console.gauges import StatusGauges
from supervisor.console.http_server import MetricsServer
from supervisor.console.listening import listen
from supervisor.console.wake import WakeEndpoint
from supervisor.status.status import StatusBoard
from tests.eventually import eventually
from tests.unit.supervisor.status.statuses import BUSY_WORKER, WORKING

LARGE = replace(WORKING, workers=tuple(replace(BUSY_WORKER, slot=slot) for slot in range(1000)))
"""Its `/status`, `/metrics` and page are larger than a socket's small buffers."""
SLOW_HEADS = 300
FLOOD = """
import contextlib, socket, sys
for number in range(10_000):
    if number == 500:
        print("under way", flush=True)
    with contextlib.suppress(OSError):
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
"""
PROBE_SECONDS = 1.0
OK = Answer(HTTPStatus.OK, TEXT, b"ok")


class Client(socket.socket):
    """A connection to a port of this machine."""

    def __init__(
        self, port: int, sent: bytes = b"", *, host: str = "127.0.0.1", buffer_bytes: int = 0
    ) -> None:
        super().__init__(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.settimeout(5.0)
        if buffer_bytes:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.connect((host, port))
        self.sendall(sent)

    def ends(self) -> bool:
        """Did the server close it?"""
        readable, _, _ = select.select([self], [], [], 0)
        try:
            return bool(readable) and not self.recv(1)
        except ConnectionError:
            return True

    def is_reset(self) -> bool:
        """Has the server closed it without having read all?"""
        try:
            self.send(b"x")
        except OSError:
            return True
        return False

    def read(self) -> bytes:
        """All there is until the server closes."""
        return b"".join(iter(lambda: self.recv(65_536), b""))


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def get(path: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request: pytest.FixtureRequest) -> str:
    address = str(request.param)
    with contextlib.suppress(OSError):
        socket.create_server(
            (address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        ).close()
        return address
    pytest.skip("this machine has no IPv6")


@pytest.fixture
def port(host: str) -> Iterator[int]:
    """That of a whole server, with a large status to read."""
    board = StatusBoard()
    board.publish(LARGE, time.monotonic())
    registry = CollectorRegistry()
    registry.register(StatusGauges(board))
    server = MetricsServer(host, 0, board, registry, WakeEndpoint(None, lambda _: None, time.monotonic))
    crashes: list[object] = []
    server.start(crashes.append)
    yield server.port
    server.close()
    assert not crashes


def slow_heads(stack: ExitStack, connect: Callable[..., Client]) -> None:
    clients = [stack.enter_context(connect(b"GET /metrics HTT")) for _ in range(SLOW_HEADS)]
    done = threading.Event()

    def trickle() -> None:
        while not done.wait(0.2):
            for client in clients:
                with contextlib.suppress(OSError):
                    client.send(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    stack.callback(thread.join)
    stack.callback(done.set)


def pipelining_without_reading(stack: ExitStack, connect: Callable[..., Client]) -> None:
    for path in (b"/metrics", b"/status", b"/") * 20:
        stack.enter_context(connect(get(path) * 100, buffer_bytes=2048))


def silence(stack: ExitStack, connect: Callable[..., Client]) -> None:
    for _ in range(SLOW_HEADS):
        stack.enter_context(connect())


def half_closed(stack: ExitStack, connect: Callable[..., Client]) -> None:
    for sent in (b"", b"GET /metrics", get(b"/metrics"), get(b"/status")) * 20:
        stack.enter_context(connect(sent, buffer_bytes=2048)).shutdown(socket.SHUT_WR)


def giant_heads(stack: ExitStack, connect: Callable[..., Client]) -> None:
    for _ in range(50):
        client = stack.enter_context(connect())
        with contextlib.suppress(OSError):
            client.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 2_000_000)


def garbage(stack: ExitStack, connect: Callable[..., Client]) -> None:
    for sent in (
        b"\x16\x03\x01\x02\x00\x01",
        b"\0" * 5000,
        b"\r\n" * 5000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ) * 20:
        with contextlib.suppress(OSError):
            stack.enter_context(connect(sent))


def resets(stack: ExitStack, connect: Callable[..., Client]) -> None:
    for _ in range(200):
        with connect(get(b"/status")) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def large_bodies(stack: ExitStack, connect: Callable[..., Client]) -> None:
    head = b"POST /wake HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n"
    for _ in range(20):
        client = stack.enter_context(connect(head))
        with contextlib.suppress(OSError):
            client.sendall(b"b" * 1_000_000)


def quick_connections(stack: ExitStack, connect: Callable[..., Client]) -> None:
    with connect() as client:
        host, port = client.getpeername()[:2]
    command = [sys.executable, "-c", FLOOD, host, str(port)]
    flood = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
    stack.callback(flood.kill)
    assert flood.stdout is not None
    assert flood.stdout.readline() == b"under way\n"


@pytest.mark.parametrize(
    "crowd",
    [
        slow_heads,
        silence,
        pipelining_without_reading,
        half_closed,
        giant_heads,
        garbage,
        resets,
        large_bodies,
        quick_connections,
    ],
)
def test_probes_are_answered_within_a_second_beside(
    crowd: Callable[[ExitStack, Callable[..., Client]], None], host: str, port: int
) -> None:
    def connect(sent: bytes = b"", buffer_bytes: int = 0) -> Client:
        return Client(port, sent, host=host, buffer_bytes=buffer_bytes)

    def ask(path: str) -> int:
        connection = http.client.HTTPConnection(host, port, timeout=PROBE_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Host": "localhost"})
            response = connection.getresponse()
            response.read()
            return response.status

    with ExitStack() as stack:
        crowd(stack, connect)
        for _ in range(5):
            began = time.monotonic()
            assert ask("/health") == 200
            assert ask("/ready") == 200
            assert time.monotonic() - began < PROBE_SECONDS
        assert ask("/metrics") == 200


@contextlib.contextmanager
def serving(route: Callable[[Request], Answer | Render]) -> Iterator[int]:
    """The port of a server with these answers."""
    listeners = listen("127.0.0.1", 0)
    server = Connections(listeners, route)
    crashes: list[object] = []
    server.start(crashes.append)
    try:
        yield listeners[0].getsockname()[1]
    finally:
        server.close()
    assert not crashes


def test_head_that_is_not_whole_in_time_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with serving(lambda _: OK) as port, Client(port) as client:
        eventually(client.is_reset, 5.0)


def test_answer_that_is_not_read_in_time_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.3)
    large = Answer(HTTPStatus.OK, TEXT, b"a" * 50_000_000)
    with serving(lambda _: large) as port, Client(port, get(b"/")) as client:
        eventually(client.is_reset, 5.0)


def test_connection_has_one_answer_and_says_that_it_is_the_last() -> None:
    with serving(lambda _: OK) as port, Client(port, get(b"/") * 3) as client:
        answer = client.read()
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000, b"431"),
        (b"\x16\x03\x01\x02\x00\x01", b"400"),
        (b"garbage\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.0\r\n\r\n", b"200"),
    ],
)
def test_what_is_no_request_is_refused(sent: bytes, status: bytes) -> None:
    with serving(lambda _: OK) as port, Client(port, sent) as client:
        assert client.read().startswith(b"HTTP/1.1 " + status)


def test_at_the_limit_of_a_source_its_oldest_connection_makes_room() -> None:
    with serving(lambda _: OK) as port, ExitStack() as stack:
        clients = [stack.enter_context(Client(port)) for _ in range(MAX_CONNECTIONS_OF_A_SOURCE + 2)]
        eventually(clients[1].ends)
        assert [client.ends() for client in clients[:3]] == [True, True, False]


def test_at_the_limit_of_all_the_oldest_connection_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(10_000))
    monkeypatch.setattr(connections, "source_of", lambda _: str(next(numbers)))
    with serving(lambda _: OK) as port, ExitStack() as stack:
        clients = [stack.enter_context(Client(port)) for _ in range(MAX_CONNECTIONS + 2)]
        eventually(clients[1].ends)
        assert [client.ends() for client in clients[:3]] == [True, True, False]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("2001:db8::1", "2001:db8::2:3:4:5", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1", True),
    ],
)
def test_source_is_an_address_or_a_network_of_ipv6(one: str, other: str, same: bool) -> None:
    assert (source_of(one) == source_of(other)) is same


def test_page_that_takes_long_is_rendered_beside_the_probes_and_once_for_all_who_wait() -> None:
    may_go_on, begun = threading.Event(), threading.Semaphore(0)
    renders: list[int] = []

    def slow() -> Answer:
        renders.append(1)
        begun.release()
        assert may_go_on.wait(10.0)
        return OK

    with serving(lambda request: slow if request.path == "/slow" else OK) as port, ExitStack() as stack:
        first = stack.enter_context(Client(port, get(b"/slow")))
        assert begun.acquire(timeout=10.0)
        others = [stack.enter_context(Client(port, get(b"/slow"))) for _ in range(10)]
        others.pop().close()
        with Client(port, get(b"/probe")) as probe:
            assert b"200 OK" in probe.read()
        may_go_on.set()
        assert all(b"200 OK" in client.read() for client in (first, *others))
    assert len(renders) == 2


def test_fault_of_a_page_is_an_answer_and_a_line_of_the_log() -> None:
    def broken() -> Answer:
        raise ZeroDivisionError

    def pages(request: Request) -> Answer | Render:
        return broken if request.path == "/broken" else OK

    with structlog.testing.capture_logs() as lines, serving(pages) as port:
        for path, status in ((b"/broken", b"500"), (b"/", b"200")):
            with Client(port, get(path)) as client:
                assert client.read().startswith(b"HTTP/1.1 " + status)
    assert [(line["event"], line["path"]) for line in lines] == [(LogEvent.HTTP_ANSWER_FAILED, "/broken")]
