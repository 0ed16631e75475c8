"""The one place where a call to the provider that brought no vectors gets its class."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

import openai

from shared.errors import NonRetryableError, RetryableError, RetryReason, TaskError
from shared.retry import parse_retry_after
from workers.providers.openai.api_error import BodyKind
from workers.providers.openai.refusals import Refusal, Rule, rule_for
from workers.providers.openai.trouble import describe_trouble
from workers.providers.safe_message import safe_message

_WAIT_COUNTS = frozenset({RetryReason.RATE_LIMIT, RetryReason.SERVER_ERROR})


class OpenAIErrors:
    """Makes a RetryableError or a NonRetryableError of what a call ended in.

    `wall_clock` gives epoch seconds, for a `Retry-After` that is a date. Messages never hold `key`.
    `proxy` is the address of the proxy on the way, if there is one.
    """

    def __init__(
        self,
        *,
        base_url: str,
        key: str,
        timeout_seconds: float,
        wall_clock: Callable[[], float],
        proxy: str = "",
    ) -> None:
        self._base_url = base_url
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._wall_clock = wall_clock
        self._proxy = proxy

    def of_trouble(self, error: openai.APIError | UnicodeError) -> TaskError:
        """The error for a call that got no answer."""
        trouble = describe_trouble(error, self._base_url, self._proxy, self._timeout_seconds)
        return RetryableError(safe_message(trouble.words, self._key), reason=trouble.reason)

    def of_refusal(self, refusal: Refusal, headers: Mapping[str, str]) -> TaskError:
        """The error for what the provider answered in place of vectors."""
        rule = rule_for(refusal)
        message = safe_message(f"{self._words(rule, refusal)}: {_said(refusal, headers)}", self._key)
        if not isinstance(rule.then, RetryReason):
            return NonRetryableError(message, blame=rule.then)
        wait_seconds = parse_retry_after(headers, self._wall_clock()) if rule.then in _WAIT_COUNTS else None
        return RetryableError(message, reason=rule.then, retry_after_seconds=wait_seconds)

    def _words(self, rule: Rule, refusal: Refusal) -> str:
        words = rule.words.format(
            url=self._base_url,
            model=refusal.model,
            dimensions=refusal.dimensions,
            proxy=self._proxy or f"before {self._base_url}",
        )
        if self._proxy and refusal.error.kind is not BodyKind.API:
            return f"{words} (through the proxy {self._proxy})"
        return words


def _said(refusal: Refusal, headers: Mapping[str, str]) -> str:
    status, error = refusal.status, refusal.error
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"{status}, it redirects{_place(headers.get('location', ''))}, which is not followed"
    if refusal.in_success:
        return f"an error in an answer with a status of success, {error.message}"
    if error.kind is BodyKind.EMPTY:
        return f"status {status} without a reason"
    if refusal.is_from_a_page:
        return f'{status}, a web page: "{error.message}"'
    return f"{status}, {error.message}"


def _place(location: str) -> str:
    """` to scheme://host` of a redirect: the rest may hold anything."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return ""
    return f" to {parts.scheme}://{parts.hostname}" if parts.scheme and parts.hostname else ""
