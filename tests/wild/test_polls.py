"""Rows of B and C: pages and polls as real APIs and proxies answer them."""

import time
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from tests.acceptance.service import Json
from tests.eventually import eventually
from tests.stubs.scripted_http import NO_ANSWER, Answer, Ending, Request
from tests.wild import answers
from tests.wild.conftest import Wild
from tests.wild.world import flat_task, task_id_of

pytestmark = pytest.mark.slow

NOTHING_PENDING = [
    Answer(204),
    Answer(200, b""),
    Answer(200, b"\n"),
    Answer(200, b"null"),
    Answer(200, b'{"results":[],"count":0,"next":null,"previous":null}'),
]


def test_b_nothing_pending_is_said_in_many_ways(wild: Wild) -> None:
    said = list(NOTHING_PENDING)
    wild.api.front = lambda request: said.pop(0) if said and request.method == "GET" else None
    texts = wild.api.add(3)
    service = wild.start()
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    assert service.log_lines("poll_failed") == []
    assert service.metrics().sum("ai_polls_total", result="empty") >= len(NOTHING_PENDING)
    eventually(lambda: service.not_ready() == [], what="the service is ready")


@pytest.mark.slow
def test_b_held_poll_that_ends_with_204_is_an_empty_page(wild: Wild) -> None:
    def held(request: Request) -> Answer | None:
        if request.method != "GET" or wild.api.pending():
            return None
        wild.api_server.closing.wait(0.5)
        return Answer(204)

    wild.api.front = held
    service = wild.start(POLL_WAIT_SECONDS="5")
    eventually(lambda: len(wild.api.polls) >= 4, what="held polls follow one another")
    texts = wild.api.add(3)
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    assert service.log_lines("poll_failed") == []


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(answers.NGINX_GATEWAY_TIMEOUT, id="504"),
        pytest.param(NO_ANSWER, id="hung-up", marks=pytest.mark.slow),
    ],
)
def test_b_long_poll_that_a_proxy_cuts_is_made_shorter(wild: Wild, cut: Answer) -> None:
    """The proxy cuts what takes longer than 1.2 s; the wait asked for is 4 s at first."""
    waits: list[float] = []

    def proxy(request: Request) -> Answer | None:
        if request.method != "GET" or wild.api.pending():
            return None
        waits.append(float(parse_qs(urlsplit(request.target).query).get("wait", ["0"])[0]))
        wild.api_server.closing.wait(min(waits[-1], 1.2))
        return cut if waits[-1] > 1.2 else Answer(200, b"[]")

    wild.api.front = proxy
    service = wild.start(POLL_WAIT_SECONDS="4", CIRCUIT_BREAKER_THRESHOLD="1")
    eventually(lambda: waits and 0 < waits[-1] <= 1.2, 15.0, "a wait that the proxy allows")
    eventually(lambda: waits.count(waits[-1]) >= 2, what="it is used again")
    assert service.log_lines("breaker_changed") == []
    eventually(lambda: not service.not_ready(), what="the service is ready")
    texts = wild.api.add(2)
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)


@pytest.mark.parametrize(
    "retry_after",
    [
        "0",
        pytest.param("-5", marks=pytest.mark.slow),
        pytest.param("Wed, 21 Oct 2015 07:28:00 GMT", marks=pytest.mark.slow),
    ],
)
def test_b_retry_after_zero_is_no_invitation_to_hammer(wild: Wild, retry_after: str) -> None:
    refused = answers.json_answer(429, {"message": "Too Many Requests"}, {"Retry-After": retry_after})
    wild.api.front = lambda _: refused
    wild.start(POLLING_INTERVAL_SECONDS="30", POLLING_MIN_INTERVAL_SECONDS="0.2")
    eventually(lambda: wild.api.polls, what="the first poll")
    wild.watch(3.0)
    assert len(wild.api.polls) <= 6


