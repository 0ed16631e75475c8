"""The table of a provider's refusals: what is done about each. The first rule that fits decides."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from http import HTTPStatus
from typing import TypeAlias

from shared.errors import Blame, RetryReason
from workers.providers.openai.api_error import ApiError, BodyKind


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


QUOTA_NAMES = words(
    """
    insufficient_quota insufficient_credits insufficient_balance insufficient_funds
    billing_hard_limit_reached billing_not_active billing_error budget_exceeded quota_exceeded
    exceeded_current_quota_error payment_required access_terminated arrearage
    """
)
QUOTA_WORDS = re.compile(
    r"exceeded your (?:current|monthly) quota"
    r"|(?:insufficient|not enough|no|out of|more|included|remaining) (?:\w+ )?"
    r"(?:quota|credits?|balance|funds)\b"
    r"|(?:quota|credits?|balance|funds)(?: \w+)? (?:is|are|was|has been|have been)"
    r" (?:too low|insufficient|exhausted|used up|depleted|exceeded)"
    r"|quota (?:exceeded|exhausted)"
    r"|budget\b.{0,60}\bexceeded|exceed(?:s|ed)?\b.{0,60}\bbudget"
    r"|billing (?:hard |soft )?limit|billing\b.{0,30}\b(?:not active|inactive|disabled|required)"
    r"|payment (?:is )?required|spend(?:ing)? (?:limit|cap|alert)|key limit exceeded"
    r"|credit limit|usage limits?\b|monthly (?:\w+ )?(?:limit|quota|cap)",
    re.IGNORECASE,
)
PASSES_SOON = re.compile(
    r"(?:retry|try again|wait)\b.{0,20}?\b\d|rate.?limit|per.?(?:second|minute|hour|day)\b|\b[rt]p[smd]\b",
    re.IGNORECASE,
)
KEY_NAMES = words(
    """
    invalid_api_key api_key_invalid authentication_error invalid_authentication unauthenticated unauthorized
    invalid_token expired_api_key
    """
)
_KEY = r"(?:(?:api|access|auth|authentication|bearer)[ _-]?(?:key|token)|subscription key|credentials)"
KEY_WORDS = re.compile(
    rf"\b(?:incorrect|invalid|wrong|expired|missing|bad|malformed|unknown|revoked|no) {_KEY}\b"
    rf"|\b{_KEY}\b.{{0,60}}?\b(?:not valid|invalid|expired|incorrect|wrong|not found|required|missing|revoked"
    r"|disabled|not provided|is not set)\b"
    r"|\bauthentication (?:failed|error|required)\b",
    re.IGNORECASE,
)
RATE_NAMES = words(
    """
    rate_limit_exceeded rate_limit_error rate_limited too_many_requests throttlingexception throttling
    ratelimitreached
    """
)
MODEL_NAMES = words(
    """
    model_not_found model_not_available model_not_supported model_not_exist model_decommissioned
    model_permission_blocked_org model_permission_blocked_project model_terms_required modelnotfound
    invalid_model invalid_model_id unknown_model unsupported_model unknownmodelerror deploymentnotfound
    deployment_not_found operationnotsupported key_model_access_denied team_model_access_denied
    """
)
_MODEL = r"(?:models?|deployments?|engines?)"
MODEL_WORD = re.compile(rf"\b{_MODEL}\b", re.IGNORECASE)
MODEL_WORDS = re.compile(
    rf"\b{_MODEL}\b(?:(?!\. )[^,;]){{0,100}}?\b(?:"
    r"not (?:be )?(?:found|available|supported|allowed|served|loaded|enabled|accessible)"
    r"|not exist|doesn't exist|is (?:unknown|invalid|unavailable)|deprecated|decommissioned|retired"
    r"|no(?:t have)? access|does(?: not|n't) support embedding)"
    r"|\b(?:unknown|invalid|unsupported|unrecognized|no such|not an?(?: \w+){0,2}|couldn't find"
    rf"|could not find|access to|access|to use) (?:the |this |embedding )?{_MODEL}\b",
    re.IGNORECASE,
)
ADDRESS_WORDS = re.compile(
    r"unexpected endpoint|invalid url|unknown (?:request )?url|unrecognized request url"
    r"|(?:no|unknown|invalid) (?:route|path|endpoint)|cannot (?:post|get) /"
    r"|(?:route|path|page|endpoint)\b.{0,80}?\bnot (?:found|exist)",
    re.IGNORECASE,
)
MODERATION_WORDS = re.compile(r"\bflagged\b|moderation|content.?(?:policy|filter|management)", re.IGNORECASE)
TLS_WORDS = re.compile(
    r"plain http request|http request to an https|client sent an http request", re.IGNORECASE
)
QUOTED = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)|`[^`]*`")
NAMES_OF_STATUS = {
    400: words("invalid_request_error invalid_argument badrequesterror"),
    401: words("authentication_error unauthenticated"),
    402: words("billing_error"),
    403: words("permission_error permission_denied"),
    404: words("not_found_error not_found notfounderror"),
    413: words("request_too_large"),
    429: words("rate_limit_error rate_limit_exceeded resource_exhausted too_many_requests"),
    500: words("server_error api_error internal"),
    503: words("unavailable service_unavailable"),
    504: words("deadline_exceeded"),
    529: words("overloaded_error"),
}
"""The status of an error that came with a status of success."""
_END_OF_STATUSES = 600
_INPUT = frozenset({400, 413, 422})
_OF_THE_SERVER = frozenset({408, 409, 425, 498, 499})
_GONE = frozenset({404, 410})
_NOT_HERE = frozenset({403, 404, 410, 451})


class Endpoint(StrEnum):
    """What was called, beneath the base URL."""

    EMBEDDINGS = "/embeddings"
    CHAT = "/chat/completions"

    @property
    def api(self) -> str:
        """Its name in a message."""
        return "embeddings" if self is Endpoint.EMBEDDINGS else "chat"


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """A refusal of a call for `model`, as far as it decides what is done next."""

    status: int
    error: ApiError
    model: str = ""
    dimensions: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    in_success: bool = False
    """Did it come with a status of success? Then `status` is what the error itself says."""
    endpoint: Endpoint = Endpoint.EMBEDDINGS

    @property
    def _said(self) -> str:
        """The words that are the provider's own.

        What stands in quotes within a refusal of the input may be a task's text. The model's name stays.
        """
        message = self.error.message
        if self.status not in _INPUT:
            return message
        return QUOTED.sub(lambda match: match[0] if match[0][1:-1].strip() == self.model else " ", message)

    @property
    def is_from_a_page(self) -> bool:
        return self.error.kind is BodyKind.PAGE

    def names_encoding_format(self) -> bool:
        """Is it refused how the vectors were asked for, rather than what was asked?"""
        said = f"{self.error.message} {self.error.param}".lower()
        return "encoding_format" in said or (self.status in {400, 422} and "base64" in self._said.lower())

    def quota_is_gone(self) -> bool:
        if self.status == HTTPStatus.PAYMENT_REQUIRED or self.error.names & QUOTA_NAMES:
            return True
        if self.is_from_a_page or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return False
        passes = self.status == HTTPStatus.TOO_MANY_REQUESTS and PASSES_SOON.search(self._said)
        return bool(QUOTA_WORDS.search(self._said)) and not passes

    def key_may_not_use_model(self) -> bool:
        return self.status in {401, 403} and bool(self.error.names & MODEL_NAMES)

    def key_is_refused(self) -> bool:
        if self.status == HTTPStatus.UNAUTHORIZED:
            return True
        is_said = self.error.names & KEY_NAMES or KEY_WORDS.search(self._said)
        return self.status in {400, 403, 422} and bool(is_said)

    def rate_is_limited(self) -> bool:
        named = self.status in {400, 403} and self.error.names & RATE_NAMES
        return self.status == HTTPStatus.TOO_MANY_REQUESTS or bool(named)

    def server_failed(self) -> bool:
        return self.status in _OF_THE_SERVER or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    def wants_tls(self) -> bool:
        return self.status in _INPUT and bool(TLS_WORDS.search(self.error.message))

    def input_is_flagged(self) -> bool:
        found = MODERATION_WORDS.search(f"{self.error.message} {self.error.code}")
        return self.status in {400, 403} and not self.is_from_a_page and bool(found)

    def dimensions_are_refused(self) -> bool:
        if self.dimensions is None or self.status not in {400, 422}:
            return False
        return (
            "dimensions" in f"{self._said} {self.error.param}".lower() or "matryoshka" in self._said.lower()
        )

    def model_is_missing(self) -> bool:
        """Is it the model that is not there or not allowed, rather than the address or the input?"""
        if self.is_from_a_page:
            return False
        if self.error.names & MODEL_NAMES or (self.error.param == "model" and not self.server_failed()):
            return True
        if self.status in _NOT_HERE:
            named = self.model and re.search(rf"(?<!\w){re.escape(self.model)}(?!\w)", self.error.message)
            return bool(named or MODEL_WORD.search(self.error.message))
        return self.status in {400, 422} and bool(MODEL_WORDS.search(self._said))

    def address_is_wrong(self) -> bool:
        if self.status < HTTPStatus.BAD_REQUEST or self.status == HTTPStatus.METHOD_NOT_ALLOWED:
            return True
        speaks = self.error.kind is BodyKind.API and not ADDRESS_WORDS.search(self.error.message)
        return (self.status in _GONE or self.in_success) and not speaks


Next: TypeAlias = RetryReason | Blame


@dataclass(frozen=True, slots=True)
class Rule:
    """Where `fits`, do as `then` says, and begin the message with `words`.

    `{url}`, `{api}`, `{model}`, `{dimensions}`, `{proxy}`, `{key_setting}` and `{url_setting}` are filled in.
    """

    fits: Callable[[RefusedCall], bool]
    then: Next
    words: str


def _status(*statuses: int) -> Callable[[RefusedCall], bool]:
    return lambda refusal: refusal.status in statuses


RULES = (
    Rule(_status(407), RetryReason.CONNECTION, "the proxy {proxy} refuses, check HTTPS_PROXY and HTTP_PROXY"),
    Rule(RefusedCall.quota_is_gone, RetryReason.QUOTA, "the provider's quota or budget is used up"),
    Rule(
        RefusedCall.key_may_not_use_model,
        Blame.WHOLE_UNIT,
        'the provider does not let this key use model "{model}"',
    ),
    Rule(
        RefusedCall.key_is_refused,
        RetryReason.UNAUTHORIZED,
        "{url} refuses this service, check {key_setting}",
    ),
    Rule(RefusedCall.rate_is_limited, RetryReason.RATE_LIMIT, "the provider's rate limit is reached"),
    Rule(RefusedCall.server_failed, RetryReason.SERVER_ERROR, "the provider failed"),
    Rule(RefusedCall.wants_tls, RetryReason.WRONG_URL, "{url} wants https, correct {url_setting}"),
    Rule(RefusedCall.input_is_flagged, Blame.SOME_TASKS, "the provider refuses the input"),
    Rule(
        RefusedCall.dimensions_are_refused, Blame.WHOLE_UNIT, "the provider refuses {dimensions} dimensions"
    ),
    Rule(RefusedCall.model_is_missing, Blame.WHOLE_UNIT, 'the provider has no model "{model}" for this key'),
    Rule(
        _status(403, 451),
        RetryReason.UNAUTHORIZED,
        "{url} refuses this service, check {key_setting}, the account and the network",
    ),
    Rule(RefusedCall.address_is_wrong, RetryReason.WRONG_URL, "no {api} API at {url}, check {url_setting}"),
    Rule(
        _status(404, 410),
        Blame.MODEL_OR_ADDRESS,
        'nothing at {url} for model "{model}", check the model and {url_setting}',
    ),
    Rule(_status(413), Blame.SOME_TASKS, "the provider refuses the input as too large"),
    Rule(
        lambda refusal: refusal.is_from_a_page,
        RetryReason.BAD_RESPONSE,
        "a web page answers in place of {url}",
    ),
    Rule(lambda _: True, Blame.SOME_TASKS, "the provider refuses the input"),
)


def rule_for(refusal: RefusedCall) -> Rule:
    return next(rule for rule in RULES if rule.fits(refusal))


def refusal_in_success(
    error: ApiError, model: str, dimensions: int | None, headers: Mapping[str, str]
) -> RefusedCall:
    """The refusal that `error` is, which came with a status of success.

    An error that does not say whose it is counts as the server's.
    """
    status = next((known for known in map(_status_of, sorted(error.names)) if known), None)
    refusal = RefusedCall(
        status or HTTPStatus.BAD_REQUEST, error, model, dimensions, headers, in_success=True
    )
    if status is None and rule_for(refusal).then is Blame.SOME_TASKS:
        return replace(refusal, status=HTTPStatus.INTERNAL_SERVER_ERROR)
    return refusal


def _status_of(name: str) -> int | None:
    if name.isascii() and name.isdigit() and HTTPStatus.BAD_REQUEST <= int(name) < _END_OF_STATUSES:
        return int(name)
    return next((status for status, names in NAMES_OF_STATUS.items() if name in names), None)
