"""The HTTP client beneath the provider's SDK, with bounds on what a strange answer can do to a worker."""

import contextlib
import functools
import ssl
from collections.abc import Callable, Iterator

import httpx2
import openai

from shared.errors import RetryableError, RetryReason
from workers.providers.openai.bad_answer import bad_answer
from workers.providers.openai.inflate import inflate

MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""Twice what 2,048 vectors of 3,072 numbers take as decimal text. Counted after inflation."""

MAX_REFUSAL_BYTES = 4 * 1024 * 1024
"""Some servers repeat the whole input in a refusal of it."""

MAX_CONNECT_SECONDS = 10.0

Clock = Callable[[], float]


def make_http_client(timeout_seconds: float, clock: Clock) -> httpx2.Client:
    """A client that carries the key to no other host and reads no more and no longer than it should.

    Redirects are not followed. Answers are asked for uncompressed, since base64 vectors hardly shrink
    and cost more to inflate than to fetch; one that comes compressed all the same is inflated. Proxy and
    certificate variables of the environment work as with the SDK's own client. Close it after use.
    """
    return openai.DefaultHttpxClient(
        verify=tls_context(),
        timeout=call_timeout(timeout_seconds),
        headers={"Accept-Encoding": "identity"},
        follow_redirects=False,
        event_hooks={"response": [functools.partial(_guard, timeout_seconds=timeout_seconds, clock=clock)]},
    )


def call_timeout(timeout_seconds: float) -> httpx2.Timeout:
    """Bounds on connecting and on each wait for bytes.

    Headers sent a byte at a time could still take longer in all; that is left to the deadline of the
    unit, at which the supervisor kills the worker.
    """
    return httpx2.Timeout(timeout_seconds, connect=min(timeout_seconds, MAX_CONNECT_SECONDS))


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The TLS settings for all connections of this process and those forked from it.

    Reading the certificates is most of the cost of a client. Raises OSError where SSL_CERT_FILE or
    SSL_CERT_DIR of the environment is wrong.
    """
    return httpx2.create_ssl_context()


class BoundedBody(httpx2.SyncByteStream):
    """A body, inflated, that ends in an error once it is too large, too slow as a whole, or broken off.

    Raises RetryableError from within the SDK, which lets it pass.
    """

    def __init__(
        self, body: httpx2.SyncByteStream, timeout_seconds: float, clock: Clock, encoding: str = ""
    ) -> None:
        self._body = body
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._encoding = encoding

    def __iter__(self) -> Iterator[bytes]:
        deadline = self._clock() + self._timeout_seconds
        size_bytes = 0
        try:
            for chunk in inflate(self._body, self._encoding):
                size_bytes += len(chunk)
                if size_bytes > MAX_ANSWER_BYTES:
                    raise bad_answer(f"it is larger than {MAX_ANSWER_BYTES} bytes")
                if self._clock() > deadline:
                    raise RetryableError(
                        f"the provider's answer was not complete after {self._timeout_seconds:g} s",
                        reason=RetryReason.TIMEOUT,
                    )
                yield chunk
        except httpx2.TimeoutException:
            raise
        except httpx2.TransportError as error:
            raise RetryableError(
                f"the connection to the provider ended after {size_bytes} bytes of the answer ({error})",
                reason=RetryReason.DISCONNECTED,
            ) from error

    def close(self) -> None:
        self._body.close()


class RefusalBody(httpx2.SyncByteStream):
    """The body of a refusal, as much of it as comes: the status alone says what to do."""

    def __init__(self, body: httpx2.SyncByteStream) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        size_bytes = 0
        with contextlib.suppress(httpx2.TransportError, RetryableError):
            for chunk in self._body:
                size_bytes += len(chunk)
                if size_bytes > MAX_REFUSAL_BYTES:
                    return
                yield chunk

    def close(self) -> None:
        self._body.close()


def _guard(response: httpx2.Response, timeout_seconds: float, clock: Clock) -> None:
    if not isinstance(response.stream, httpx2.SyncByteStream):
        return
    encoding = response.headers.get("content-encoding", "")
    if encoding:
        # Else the client would inflate without a bound, and only what the header names rightly.
        del response.headers["content-encoding"]
    response.stream = BoundedBody(response.stream, timeout_seconds, clock, encoding)
    if not response.is_success:
        response.stream = RefusalBody(response.stream)
