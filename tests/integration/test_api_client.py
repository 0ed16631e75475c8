"""The client of the task API against a server that answers in every way, good and bad."""

import email.utils
import gzip
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote

import orjson
import pytest
from prometheus_client import CollectorRegistry

from shared.metrics import SupervisorMetrics
from shared.models import WireShape
from supervisor.task_api.responses import Health, PollRequest, PollResult, ReportAnswer, ReportOutcome
from tests.eventually import eventually
from tests.integration.api_caller import ApiCaller, api_caller
from tests.stubs.scripted_http import NO_ANSWER, Answer, Ending, Request, ScriptedServer

TOKEN = "integration-api-token-1b7d"
TIMEOUT_SECONDS = 0.5
HELD = frozenset({"in-our-hands"})
HOSTILE_IDS = ["../../x", "a/b?c#d", "with spaces", "naïve-🦆", "%2F", "a\\b", "..;", "x" * 1024, "\r\nX: y"]
BODY = b'{"status":"succeeded"}'


class Peer:
    """What the server answers next, and what it got."""

    def __init__(self) -> None:
        self.answer = Answer(200, b"[]")
        self.hang: Callable[[], object] | None = None

    def __call__(self, request: Request) -> Answer:
        if self.hang is not None:
            self.hang()
        return self.answer


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def server(peer: Peer) -> Iterator[ScriptedServer]:
    with ScriptedServer(peer) as server:
        yield server


@pytest.fixture
def metrics() -> SupervisorMetrics:
    return SupervisorMetrics(CollectorRegistry())


@pytest.fixture
def client(server: ScriptedServer, metrics: SupervisorMetrics) -> Iterator[ApiCaller]:
    with connected(f"{server.url}/base", metrics) as client:
        yield client


@contextmanager
def connected(url: str, metrics: SupervisorMetrics) -> Iterator[ApiCaller]:
    with api_caller(url, TOKEN, TIMEOUT_SECONDS, metrics, HELD.__contains__) as client:
        yield client


def assert_timed_out(client: ApiCaller) -> None:
    """Poll and report give up in good time, and say why."""
    began = time.monotonic()
    poll = client.get_pending_tasks(PollRequest(1))
    assert (poll.result, poll.health) == (PollResult.TIMEOUT, Health.UNHEALTHY)
    answer = report(client)
    assert (answer.outcome, answer.health) == (ReportOutcome.RETRY, Health.UNHEALTHY)
    assert f"{TIMEOUT_SECONDS:g} s" in answer.detail
    assert time.monotonic() - began < 4 * TIMEOUT_SECONDS


def report(client: ApiCaller, task_id: str = "1") -> ReportAnswer:
    return client.update_task(task_id, BODY, "correlation-1")


@pytest.mark.parametrize(
    ("outcome", "health", "statuses"),
    [
        (ReportOutcome.DONE, Health.HEALTHY, [200, 201, 202, 204]),
        (ReportOutcome.GONE, Health.UNKNOWN, [404, 409, 410, 412]),
        (ReportOutcome.REJECTED, Health.UNKNOWN, [400, 402, 405, 413, 415, 418, 422, 451]),
        (ReportOutcome.RETRY, Health.UNKNOWN, [401, 403, 408, 429]),
        (ReportOutcome.RETRY, Health.UNHEALTHY, [500, 501, 502, 503, 504, 599]),
    ],
)
def test_answer_to_a_report_decides_what_becomes_of_it(
    client: ApiCaller, peer: Peer, outcome: ReportOutcome, health: Health, statuses: list[int]
) -> None:
    for status in statuses:
        body = b"" if status == 204 else b"the reason"
        peer.answer = Answer(status, body)
        answer = report(client)
        assert (answer.outcome, answer.health, answer.status) == (outcome, health, status)
        assert outcome is ReportOutcome.DONE or answer.detail == f"status {status}: the reason"


def test_report_is_sent_whole_to_one_path_segment_of_the_base(
    client: ApiCaller, server: ScriptedServer
) -> None:
    for task_id in HOSTILE_IDS:
        assert report(client, task_id).outcome is ReportOutcome.DONE
    for request, task_id in zip(server.seen("PATCH"), HOSTILE_IDS, strict=True):
        assert request.target.startswith("/base/api/ai-tasks/")
        segment = request.target.removeprefix("/base/api/ai-tasks/")
        assert segment.isascii()
        assert not set(segment) & set("/?# \r\n\\")
        assert unquote(segment, errors="strict") == task_id
        assert request.body == BODY
        assert request.headers["content-type"] == "application/json"
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.headers["x-correlation-id"] == "correlation-1"


