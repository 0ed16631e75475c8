"""The wire: connections, addresses and queues."""

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator

import pycurl
import pytest

from supervisor.runtime.events import Event, ThreadCrashed
from supervisor.task_api.http.exchange import Exchange, FixedToken
from supervisor.task_api.http.route import choose_tls_files, make_target
from supervisor.task_api.http.transfer import Request as WireRequest
from supervisor.task_api.http.transfer import RequestKind, Transport
from supervisor.task_api.http.wire import Wire
from supervisor.task_api.responses import Health, PollRequest, PollResult, ReportAnswer, ReportOutcome
from tests.eventually import eventually
from tests.integration.api_caller import api_caller
from tests.integration.test_api_client_garbage import OK, RawServer
from tests.stubs.scripted_http import NO_ANSWER, Answer, Ending, Request, ScriptedServer

PATIENCE_SECONDS = 5.0
AT_ONCE = 3


class ResolvingTransport(Transport):
    """Knows the addresses of api.test."""

    def __init__(self, port: int, *addresses: str) -> None:
        super().__init__(choose_tls_files(None, None, None, {}), PATIENCE_SECONDS)
        self._entry = f"api.test:{port}:{','.join(addresses)}"

    def new_handle(self) -> pycurl.Curl:
        handle = super().new_handle()
        handle.setopt(pycurl.RESOLVE, [self._entry])
        return handle


