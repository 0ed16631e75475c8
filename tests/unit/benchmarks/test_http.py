"""The HTTP of the benchmark's stubs."""

import pytest

from benchmarks.stubs.http import Answer, NotUnderstoodError, Request, RequestParser

PATCH = b'PATCH /api/ai-tasks/a%2Fb?x=2&y= HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n{"a":1}'


def test_request_is_read_whole() -> None:
    parser = RequestParser()
    parser.feed(PATCH)
    request = parser.next_request()
    assert request == Request("PATCH", "/api/ai-tasks/a/b", "x=2&y=", b'{"a":1}')
    assert request.number("x", 1) == 2
    assert request.number("z", 1) == 1
    assert parser.next_request() is None


def test_request_that_comes_byte_by_byte_is_the_same() -> None:
    parser = RequestParser()
    for byte in PATCH[:-1]:
        parser.feed(bytes([byte]))
        assert parser.next_request() is None
    parser.feed(PATCH[-1:])
    request = parser.next_request()
    assert request is not None
    assert request.body == b'{"a":1}'


def test_two_requests_in_one_packet_come_one_by_one() -> None:
    parser = RequestParser()
    parser.feed(PATCH + b"GET /next HTTP/1.1\r\n\r\n")
    methods = [request.method for request in (parser.next_request(), parser.next_request()) if request]
    assert methods == ["PATCH", "GET"]


@pytest.mark.parametrize(
    "sent",
    [
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 999999999\r\n\r\n",
        b"x" * 40_000,
    ],
    ids=["chunked", "no request line", "too large", "no end"],
)
def test_what_is_not_understood_is_refused(sent: bytes) -> None:
    parser = RequestParser()
    parser.feed(sent)
    with pytest.raises(NotUnderstoodError):
        parser.next_request()


def test_answer_says_its_length_and_headers() -> None:
    sent = Answer(429, b'{"a":1}', (("retry-after", "3"),)).encode()
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"content-length: 7" in head
    assert b"retry-after: 3" in head
    assert body == b'{"a":1}'
