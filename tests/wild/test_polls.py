"""Rows of B and C: pages and polls as real APIs and proxies answer them."""

import time

import pytest

from tests.eventually import eventually
from tests.stubs.scripted_http import Answer, Ending, Request
from tests.wild import answers
from tests.wild.conftest import Wild


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


def test_c_redirect_to_the_same_path_with_a_slash_is_named_and_is_not_no_work(wild: Wild) -> None:
    """Django with APPEND_SLASH."""

    def append_slash(request: Request) -> Answer:
        path, _, query = request.target.partition("?")
        return Answer(301, b"", {**answers.HTML, "Location": f"{path}/?{query}"})

    wild.api.front = append_slash
    service = wild.start()
    assert "/api/ai-tasks/pending/" in service.wait_for_log("poll_failed")["detail"]
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