@contextlib.contextmanager
def black_hole(address: str, port: int) -> Iterator[None]:
    """Packets of new connections to the address are swallowed: its queue of them is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect((address, port))
        yield


@pytest.mark.parametrize("holes", [1, 2])
def test_address_that_swallows_packets_does_not_hold_up_the_next(holes: int) -> None:
    dead = [f"127.0.0.{number}" for number in range(2, 2 + holes)]
    with ScriptedServer(lambda _: Answer(200, b"[]")) as server, contextlib.ExitStack() as stack:
        for address in dead:
            stack.enter_context(black_hole(address, server.server_port))
        transport = ResolvingTransport(server.server_port, *dead, "127.0.0.1")
        url = f"http://api.test:{server.server_port}"
        with api_caller(url, timeout_seconds=PATIENCE_SECONDS, transport=transport) as client:
            answer = client.get_pending_tasks(PollRequest(1))
    assert answer.result is PollResult.EMPTY
    assert answer.took_seconds < PATIENCE_SECONDS / 2


def test_host_all_of_whose_addresses_swallow_packets_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with black_hole("127.0.0.2", port):
        transport = ResolvingTransport(port, "127.0.0.2")
        with api_caller(f"http://api.test:{port}", timeout_seconds=0.4, transport=transport) as client:
            answer = client.get_pending_tasks(PollRequest(1))
    assert (answer.result, answer.health) == (PollResult.UNREACHABLE, Health.UNHEALTHY)
    assert f"no connection to api.test:{port} within 0.4 s" in answer.detail
    assert not answer.too_much


def test_host_that_does_not_resolve_is_named() -> None:
    with api_caller("http://api.invalid:8000", timeout_seconds=PATIENCE_SECONDS) as client:
        answer = client.get_pending_tasks(PollRequest(1))
    assert (answer.result, answer.health) == (PollResult.UNREACHABLE, Health.UNHEALTHY)
    assert answer.detail == "cannot resolve the host of api.invalid:8000: check API_BASE_URL"


def test_connection_that_is_refused_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with api_caller(f"http://127.0.0.1:{port}") as client:
        detail = client.get_pending_tasks(PollRequest(1)).detail
    assert detail == f"cannot connect to 127.0.0.1:{port}: Connection refused: check API_BASE_URL"


@pytest.mark.parametrize("ending", [Ending.CLOSE_UNSAID, Ending.RESET])
def test_kept_connection_that_is_closed_as_the_request_comes_is_replaced(ending: Ending) -> None:
    by_connection: dict[int, int] = {}

    def second_request_closes(request: Request) -> Answer:
        count = by_connection[request.client_port] = by_connection.get(request.client_port, 0) + 1
        return Answer(200, b"{}") if count == 1 else Answer(0, ending=ending)

    with ScriptedServer(second_request_closes) as server, api_caller(server.url) as client:
        for number in range(4):
            answer = client.update_task(str(number), b"{}", "c")
            assert (answer.outcome, answer.health) == (ReportOutcome.DONE, Health.HEALTHY)
    assert len(by_connection) == 4


def test_new_connection_that_is_closed_without_an_answer_is_not_tried_again() -> None:
    with ScriptedServer(lambda _: NO_ANSWER) as server, api_caller(server.url) as client:
        answer = client.update_task("1", b"{}", "c")
        assert (answer.outcome, answer.health) == (ReportOutcome.RETRY, Health.UNHEALTHY)
        assert "closed the connection without an answer" in answer.detail
        assert len(server.requests) == 1


def test_many_kept_connections_that_are_closed_at_once_fail_no_request() -> None:
    gathered = threading.Barrier(20)

    def wait_for_all(request: Request) -> Answer:
        if request.target.endswith("first"):
            with contextlib.suppress(threading.BrokenBarrierError):
                gathered.wait(PATIENCE_SECONDS)
            return Answer(200, b"{}", ending=Ending.CLOSE_UNSAID)
        return Answer(200, b"{}")

    with ScriptedServer(wait_for_all) as server:
        with api_caller(server.url, timeout_seconds=2 * PATIENCE_SECONDS) as client:
            waiting = [client.begin_update("first", b"{}", "c") for _ in range(20)]
            assert {wait().outcome for wait in waiting} == {ReportOutcome.DONE}
            eventually(lambda: not server.open_connections(), what="the server has closed all")
            for number in range(20):
                assert client.update_task(str(number), b"{}", "c").health is Health.HEALTHY
        assert len(server.requests) == 40


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.0 200 OK\r\n\r\n[]",
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n[]",
        OK + b"X-Long: one\r\n two\r\n\tthree\r\nContent-Length: 2\r\n\r\n[]",
        OK + b"content-LENGTH:2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n[]",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nRetry-After: 9\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\n[]",
        OK + b"Content-Length: 5\r\n\r\n\xef\xbb\xbf[]",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1;x=y\r\n[\r\n1\r\n]\r\n0\r\nTrailer: x\r\n\r\n",
        OK + b"Connection: close\r\n\r\n[]",
    ],
)
def test_answers_of_old_and_odd_servers_are_read(answer: bytes) -> None:
    with RawServer(answer) as server, api_caller(server.url) as client:
        poll = client.get_pending_tasks(PollRequest(1))
        assert (poll.result, poll.health) == (PollResult.EMPTY, Health.HEALTHY), poll
        assert poll.retry_after_seconds is None
        assert client.update_task("1", b"{}", "c").outcome is ReportOutcome.DONE


@pytest.fixture
def held() -> Iterator[tuple[ScriptedServer, threading.Event]]:
    """A server that holds every answer until the event."""
    release = threading.Event()

    def hold(_: Request) -> Answer:
        release.wait(PATIENCE_SECONDS)
        return Answer(200, b"[]")

    with ScriptedServer(hold) as server:
        yield server, release
        release.set()


def make_wire(events: "queue.SimpleQueue[Event]") -> Wire:
    return Wire(Transport(choose_tls_files(None, None, None, {}), PATIENCE_SECONDS), events.put)


def make_kind(url: str) -> RequestKind:
    target = make_target(url, "API_BASE_URL", {})
    return RequestKind("GET", target, (), PATIENCE_SECONDS, 1000, FixedToken(""))


def test_only_so_many_are_under_way_and_the_rest_can_be_taken_back(
    held: tuple[ScriptedServer, threading.Event],
) -> None:
    server, release = held
    got: queue.SimpleQueue[Exchange] = queue.SimpleQueue()
    wire, kind = make_wire(queue.SimpleQueue()), make_kind(server.url)
    waiting, others = wire.new_queue(AT_ONCE), wire.new_queue(1)
    wire.start()
    for number in range(10):
        waiting.put(WireRequest(kind, server.url, got.put, task_ids=(str(number),)))
    eventually(lambda: len(server.requests) == AT_ONCE)
    others.put(WireRequest(kind, f"{server.url}/other", got.put))
    eventually(lambda: len(server.requests) == AT_ONCE + 1, what="a queue does not hold up another")
    assert [request.task_ids for request in waiting.take_back()] == [(str(n),) for n in range(AT_ONCE, 10)]
    release.set()
    for _ in range(AT_ONCE + 1):
        got.get(timeout=PATIENCE_SECONDS)
    wire.close()
    assert len(server.requests) == AT_ONCE + 1


def test_reports_do_not_wait_for_a_poll_that_is_known() -> None:
    release = threading.Event()

    def hold_polls(request: Request) -> Answer:
        if request.method == "GET":
            release.wait(PATIENCE_SECONDS)
        return Answer(200, b"[]")

    with ScriptedServer(hold_polls) as server, api_caller(server.url, timeout_seconds=2.0) as client:
        got: queue.SimpleQueue[Exchange] = queue.SimpleQueue()
        client.client.get_pending_tasks(PollRequest(1, wait_seconds=30.0), got.put)
        eventually(lambda: server.seen("GET"))
        assert client.update_task("1", b"{}", "c").outcome is ReportOutcome.DONE
        assert got.empty()
        release.set()
        assert client.client.read_page(PollRequest(1), got.get(timeout=PATIENCE_SECONDS)).result is (
            PollResult.EMPTY
        )


def test_fault_of_ours_in_the_wire_reaches_the_loop(held: tuple[ScriptedServer, threading.Event]) -> None:
    server, release = held
    release.set()
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    wire, kind = make_wire(events), make_kind(server.url)

    def fail(_: Exchange) -> None:
        raise ZeroDivisionError

    waiting = wire.new_queue(1)
    wire.start()
    waiting.put(WireRequest(kind, server.url, fail))
    event = events.get(timeout=PATIENCE_SECONDS)
    assert isinstance(event, ThreadCrashed)
    assert (event.thread, type(event.error)) == ("wire", ZeroDivisionError)
    waiting.put(WireRequest(kind, server.url, fail))
    wire.close()


def test_wire_that_is_closed_drops_what_is_under_way(held: tuple[ScriptedServer, threading.Event]) -> None:
    server, _ = held
    got: queue.SimpleQueue[ReportAnswer] = queue.SimpleQueue()
    with api_caller(server.url, timeout_seconds=PATIENCE_SECONDS) as client:
        client.begin_update("1", b"{}", "c")
        eventually(lambda: server.requests)
    assert got.empty()