@pytest.mark.parametrize("ending", [Ending.CLOSE_UNSAID, Ending.RESET])
def test_report_without_an_answer_is_to_be_sent_again(client: ApiCaller, peer: Peer, ending: Ending) -> None:
    peer.answer = Answer(0, ending=ending)
    answer = report(client)
    assert (answer.outcome, answer.health, answer.status) == (ReportOutcome.RETRY, Health.UNHEALTHY, None)
    assert answer.detail
    peer.answer = Answer(200)
    assert report(client).outcome is ReportOutcome.DONE


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"Retry-After": "999999"}, 3600.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_heard_on_reports_and_polls(
    client: ApiCaller, peer: Peer, headers: dict[str, str], seconds: float | None
) -> None:
    for status in (429, 503):
        peer.answer = Answer(status, b"busy", headers)
        assert report(client).retry_after_seconds == seconds
        assert client.get_pending_tasks(PollRequest(5)).retry_after_seconds == seconds


def test_retry_after_may_be_a_date(client: ApiCaller, peer: Peer) -> None:
    peer.answer = Answer(503, b"", {"Retry-After": email.utils.formatdate(time.time() + 60, usegmt=True)})
    assert report(client).retry_after_seconds == pytest.approx(60, abs=5)


def test_api_that_never_answers_costs_no_more_than_the_timeout(
    client: ApiCaller, peer: Peer, server: ScriptedServer
) -> None:
    peer.hang = server.closing.wait
    assert_timed_out(client)


def test_bodies_that_drip_are_given_up_at_the_timeout(
    client: ApiCaller, peer: Peer, server: ScriptedServer
) -> None:
    def drip() -> Iterator[bytes]:
        while not server.closing.wait(0.02):
            yield b" "

    # A body can be read once only.
    peer.hang = lambda: setattr(peer, "answer", Answer(200, drip(), {"Content-Length": "50000"}))
    assert_timed_out(client)


def test_connections_are_kept_and_a_stale_one_is_no_trouble(
    client: ApiCaller, peer: Peer, server: ScriptedServer
) -> None:
    assert [report(client).outcome for _ in range(3)] == [ReportOutcome.DONE] * 3
    assert server.connections == 1
    peer.answer = Answer(200, b"{}", ending=Ending.CLOSE_UNSAID)
    for _ in range(3):
        assert report(client).health is Health.HEALTHY
        eventually(lambda: not server.open_connections(), what="the server has closed the connection")
    assert server.connections == 3
    assert len(server.seen("PATCH")) == 6, "none was sent twice"


@pytest.mark.parametrize("size_bytes", [10, 1_000_000])
def test_answers_that_end_with_their_connection_are_read_whole(
    client: ApiCaller, peer: Peer, size_bytes: int
) -> None:
    page = b" " * size_bytes + b"[]"
    closing = {"Connection": "close"}
    for answer in (Answer(200, iter([page])), Answer(200, iter([page]), closing), Answer(200, page, closing)):
        peer.answer = answer
        assert client.get_pending_tasks(PollRequest(1)).result is PollResult.EMPTY
    peer.answer = Answer(200, iter([page]), closing)
    assert report(client).outcome is ReportOutcome.DONE


def test_page_that_breaks_off_is_an_api_that_is_ill(client: ApiCaller, peer: Peer) -> None:
    peer.answer = Answer(200, b"[]", {"Content-Length": "90"}, Ending.CLOSE_UNSAID)
    poll = client.get_pending_tasks(PollRequest(1))
    assert (poll.result, poll.health) == (PollResult.UNREACHABLE, Health.UNHEALTHY)


def test_poll_asks_for_so_many_and_reads_both_shapes(
    client: ApiCaller, peer: Peer, server: ScriptedServer
) -> None:
    page = [
        {"id": "1", "type": "text-embedding", "status": "pending", "input_data": {"text": "one"}},
        {"_id": "2", "type": "text_embedding", "state": "pending", "content": "two"},
        {"id": "3", "type": "text-embedding", "status": "pending", "input_data": {}},
        {"id": "in-our-hands", "type": "text-embedding", "status": "pending", "input_data": {}},
    ]
    peer.answer = Answer(200, orjson.dumps({"data": page}))
    answer = client.get_pending_tasks(PollRequest(37))
    assert (answer.result, answer.health, answer.limit) == (PollResult.TASKS, Health.HEALTHY, 37)
    assert [(task.id, task.shape) for task in answer.page.tasks] == [
        ("1", WireShape.FLAT),
        ("2", WireShape.NESTJS),
    ]
    assert (len(answer.page.refusals), answer.page.known) == (1, 1)
    (request,) = server.seen("GET")
    assert request.target == "/base/api/ai-tasks/pending?limit=37"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


def test_long_poll_is_asked_for_twice_over_and_waited_for(
    server: ScriptedServer, peer: Peer, metrics: SupervisorMetrics
) -> None:
    peer.hang = lambda: server.closing.wait(1.5 * TIMEOUT_SECONDS)
    with connected(server.url, metrics) as client:
        assert (
            client.get_pending_tasks(PollRequest(5, wait_seconds=2 * TIMEOUT_SECONDS)).result
            is PollResult.EMPTY
        )
        assert report(client).outcome is ReportOutcome.RETRY, "a report waits no longer than before"
    (request,) = server.seen("GET")
    assert request.target == "/api/ai-tasks/pending?limit=5&wait=1"
    assert request.headers["prefer"] == "wait=1"


