"""The one place where a call to the provider that brought no answer gets its class."""

import math
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx2
import openai

from shared.errors import NonRetryableError, RetryableError, RetryReason, TaskError
from shared.plain_text import safe_message
from shared.provider_accounts import OPENAI, ProviderAccount
from shared.retry import parse_retry_after
from workers.providers.openai.api_error import BodyKind
from workers.providers.openai.refusals import RefusedCall, rule_for

_WAIT_COUNTS = frozenset({RetryReason.RATE_LIMIT, RetryReason.SERVER_ERROR})
_CHECK_PROXY = "check HTTPS_PROXY and HTTP_PROXY"
_OF_THE_SDK = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
"""Variables that the SDK sends as headers."""
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
class OpenAIErrors:
    """Makes a RetryableError or a NonRetryableError of what a call ended in.

    `wall_clock` gives epoch seconds, for a `Retry-After` that is a date. Messages never hold `key`.
    `proxy` is the address of the proxy on the way, "" where there is none. `account` says which settings to
    look at.
    """

    base_url: str
    key: str = field(repr=False)
    timeout_seconds: float
    wall_clock: Callable[[], float]
    proxy: str = ""
    account: ProviderAccount = field(default_factory=lambda: ProviderAccount(OPENAI))

    def of_lost_call(
        self, error: openai.APIError | UnicodeError, left_seconds: float = math.inf
    ) -> TaskError:
        """The error for a call that got no whole answer. Its reason says if it can have been billed.

        `left_seconds` is what its unit had left for further calls.
        """
        way = f"{self.base_url} through the proxy {self.proxy}" if self.proxy else self.base_url
        cause = error.__cause__ or error
        if isinstance(cause, _NOTHING_SENT):
            reason = RetryReason.CONNECTION
            words = f"no connection to {way}: {self._failed_part(cause)}"
        elif isinstance(error, openai.APITimeoutError):
            reason = RetryReason.TIMEOUT
            limit = f"within {self.timeout_seconds:g} s (OPENAI_TIMEOUT)"
            if left_seconds <= 0:
                limit = "before the time of the unit was over (TASK_TIMEOUT_SECONDS)"
            words = f"no answer from {way} {limit}"
        else:
            reason = RetryReason.DISCONNECTED
            words = f"the connection to {way} ended before the answer was whole: {cause}"
        return RetryableError(safe_message(words, self.key), reason=reason)

    def of_refusal(self, refusal: RefusedCall) -> TaskError:
        """The error for what the provider answered in place of what was asked for."""
        rule = rule_for(refusal)
        words = rule.words.format(
            url=self.base_url,
            api=refusal.endpoint.api,
            model=refusal.model,
            dimensions=refusal.dimensions,
            proxy=self.proxy or f"before {self.base_url}",
            key_setting=self.account.setting("api_key"),
            url_setting=self.account.setting("base_url"),
        )
        if self.proxy and refusal.error.kind is not BodyKind.API:
            words = f"{words} (through the proxy {self.proxy})"
        message = safe_message(f"{words}: {_said(refusal)}", self.key)
        if not isinstance(rule.then, RetryReason):
            return NonRetryableError(message, blame=rule.then)
        waits = rule.then in _WAIT_COUNTS
        wait_seconds = parse_retry_after(refusal.headers, self.wall_clock()) if waits else None
        return RetryableError(message, reason=rule.then, retry_after_seconds=wait_seconds)

    def _failed_part(self, cause: BaseException) -> str:
        """Which part failed, and which setting to look at."""
        url_setting = self.account.setting("base_url")
        if isinstance(cause, httpx2.ProxyError):
            return f"the proxy refuses ({cause}), {_CHECK_PROXY}"
        if isinstance(cause, httpx2.LocalProtocolError | UnicodeError):
            names = ", ".join([self.account.setting("api_key"), *_OF_THE_SDK[:-1]])
            return (
                f"a header cannot be sent, check {names} and {_OF_THE_SDK[-1]} "
                "for line breaks and letters that are not ASCII"
            )
        if isinstance(cause, httpx2.UnsupportedProtocol):
            return f"{cause}, check http or https in {url_setting}"
        for deeper in _chain(cause):
            if isinstance(deeper, ssl.SSLCertVerificationError):
                return f"TLS: {deeper}, check SSL_CERT_FILE"
            if isinstance(deeper, ssl.SSLError):
                return f"TLS: {deeper}, check http or https in {url_setting}"
        # Behind a proxy only the proxy is connected to: it resolves the name and connects to the provider.
        return f"{cause}, {_CHECK_PROXY if self.proxy else f'check {url_setting} and the network'}"


def _said(refusal: RefusedCall) -> str:
    status, error = refusal.status, refusal.error
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"{status}, it redirects{_target(refusal.headers.get('location', ''))}, which is not followed"
    if refusal.in_success:
        return f"an error in an answer with a status of success, {error.message}"
    if error.kind is BodyKind.EMPTY:
        return f"status {status} without a reason"
    if refusal.is_from_a_page:
        return f'{status}, a web page: "{error.message}"'
    return f"{status}, {error.message}"


def _target(location: str) -> str:
    """` to scheme://host` of a redirect: the rest may hold anything."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return ""
    return f" to {parts.scheme}://{parts.hostname}" if parts.scheme and parts.hostname else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    deeper: BaseException | None = error
    while deeper is not None:
        yield deeper
        deeper = deeper.__cause__ or deeper.__context__
