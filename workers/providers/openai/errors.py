"""The one place where an error of the provider's SDK gets its class."""

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

import openai

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason, TaskError
from shared.retry import parse_retry_after
from workers.providers.openai.api_error import ApiError
from workers.providers.safe_message import safe_message

_RETRY_REASONS: dict[int, RetryReason] = {
    HTTPStatus.REQUEST_TIMEOUT: RetryReason.TIMEOUT,
    HTTPStatus.CONFLICT: RetryReason.SERVER_ERROR,
    HTTPStatus.TOO_EARLY: RetryReason.SERVER_ERROR,
}
_KEY_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED})
_MODEL_REFUSED = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS})
_NOTHING_HERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE})


class OpenAIErrors:
    """Turns what the SDK raises into a RetryableError or a NonRetryableError.

    `wall_clock` gives epoch seconds, for a `Retry-After` that is a date. Messages never hold `key`.
    """

    def __init__(
        self, *, base_url: str, key: str, timeout_seconds: float, wall_clock: Callable[[], float]
    ) -> None:
        self._base_url = base_url
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._wall_clock = wall_clock

    def classify(self, error: openai.APIError, model: str) -> TaskError:
        """The error to raise instead of `error`, which a call for `model` ended in."""
        if isinstance(error, openai.APIStatusError):
            return self._by_status(error, model)
        if isinstance(error, openai.APITimeoutError):
            waited = f"no answer from {self._base_url} within {self._timeout_seconds:g} s (OPENAI_TIMEOUT)"
            return self._retry(RetryReason.TIMEOUT, waited)
        cause = error.__cause__ or error
        return self._retry(RetryReason.CONNECTION, f"no connection to {self._base_url}: {cause}")

    def _by_status(self, error: openai.APIStatusError, model: str) -> TaskError:
        status = error.status_code
        api_error = ApiError.parse(error.response.content)
        said = f"{status}, {api_error.message}" if api_error else f"status {status} without a reason"
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return self._too_many(error, api_error, said)
        if status in _RETRY_REASONS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            reason = _RETRY_REASONS.get(status, RetryReason.SERVER_ERROR)
            return self._retry(reason, f"the provider failed: {said}", error)
        if status in _MODEL_REFUSED and api_error:
            return self._refusal(f'the provider refuses model "{model}": {said}', Blame.WHOLE_UNIT)
        if status in _NOTHING_HERE and api_error and api_error.names_model(model):
            return self._refusal(f'the provider has no model "{model}": {said}', Blame.WHOLE_UNIT)
        return self._hold(error, said) or self._refusal(f"the provider refuses the input: {said}")

    def _too_many(self, error: openai.APIStatusError, api_error: ApiError | None, said: str) -> TaskError:
        if api_error and api_error.says_quota_is_gone:
            return self._retry(RetryReason.QUOTA, f"the provider's quota is used up: {said}")
        return self._retry(RetryReason.RATE_LIMIT, f"the provider's rate limit is reached: {said}", error)

    def _hold(self, error: openai.APIStatusError, said: str) -> TaskError | None:
        """The error where nothing will be accepted until a person mends the settings or the account."""
        status = error.status_code
        if status in _KEY_REFUSED or status in _MODEL_REFUSED:
            refused = f"{self._base_url} refuses this service, check OPENAI_API_KEY: {said}"
            return self._retry(RetryReason.UNAUTHORIZED, refused)
        if status == HTTPStatus.PAYMENT_REQUIRED:
            return self._retry(RetryReason.QUOTA, f"the provider asks for payment: {said}")
        if status in _NOTHING_HERE:
            missing = f"no embeddings API at {self._base_url}, check OPENAI_BASE_URL: {said}"
            return self._retry(RetryReason.WRONG_URL, missing)
        if status < HTTPStatus.BAD_REQUEST:
            target = _place(error.response.headers.get("location", ""))
            moved = f"{self._base_url} redirects{target}, which is not followed; correct OPENAI_BASE_URL"
            return self._retry(RetryReason.WRONG_URL, moved)
        return None

    def _retry(
        self, reason: RetryReason, message: str, error: openai.APIStatusError | None = None
    ) -> RetryableError:
        """`error` is given where its Retry-After counts."""
        wait_seconds = parse_retry_after(error.response.headers, self._wall_clock()) if error else None
        return RetryableError(
            safe_message(message, self._key), reason=reason, retry_after_seconds=wait_seconds
        )

    def _refusal(self, message: str, blame: Blame = Blame.SOME_TASKS) -> NonRetryableError:
        return NonRetryableError(safe_message(message, self._key), blame=blame)


def _place(location: str) -> str:
    """` to scheme://host` of a redirect: the rest may hold anything."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return ""
    return f" to {parts.scheme}://{parts.hostname}" if parts.scheme and parts.hostname else ""