def test_redirect_is_named_and_never_followed(client: ApiCaller, peer: Peer) -> None:
    with ScriptedServer(Peer()) as elsewhere:
        for location in (
            f"{elsewhere.url}/api/ai-tasks/pending",
            "//evil.test/x",
            "/relative",
            "http://[bad",
            "",
        ):
            peer.answer = Answer(302, b"", {"Location": location})
            poll = client.get_pending_tasks(PollRequest(1))
            assert (poll.result, poll.health) == (PollResult.REDIRECT, Health.UNKNOWN)
            assert "check API_BASE_URL" in poll.detail
            assert report(client).outcome is ReportOutcome.RETRY
        assert elsewhere.connections == 0


def test_connection_that_is_refused_is_no_timeout(metrics: SupervisorMetrics) -> None:
    with ScriptedServer(Peer()) as server:
        url = server.url
    with connected(url, metrics) as client:
        poll = client.get_pending_tasks(PollRequest(1))
        assert (poll.result, poll.health) == (PollResult.UNREACHABLE, Health.UNHEALTHY)
        assert report(client).outcome is ReportOutcome.RETRY


def test_large_answers_are_cut(client: ApiCaller, peer: Peer, server: ScriptedServer) -> None:
    peer.answer = Answer(200, b"x" * 5_000_000)
    assert report(client).outcome is ReportOutcome.DONE
    peer.answer = Answer(422, b"x" * 5_000_000)
    answer = report(client)
    assert answer.outcome is ReportOutcome.REJECTED
    assert len(answer.detail) < 400
    peer.answer = Answer(200, b" " * 5_000_000 + b"[]")
    with api_caller(server.url, max_page_bytes=1_000_000) as bounded:
        poll = bounded.get_pending_tasks(PollRequest(1))
    assert (poll.result, poll.health) == (PollResult.BAD_PAGE, Health.HEALTHY)
    assert "the page is larger than" in poll.detail
    assert poll.too_much


def test_requests_are_counted_by_route_and_not_by_id(
    client: ApiCaller, peer: Peer, metrics: SupervisorMetrics
) -> None:
    report(client, "a")
    peer.answer = NO_ANSWER
    report(client, "b")
    client.get_pending_tasks(PollRequest(1))
    counted = {
        tuple(sample.labels.values()): sample.value
        for family in metrics.api_requests.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    assert counted == {
        ("/api/ai-tasks/{id}", "PATCH", "200"): 1,
        ("/api/ai-tasks/{id}", "PATCH", "none"): 1,
        ("/api/ai-tasks/pending", "GET", "none"): 1,
    }


PAGE = b'[{"id": "1", "type": "text-embedding", "status": "pending", "input_data": {"text": "one"}}]'


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("gzip, identity", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
    ],
    ids=["gzip", "x-gzip", "upper case", "two", "deflate", "identity"],
)
def test_compressed_answers_are_read(
    client: ApiCaller, peer: Peer, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    peer.answer = Answer(200, encode(PAGE), {"Content-Encoding": encoding})
    assert len(client.get_pending_tasks(PollRequest(1)).page.tasks) == 1
    assert report(client).outcome is ReportOutcome.DONE
    login = gzip.compress(b"<!doctype html><title>Sign in</title>")
    peer.answer = Answer(200, login, {"Content-Encoding": "gzip", "Content-Type": "text/html"})
    assert report(client).outcome is ReportOutcome.FOREIGN


def test_compression_is_asked_for_by_polls_alone(client: ApiCaller, server: ScriptedServer) -> None:
    client.get_pending_tasks(PollRequest(1))
    report(client)
    assert "gzip" in server.seen("GET")[0].headers["accept-encoding"]
    assert server.seen("PATCH")[0].headers["accept-encoding"] == "identity"


def test_what_inflates_beyond_the_bound_is_cut(server: ScriptedServer, peer: Peer) -> None:
    peer.answer = Answer(200, gzip.compress(b" " * 50_000_000), {"Content-Encoding": "gzip"})
    with api_caller(server.url, max_page_bytes=1_000_000) as bounded:
        poll = bounded.get_pending_tasks(PollRequest(1))
    assert (poll.result, poll.health, poll.too_much) == (PollResult.BAD_PAGE, Health.HEALTHY, True)
    assert poll.page_bytes <= 1_000_000


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "rot13"])
def test_body_that_is_not_encoded_as_it_says_is_a_bad_page(
    client: ApiCaller, peer: Peer, encoding: str
) -> None:
    peer.answer = Answer(200, b"[]", {"Content-Encoding": encoding})
    poll = client.get_pending_tasks(PollRequest(1))
    assert (poll.result, poll.health) == (PollResult.BAD_PAGE, Health.HEALTHY)
    assert encoding in poll.detail
    assert report(client).outcome is ReportOutcome.DONE
