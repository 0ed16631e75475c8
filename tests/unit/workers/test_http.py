"""The HTTP client beneath the SDK bounds what an answer can do, compressed or not."""

import gzip
import time
import zlib
from collections.abc import Iterator

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RetryableError, RetryReason
from workers.providers.openai import http
from workers.providers.openai.http import BoundedBody, ProviderHttp, inflate


class Body(httpx2.SyncByteStream):
    """Gives its chunks, then raises `error` if there is one."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self._chunks = chunks
        self._error = error
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        if self._error:
            raise self._error

    def close(self) -> None:
        self.closed = True


def read(body: Body) -> bytes:
    return b"".join(BoundedBody(body, 100))


def test_a_whole_body_passes_unchanged() -> None:
    assert read(Body(b"ab", b"cd")) == b"abcd"


def test_a_body_over_the_bound_is_refused_before_it_is_known() -> None:
    with pytest.raises(RetryableError, match="larger than 3 bytes") as caught:
        list(BoundedBody(Body(b"ab", b"cd"), 3))
    assert caught.value.reason is RetryReason.BAD_RESPONSE


def test_a_body_that_breaks_off_is_a_lost_connection() -> None:
    with pytest.raises(RetryableError, match="ended after 2 bytes") as caught:
        read(Body(b"ab", error=httpx2.RemoteProtocolError("peer closed connection")))
    assert caught.value.reason is RetryReason.DISCONNECTED


def test_silence_within_a_body_stays_a_timeout_for_the_sdk() -> None:
    with pytest.raises(httpx2.ReadTimeout):
        read(Body(b"ab", error=httpx2.ReadTimeout("silence")))


def test_the_bound_counts_what_a_compressed_body_inflates_to() -> None:
    bomb = Body(gzip.compress(bytes(10**7)))
    with pytest.raises(RetryableError, match="larger than 1000000 bytes"):
        list(BoundedBody(bomb, 10**6, "gzip"))


def test_a_refusal_that_breaks_off_keeps_what_came_of_it() -> None:
    body = Body(b"ab", error=httpx2.RemoteProtocolError("peer closed connection"))
    assert b"".join(BoundedBody(body, 100, is_refusal=True)) == b"ab"


def test_a_refusal_is_read_no_further_than_its_bound() -> None:
    assert b"".join(BoundedBody(Body(b"ab", b"cd", b"ef"), 3, is_refusal=True)) == b"ab"


@pytest.mark.parametrize(("texts", "megabytes"), [(1, 16.25), (100, 41), (2048, 256)])
def test_the_answer_to_a_few_texts_may_not_be_as_large_as_that_to_many(texts: int, megabytes: float) -> None:
    assert http.max_answer_bytes(texts) == megabytes * 2**20


def test_closing_reaches_the_connection() -> None:
    body = Body(b"")
    BoundedBody(body, 100).close()
    assert body.closed


def test_the_client_follows_no_redirect_and_asks_for_plain_answers() -> None:
    with ProviderHttp(30.0, time.monotonic) as http:
        assert http.follow_redirects is False
        assert http.headers["accept-encoding"] == "identity"
        assert http.timeout == httpx2.Timeout(30.0, connect=10.0)


def test_connecting_may_not_take_longer_than_the_whole_call() -> None:
    with ProviderHttp(2.0, time.monotonic) as http:
        assert http.timeout.connect == 2.0


BODY = b'{"data": []}' * 1000


def inflated(content: bytes, encoding: str, piece_bytes: int = 100) -> bytes:
    pieces = [content[start : start + piece_bytes] for start in range(0, len(content), piece_bytes)]
    return b"".join(inflate(pieces, encoding))


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


@pytest.mark.parametrize("piece_bytes", [1, 2, 7, 10**6])
@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        pytest.param(BODY, "", id="plain"),
        pytest.param(BODY, "identity", id="identity"),
        pytest.param(gzip.compress(BODY), "gzip", id="gzip"),
        pytest.param(gzip.compress(BODY), "x-gzip", id="x-gzip"),
        pytest.param(gzip.compress(BODY), "GZIP", id="upper case"),
        pytest.param(gzip.compress(BODY), "", id="gzip not declared"),
        pytest.param(gzip.compress(BODY), "deflate", id="gzip declared as deflate"),
        pytest.param(BODY, "gzip", id="plain declared as gzip"),
        pytest.param(BODY, "br", id="plain declared as br"),
        pytest.param(BODY, "deflate", id="plain declared as deflate"),
        pytest.param(zlib.compress(BODY), "deflate", id="zlib"),
        pytest.param(raw_deflate(BODY), "deflate", id="raw deflate"),
        pytest.param(gzip.compress(BODY[:500]) + gzip.compress(BODY[500:]), "gzip", id="two members"),
        pytest.param(gzip.compress(BODY) + bytes(512), "gzip", id="padded"),
        pytest.param(gzip.compress(gzip.compress(BODY)), "gzip, gzip", id="twice"),
        pytest.param(gzip.compress(zlib.compress(BODY)), "deflate, gzip", id="two ways"),
    ],
)
def test_a_body_is_inflated_whatever_its_header_says(content: bytes, encoding: str, piece_bytes: int) -> None:
    assert inflated(content, encoding, piece_bytes) == BODY


@pytest.mark.parametrize(
    ("content", "encoding", "complaint"),
    [
        pytest.param(gzip.compress(BODY)[:-20], "gzip", "cut off", id="gzip cut off"),
        pytest.param(zlib.compress(BODY)[:-20], "deflate", "cut off", id="zlib cut off"),
        pytest.param(gzip.compress(BODY)[:10] + b"\xff" * 50, "gzip", "damaged", id="damaged"),
        pytest.param(b"\x01\x02\x03\x04", "br", 'compressed as "br"', id="not known"),
        pytest.param(b"\x01\x02", "gzip, gzip, gzip, gzip", "compressed 4 times", id="four times"),
    ],
)
def test_what_cannot_be_inflated_is_a_bad_answer(content: bytes, encoding: str, complaint: str) -> None:
    with pytest.raises(RetryableError, match=complaint) as caught:
        inflated(content, encoding)
    assert caught.value.reason is RetryReason.BAD_RESPONSE


def test_an_empty_body_stays_empty() -> None:
    assert inflated(b"", "gzip") == b""


def test_a_bomb_is_inflated_only_as_far_as_it_is_read() -> None:
    bomb = gzip.compress(bytes(50 * 1024 * 1024))
    assert len(next(inflate([bomb], "gzip"))) <= 256 * 1024


@given(st.binary(max_size=100), st.sampled_from(["", "gzip", "deflate", "br"]))
def test_no_content_raises_anything_but_a_task_error(content: bytes, encoding: str) -> None:
    try:
        inflated(content, encoding, 3)
    except RetryableError as error:
        assert error.reason is RetryReason.BAD_RESPONSE
