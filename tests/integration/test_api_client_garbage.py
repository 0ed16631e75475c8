"""The client of the task API against servers that hardly speak HTTP: an answer, never an exception."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from supervisor.task_api.responses import Health, PollRequest, PollResult, ReportOutcome
from tests.eventually import eventually
from tests.integration.api_caller import ApiCaller, api_caller

TIMEOUT_SECONDS = 0.5
OK = b"HTTP/1.1 200 OK\r\n"
GARBAGE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "noise": b"\x00\xff\xfe\x01" * 20,
    "nothing": b"",
    "no status": b"HTTP/1.1\r\n\r\n",
    "a status that is no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "a status out of range": b"HTTP/1.1 99999 OK\r\n\r\n",
    "a header without a colon": OK + b"nonsense\r\nContent-Length: 2\r\n\r\n",
    "too many headers": OK + b"X: y\r\n" * 500 + b"\r\n[",
    "an endless header": OK + b"X: " + b"y" * 200_000,
    "a header that is no text": OK + b"X: \xff\xfe\r\nContent-Length: 5\r\n\r\n",
    "fewer bytes than promised": OK + b"Content-Length: 100\r\n\r\n[",
    "broken chunks": OK + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n[]\r\n",
    "a chunk that breaks off": OK + b"Transfer-Encoding: chunked\r\n\r\n50\r\n[",
    "continue for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
}
BAD_RESULTS = (
    PollResult.UNREACHABLE,
    PollResult.TIMEOUT,
    PollResult.BAD_PAGE,
    PollResult.SERVER_ERROR,
)

Serve = Callable[[bytes, float], ApiCaller]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A client of a server that writes these bytes to each connection, at once or a byte at a time."""
    with contextlib.ExitStack() as stack:

        def start(content: bytes, seconds_a_byte: float) -> ApiCaller:
            server = stack.enter_context(RawServer(content, seconds_a_byte))
            return stack.enter_context(api_caller(server.url, timeout_seconds=TIMEOUT_SECONDS))

        yield start


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_an_api_that_is_ill(serve: Serve, content: bytes) -> None:
    client = serve(content, 0.0)
    poll = client.get_pending_tasks(PollRequest(1))
    assert poll.result in BAD_RESULTS, poll
    assert not poll.page.items
    answer = client.update_task("1", b"{}", "c")
    assert answer.outcome in (ReportOutcome.RETRY, ReportOutcome.DONE), answer
    assert len(poll.detail) < 400
    assert len(answer.detail) < 400


@pytest.mark.parametrize("head", [OK, OK + b"X: "], ids=["status", "header"])
def test_heads_that_drip_are_given_up_at_the_timeout(serve: Serve, head: bytes) -> None:
    client = serve(head + b"y" * 200, 0.02)
    for ask in (poll_health, report_health):
        began = time.monotonic()
        assert ask(client) is Health.UNHEALTHY
        assert time.monotonic() - began < 3 * TIMEOUT_SECONDS


STRAY = b"HTTP/1.1 500 Stray\r\nContent-Length: 5\r\n\r\nstray"


@pytest.mark.parametrize("seconds_later", [0.0, 0.05], ids=["at once", "later"])
@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 0\r\n\r\n",
        OK + b"Content-Length: 2\r\n\r\nok",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
    ids=["empty", "with a length", "in chunks", "without a body"],
)
def test_what_nobody_asked_for_is_not_taken_for_the_next_answer(answer: bytes, seconds_later: float) -> None:
    with RawServer(answer, afterwards=(seconds_later, STRAY)) as server, api_caller(server.url) as client:
        for number in range(1, 4):
            assert client.update_task("1", b"{}", "c").outcome is ReportOutcome.DONE
            server.wait_for_strays(number)


def poll_health(client: ApiCaller) -> Health:
    return client.get_pending_tasks(PollRequest(1)).health


def report_health(client: ApiCaller) -> Health:
    return client.update_task("1", b"{}", "c").health


class RawServer:
    """Reads a request's beginning, writes its content, closes. A thread a connection.

    With `afterwards` it keeps the connection, and after so many seconds sends what nobody asked for.
    """

    def __init__(
        self, content: bytes, seconds_a_byte: float = 0.0, afterwards: tuple[float, bytes] | None = None
    ) -> None:
        self._content = content
        self._seconds_a_byte = seconds_a_byte
        self._afterwards = afterwards
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self.strays = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def wait_for_strays(self, count: int) -> None:
        """Until so many times more was sent than was asked for."""
        eventually(lambda: self.strays >= count, what="more has come than was asked for")

    def __enter__(self) -> "RawServer":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            if self._afterwards is not None:
                self._send_more(connection, *self._afterwards)
            elif not self._seconds_a_byte:
                connection.sendall(self._content)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65536)
            else:
                self._drip(connection)

    def _drip(self, connection: socket.socket) -> None:
        for byte in self._content:
            connection.send(bytes((byte,)))
            if self._closing.wait(self._seconds_a_byte):
                return

    def _send_more(self, connection: socket.socket, seconds_later: float, stray: bytes) -> None:
        while True:
            connection.sendall(self._content if seconds_later else self._content + stray)
            if seconds_later:
                self._closing.wait(seconds_later)
                connection.sendall(stray)
            self.strays += 1
            if not connection.recv(65536):
                return