@pytest.mark.slow
def test_b_retry_after_zero_to_a_report_is_no_invitation_to_hammer(wild: Wild) -> None:
    refused = answers.json_answer(429, {"message": "Too Many Requests"}, {"Retry-After": "0"})
    wild.api.front = lambda request: refused if request.method == "PATCH" else None
    wild.api.add(100)
    wild.start()
    eventually(lambda: wild.api.patches, what="the first report")
    wild.watch(4.0)
    assert len(wild.api.patches) <= 90


class RawPages:
    """Pages of raw items in the shapes given, and what was reported for each id."""

    def __init__(self, *pages: Answer) -> None:
        self.pages = list(pages)
        self.reports: dict[str, Json] = {}
        self.polls = 0

    def __call__(self, request: Request) -> Answer | None:
        if request.method == "PATCH":
            self.reports[task_id_of(request)] = orjson.loads(request.body)
            return Answer(200, b"{}")
        self.polls += 1
        return self.pages.pop(0) if self.pages else Answer(200, b"[]")


def page_of(items: Sequence[Json]) -> Answer:
    return answers.json_answer(200, items)


def test_b_pages_in_envelopes_and_behind_a_byte_order_mark_are_read(wild: Wild) -> None:
    drf = {"count": 1, "next": None, "previous": None, "results": [flat_task("drf", "a text")]}
    spring = {
        "content": [flat_task("spring", "a text")],
        "pageable": {"pageNumber": 0, "pageSize": 800},
        "totalElements": 1,
        "last": True,
    }
    marked = b"\xef\xbb\xbf" + orjson.dumps([flat_task("marked", "a text")])
    pages = RawPages(
        answers.json_answer(200, drf),
        answers.json_answer(200, spring, {"Content-Type": "application/hal+json"}),
        Answer(200, marked, {"Content-Type": "application/json; charset=utf-8"}),
    )
    wild.api.front = pages
    service = wild.start()
    eventually(lambda: pages.polls > 4 and len(pages.reports) >= 3, what="each task is reported")
    assert {task_id: body["status"] for task_id, body in pages.reports.items()} == dict.fromkeys(
        ("drf", "spring", "marked"), "succeeded"
    )
    assert service.log_lines("poll_failed") == []


EMBEDDING = {"type": "text-embedding"}
RUN_AS_FLAT: dict[str, Json] = {
    "_id-beside-flat-fields": {**EMBEDDING, "status": "pending", "input_data": {"text": "a"}},
    "upper-case": {**EMBEDDING, "status": "PENDING", "input_data": {"text": "a"}},
    "json-api": {
        "type": "ai-tasks",
        "attributes": {**EMBEDDING, "status": "pending", "input_data": {"text": "a"}},
    },
}
RUN_AS_NESTJS: dict[str, Json] = {
    "id-beside-state-and-content": {**EMBEDDING, "state": "pending", "content": "a"},
    "upper-case-state": {**EMBEDDING, "state": "PENDING", "content": {"text": "a"}},
}
LEFT_ALONE: dict[str, Json] = {
    "processing": {**EMBEDDING, "status": "PROCESSING", "input_data": {"text": "a"}},
    "cancelled": {**EMBEDDING, "status": "cancelled", "input_data": {"text": "a"}},
    "completed": {**EMBEDDING, "status": "completed", "input_data": {"text": "a"}},
    "in-progress": {**EMBEDDING, "state": "IN_PROGRESS", "content": "a"},
    "unheard-of": {**EMBEDDING, "status": "archived", "input_data": {"text": "a"}},
    "another-shape": {"kind": "embedding", "payload": {"text": "a"}},
}


