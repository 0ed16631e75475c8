import gzip
import time
from collections.abc import Iterator

import httpx2
import pytest

from shared.errors import RetryableError, RetryReason
from workers.providers.openai import http
from workers.providers.openai.http import BoundedBody, ProviderHttp


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
    return b"".join(BoundedBody(body))


def test_a_whole_body_passes_unchanged() -> None:
    assert read(Body(b"ab", b"cd")) == b"abcd"


def test_a_body_over_the_bound_is_refused_before_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 3)
    with pytest.raises(RetryableError, match="larger than 3 bytes") as caught:
        read(Body(b"ab", b"cd"))
    assert caught.value.reason is RetryReason.BAD_RESPONSE


def test_a_body_that_breaks_off_is_a_lost_connection() -> None:
    with pytest.raises(RetryableError, match="ended after 2 bytes") as caught:
        read(Body(b"ab", error=httpx2.RemoteProtocolError("peer closed connection")))
    assert caught.value.reason is RetryReason.DISCONNECTED


def test_silence_within_a_body_stays_a_timeout_for_the_sdk() -> None:
    with pytest.raises(httpx2.ReadTimeout):
        read(Body(b"ab", error=httpx2.ReadTimeout("silence")))


def test_the_bound_counts_what_a_compressed_body_inflates_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 10**6)
    bomb = Body(gzip.compress(bytes(10**7)))
    with pytest.raises(RetryableError, match="larger than 1000000 bytes"):
        list(BoundedBody(bomb, "gzip"))


def test_a_refusal_that_breaks_off_keeps_what_came_of_it() -> None:
    body = Body(b"ab", error=httpx2.RemoteProtocolError("peer closed connection"))
    assert b"".join(BoundedBody(body, is_refusal=True)) == b"ab"


def test_a_refusal_is_read_no_further_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_REFUSAL_BYTES", 3)
    assert b"".join(BoundedBody(Body(b"ab", b"cd", b"ef"), is_refusal=True)) == b"ab"


def test_closing_reaches_the_connection() -> None:
    body = Body(b"")
    BoundedBody(body).close()
    assert body.closed


def test_the_client_follows_no_redirect_and_asks_for_plain_answers() -> None:
    with ProviderHttp(30.0, time.monotonic) as http:
        assert http.follow_redirects is False
        assert http.headers["accept-encoding"] == "identity"
        assert http.timeout == httpx2.Timeout(30.0, connect=10.0)


def test_connecting_may_not_take_longer_than_the_whole_call() -> None:
    with ProviderHttp(2.0, time.monotonic) as http:
        assert http.timeout.connect == 2.0
