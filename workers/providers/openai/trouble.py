"""Trouble on the way to the provider: what was reached, and so whether a call can have been paid for."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import openai

from shared.errors import RetryReason

_CHECK_PROXY = "check HTTPS_PROXY and HTTP_PROXY"
_NOTHING_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    UnicodeError,
)


@dataclass(frozen=True, slots=True)
class Trouble:
    reason: RetryReason
    words: str


def describe_trouble(
    error: openai.APIError | UnicodeError, base_url: str, proxy: str, timeout_seconds: float
) -> Trouble:
    """What became of a call that ended in `error`, which is no answer. `proxy` is "" where there is none."""
    way = f"{base_url} through the proxy {proxy}" if proxy else base_url
    cause = error.__cause__ or error
    if isinstance(cause, _NOTHING_SENT):
        part = _failed_part(cause, proxied=bool(proxy))
        return Trouble(RetryReason.CONNECTION, f"no connection to {way}: {part}")
    if isinstance(error, openai.APITimeoutError):
        waited = f"no answer from {way} within {timeout_seconds:g} s (OPENAI_TIMEOUT)"
        return Trouble(RetryReason.TIMEOUT, waited)
    ended = f"the connection to {way} ended before the answer was whole: {cause}"
    return Trouble(RetryReason.DISCONNECTED, ended)


def _failed_part(cause: BaseException, *, proxied: bool) -> str:
    """Which part failed, and which setting to look at."""
    if isinstance(cause, httpx2.ProxyError):
        return f"the proxy refuses ({cause}), {_CHECK_PROXY}"
    if isinstance(cause, httpx2.LocalProtocolError | UnicodeError):
        return (
            "a header cannot be sent, check OPENAI_API_KEY, OPENAI_ORG_ID and OPENAI_PROJECT_ID "
            "for line breaks and entries that are not ASCII"
        )
    if isinstance(cause, httpx2.UnsupportedProtocol):
        return f"{cause}, check http or https in OPENAI_BASE_URL"
    for deeper in _chain(cause):
        if isinstance(deeper, ssl.SSLCertVerificationError):
            return f"TLS: {deeper}, check SSL_CERT_FILE"
        if isinstance(deeper, ssl.SSLError):
            return f"TLS: {deeper}, check http or https in OPENAI_BASE_URL"
    # Behind a proxy only the proxy is connected to: it resolves the name and connects to the provider.
    return f"{cause}, {_CHECK_PROXY if proxied else 'check OPENAI_BASE_URL and the network'}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    deeper: BaseException | None = error
    while deeper is not None:
        yield deeper
        deeper = deeper.__cause__ or deeper.__context__