def test_b_mixed_shapes_are_taken_where_they_are_clear_and_left_pending_where_not(wild: Wild) -> None:
    items = [
        {"_id" if task_id.startswith("_") else "id": task_id, **fields}
        for task_id, fields in (RUN_AS_FLAT | RUN_AS_NESTJS | LEFT_ALONE).items()
    ]
    page = page_of(items)
    pages = RawPages(page, page, page)
    wild.api.front = pages
    wild.start()
    expected = {*RUN_AS_FLAT, *RUN_AS_NESTJS}
    eventually(lambda: pages.polls > 5 and expected <= set(pages.reports), what="the clear ones are done")
    assert set(pages.reports) == expected
    assert {pages.reports[task_id].get("status") for task_id in RUN_AS_FLAT} == {"succeeded"}
    assert {pages.reports[task_id].get("state") for task_id in RUN_AS_NESTJS} == {"succeeded"}
    assert all("output_data" in pages.reports[task_id] for task_id in RUN_AS_FLAT)
    assert all(isinstance(pages.reports[task_id]["result"], list) for task_id in RUN_AS_NESTJS)


def test_c_redirect_to_the_same_path_with_a_slash_is_named_and_is_not_no_work(wild: Wild) -> None:
    """Django with APPEND_SLASH."""

    def append_slash(request: Request) -> Answer:
        path, _, query = request.target.partition("?")
        return Answer(301, b"", {**answers.HTML, "Location": f"{path}/?{query}"})

    wild.api.front = append_slash
    service = wild.start()
    assert "/api/ai-tasks/pending/" in service.wait_for_log("poll_failed", 30.0)["detail"]
    eventually(lambda: len(service.log_lines("poll_failed")) >= 2, what="it stays so")
    assert service.metrics().sum("ai_idle", reason="no_work") == 0
    assert service.running()


def odd_heads(answer: Answer, number: int) -> Answer:
    """Status lines and headers as old or odd servers write them, one kind after the other."""
    assert isinstance(answer.body, bytes)
    length = f"Content-Length: {len(answer.body)}\r\n".encode()
    heads = [
        (b"HTTP/1.0 200 OK\r\n" + length + b"\r\n", Ending.CLOSE_UNSAID),
        (b"HTTP/1.1 200\r\n" + length + b"\r\n", Ending.KEEP),
        (b"HTTP/1.1 200 \r\n" + length + b"\r\n", Ending.KEEP),
        (b"HTTP/1.1 200 OK\r\nX-Note: one\r\n two\r\n" + length + b"\r\n", Ending.KEEP),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + length + b"\r\n", Ending.KEEP),
        (b"HTTP/1.1 200 OK\r\nserver:x\r\n" + length.lower() + b"\r\n", Ending.KEEP),
    ]
    head, ending = heads[number % len(heads)]
    return Answer(200, answer.body, ending=ending, head=head)


@pytest.mark.slow
def test_c_old_and_odd_heads_of_answers_are_read(wild: Wild) -> None:
    answer = wild.api.answer
    count = iter(range(10**6))
    wild.api.front = lambda request: odd_heads(answer(request), next(count))
    texts = wild.api.add(20)
    service = wild.start()
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    eventually(lambda: len(wild.api.polls) >= 6, what="each kind answered a poll")
    assert service.log_lines("poll_failed") == []
    assert service.log_lines("report_failed") == []


@pytest.mark.slow
def test_c_connection_that_is_closed_between_requests_harms_nothing(wild: Wild) -> None:
    answer = wild.api.answer

    def hang_up(request: Request) -> Answer:
        good = answer(request)
        return Answer(good.status, good.body, good.headers, Ending.CLOSE_UNSAID)

    wild.api.front = hang_up
    texts = wild.api.add(100)
    service = wild.start(CIRCUIT_BREAKER_THRESHOLD="1")
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
    assert service.log_lines("breaker_changed") == []
    assert service.log_lines("poll_failed") == []


@pytest.mark.slow
def test_c_page_served_slowly_by_a_small_server_is_read(wild: Wild) -> None:
    """A body in pieces, ended by the end of the connection."""

    def pieces(request: Request) -> Answer | None:
        if request.method != "GET":
            return None
        whole = wild.api.answer(request).body
        assert isinstance(whole, bytes)

        def dripped() -> object:
            for place in range(0, len(whole), 64):
                time.sleep(0.01)
                yield whole[place : place + 64]

        return Answer(200, dripped())  # type: ignore[arg-type]

    wild.api.front = pieces
    texts = wild.api.add(10)
    wild.start()
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)
