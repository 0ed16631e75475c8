"""The HTTP client beneath the provider's SDK, with bounds on what a strange answer can do to a worker."""

import functools
import ssl
from collections.abc import Callable, Iterator

import httpx2
import openai

from shared.errors import RetryableError, RetryReason
from workers.providers.openai.bad_answer import bad_answer

MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""Twice what 2,048 vectors of 3,072 numbers take as decimal text."""

MAX_CONNECT_SECONDS = 10.0

Clock = Callable[[], float]


def make_http_client(timeout_seconds: float, clock: Clock) -> httpx2.Client:
    """A client that carries the key to no other host and reads no more and no longer than it should.

    Redirects are not followed. Answers are asked for uncompressed, since base64 vectors hardly shrink
    and cost more to inflate than to fetch, and a compressed answer has no bound. Proxy and certificate
    variables of the environment work as with the SDK's own client. Close it after use.
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
    """A body that ends in an error once it is too large, too slow as a whole, or broken off.

    Raises RetryableError from within the SDK, which lets it pass.
    """

    def __init__(self, body: httpx2.SyncByteStream, timeout_seconds: float, clock: Clock) -> None:
        self._body = body
        self._timeout_seconds = timeout_seconds
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        deadline = self._clock() + self._timeout_seconds
        size_bytes = 0
        try:
            for chunk in self._body:
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


def _guard(response: httpx2.Response, timeout_seconds: float, clock: Clock) -> None:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise bad_answer("it is compressed, though it was asked for uncompressed")
    if isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = BoundedBody(response.stream, timeout_seconds, clock)
