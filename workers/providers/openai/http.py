"""The HTTP client beneath the provider's SDK, with bounds on what a strange answer can do to a worker."""

import contextlib
import functools
import math
import ssl
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpcore2
import httpx2
import openai

from shared.errors import RetryableError, RetryReason
from workers.providers.base import bad_answer
from workers.providers.openai.network import Clock, Network

MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""Twice what 2,048 vectors of 3,072 numbers take as decimal text. Counted after inflation."""
ANSWER_BYTES = 16 * 1024 * 1024
ANSWER_BYTES_A_TEXT = 256 * 1024
"""A vector of 11,000 numbers as decimal text. Reading an answer takes three times its size."""

MAX_REFUSAL_BYTES = 4 * 1024 * 1024
"""Some servers repeat the whole input in a refusal of it."""

MAX_CONNECT_SECONDS = 10.0

_GZIP = b"\x1f\x8b"
_GZIP_ONLY, _ZLIB_ONLY, _RAW_DEFLATE = 31, 15, -15
_PIECE_BYTES = 256 * 1024
_MAX_CODINGS = 3
_PLAIN = frozenset({"", "identity", "none", "gzip", "x-gzip"})
_LOST = (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError)


class ProviderHttp(openai.DefaultHttpxClient):
    """A client that sends the key to no other host, and bounds the size and the time of an answer.

    Redirects are not followed. Answers are asked for uncompressed: base64 vectors hardly shrink, and cost
    more to inflate than to fetch. A compressed answer is inflated all the same. Proxy and certificate
    variables of the environment work as with the SDK's own client. Close it after use. Raises httpx2's
    errors: a ConnectError or ConnectTimeout where nothing of the request was sent.
    """

    def __init__(
        self,
        timeout_seconds: float,
        clock: Clock,
        left_seconds: Clock = lambda: math.inf,
        texts: Callable[[], int] = lambda: 1,
    ) -> None:
        """A call ends after `timeout_seconds`, or before if `left_seconds()` was less when it began.

        `texts()` is how many texts the call under way has: its answer may be so much larger.
        """
        super().__init__(
            verify=tls_context(),
            timeout=call_timeout(timeout_seconds),
            headers={"Accept-Encoding": "identity"},
            follow_redirects=False,
            event_hooks={"response": [self._guard]},
        )
        self._timeout_seconds = timeout_seconds
        self._left_seconds = left_seconds
        self._texts = texts
        self._network = Network(clock)
        # The client makes its own transports, as the proxy variables say, and takes no backend for them.
        for transport in (self._transport, *self._mounts.values()):
            if isinstance(transport, httpx2.HTTPTransport):
                transport._pool._network_backend = self._network

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """As the base class. A call that finds its idle connection closed is sent once more."""
        left_seconds = self._left_seconds()
        if left_seconds <= 0:
            raise httpx2.ReadTimeout("no time was left for the call", request=request)
        call = self._network.begin(min(self._timeout_seconds, left_seconds))
        try:
            return super().send(request, **options)
        except _LOST as error:
            if not call.is_sent:
                raise httpx2.ConnectError(str(error)) from error
            if call.is_answered or not call.is_reused:
                raise
        except httpx2.ReadTimeout as error:
            if not call.is_sent:
                raise httpx2.ConnectTimeout(str(error)) from error
            raise
        return super().send(request, **options)

    def _guard(self, response: httpx2.Response) -> None:
        if not isinstance(response.stream, httpx2.SyncByteStream):
            return
        encoding = response.headers.get("content-encoding", "")
        if encoding:
            # The client would inflate without a bound, and believe a wrong header.
            del response.headers["content-encoding"]
        max_bytes = max_answer_bytes(self._texts()) if response.is_success else MAX_REFUSAL_BYTES
        response.stream = BoundedBody(
            response.stream, max_bytes, encoding, is_refusal=not response.is_success
        )

    def proxy_of(self, url: str) -> str:
        """The address of the proxy that calls to `url` go through, without its password; "" without one."""
        transport = self._transport_for_url(httpx2.URL(url))
        pool = transport._pool if isinstance(transport, httpx2.HTTPTransport) else None
        if not isinstance(pool, httpcore2.HTTPProxy | httpcore2.SOCKSProxy):
            return ""
        proxy = pool._proxy_url
        return f"{proxy.scheme.decode()}://{proxy.host.decode()}:{proxy.port}"


def max_answer_bytes(texts: int) -> int:
    """How large the answer to so many texts may be."""
    return min(MAX_ANSWER_BYTES, ANSWER_BYTES + texts * ANSWER_BYTES_A_TEXT)


def call_timeout(timeout_seconds: float) -> httpx2.Timeout:
    """Bounds on connecting and on each wait for bytes; the deadline of the whole call is the network's."""
    return httpx2.Timeout(timeout_seconds, connect=min(timeout_seconds, MAX_CONNECT_SECONDS))


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The TLS settings for all connections of this process and those forked from it.

    Reading the certificates is most of the cost of a client. Raises OSError where SSL_CERT_FILE or
    SSL_CERT_DIR of the environment is wrong.
    """
    return httpx2.create_ssl_context()


class BoundedBody(httpx2.SyncByteStream):
    """An inflated body that ends in an error when it is too large or broken off.

    Raises RetryableError from within the SDK, which lets it pass. A refusal ends without an error: its
    status alone says what to do.
    """

    def __init__(
        self, body: httpx2.SyncByteStream, max_bytes: int, encoding: str = "", *, is_refusal: bool = False
    ) -> None:
        self._body = body
        self._max_bytes = max_bytes
        self._encoding = encoding
        self._is_refusal = is_refusal

    def __iter__(self) -> Iterator[bytes]:
        if not self._is_refusal:
            yield from self._pieces(self._max_bytes)
            return
        with contextlib.suppress(httpx2.TransportError, RetryableError):
            yield from self._pieces(self._max_bytes)

    def _pieces(self, max_bytes: int) -> Iterator[bytes]:
        size_bytes = 0
        try:
            for piece in inflate(self._body, self._encoding):
                size_bytes += len(piece)
                if size_bytes > max_bytes:
                    raise bad_answer(f"it is larger than {max_bytes} bytes")
                yield piece
        except httpx2.TimeoutException:
            raise
        except httpx2.TransportError as error:
            raise RetryableError(
                f"the connection to the provider ended after {size_bytes} bytes of the answer ({error})",
                reason=RetryReason.DISCONNECTED,
            ) from error

    def close(self) -> None:
        self._body.close()


def inflate(chunks: Iterable[bytes], content_encoding: str) -> Iterator[bytes]:
    """What `chunks` hold, in pieces of a bounded size. Raises RetryableError(BAD_RESPONSE).

    A body that begins as gzip does is gzip, and one that begins as JSON or HTML does is not compressed:
    servers and proxies declare either wrongly.
    """
    codings = [coding.strip().lower() for coding in content_encoding.split(",")]
    if len(codings) > _MAX_CODINGS:
        raise bad_answer(f"it is compressed {len(codings)} times")
    pieces: Iterator[bytes] = iter(chunks)
    for coding in reversed(codings):
        pieces = _inflate_once(pieces, coding)
    return pieces


def _inflate_once(chunks: Iterator[bytes], coding: str) -> Iterator[bytes]:
    start = _at_least_two_bytes(b"", chunks)
    if start.startswith(_GZIP):
        yield from _decompress(start, chunks, _GZIP_ONLY)
    elif coding in _PLAIN or start.lstrip()[:1] in (b"", b"{", b"[", b"<", b'"'):
        yield start
        yield from chunks
    elif coding == "deflate":
        yield from _decompress(start, chunks, _ZLIB_ONLY if _has_zlib_header(start) else _RAW_DEFLATE)
    else:
        raise bad_answer(f'it is compressed as "{coding[:20]}", though it was asked for uncompressed')


def _at_least_two_bytes(start: bytes, chunks: Iterator[bytes]) -> bytes:
    """Fewer where there are no more."""
    while len(start) < len(_GZIP):
        chunk = next(chunks, None)
        if chunk is None:
            break
        start += chunk
    return start


def _has_zlib_header(start: bytes) -> bool:
    """See RFC 1950. Some servers leave the header out."""
    method_is_deflate = start[0] & 0x0F == zlib.DEFLATED
    return method_is_deflate and int.from_bytes(start[:2], "big") % 31 == 0


def _decompress(start: bytes, chunks: Iterator[bytes], window_bits: int) -> Iterator[bytes]:
    """All members, should there be several; what follows the last one is left out."""
    member = zlib.decompressobj(window_bits)
    waiting = start
    while True:
        try:
            piece = member.decompress(waiting, _PIECE_BYTES)
        except zlib.error as error:
            raise bad_answer("its compression is damaged") from error
        if piece:
            yield piece
        waiting = member.unconsumed_tail
        if member.eof:
            waiting = _at_least_two_bytes(member.unused_data, chunks)
            if not waiting.startswith(_GZIP):
                return
            member = zlib.decompressobj(window_bits)
        elif not waiting and not piece:
            waiting = _at_least_two_bytes(b"", chunks)
            if not waiting:
                raise bad_answer("its compression is cut off")
