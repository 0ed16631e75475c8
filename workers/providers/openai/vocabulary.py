"""The names and words by which providers and gateways say what is wrong."""

import re

QUOTA_NAMES = frozenset(
    {
        "insufficient_quota",
        "insufficient_credits",
        "insufficient_balance",
        "insufficient_funds",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "budget_exceeded",
        "quota_exceeded",
        "exceeded_current_quota_error",
        "payment_required",
        "access_terminated",
        "arrearage",
    }
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
KEY_NAMES = frozenset(
    {
        "invalid_api_key",
        "api_key_invalid",
        "authentication_error",
        "invalid_authentication",
        "unauthenticated",
        "unauthorized",
        "invalid_token",
        "expired_api_key",
    }
)
_KEY = r"(?:(?:api|access|auth|authentication|bearer)[ _-]?(?:key|token)|subscription key|credentials)"
KEY_WORDS = re.compile(
    rf"\b(?:incorrect|invalid|wrong|expired|missing|bad|malformed|unknown|revoked|no) {_KEY}\b"
    rf"|\b{_KEY}\b.{{0,60}}?\b(?:not valid|invalid|expired|incorrect|wrong|not found|required|missing|revoked"
    r"|disabled|not provided|is not set)\b"
    r"|\bauthentication (?:failed|error|required)\b",
    re.IGNORECASE,
)
RATE_NAMES = frozenset(
    {
        "rate_limit_exceeded",
        "rate_limit_error",
        "rate_limited",
        "too_many_requests",
        "throttlingexception",
        "throttling",
        "ratelimitreached",
    }
)
MODEL_NAMES = frozenset(
    {
        "model_not_found",
        "model_not_available",
        "model_not_supported",
        "model_not_exist",
        "model_decommissioned",
        "model_permission_blocked_org",
        "model_permission_blocked_project",
        "model_terms_required",
        "modelnotfound",
        "invalid_model",
        "invalid_model_id",
        "unknown_model",
        "unsupported_model",
        "unknownmodelerror",
        "deploymentnotfound",
        "deployment_not_found",
        "operationnotsupported",
        "key_model_access_denied",
        "team_model_access_denied",
    }
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
STATUS_OF_NAME = {
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "badrequesterror": 400,
    "authentication_error": 401,
    "unauthenticated": 401,
    "billing_error": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "not_found": 404,
    "notfounderror": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "resource_exhausted": 429,
    "too_many_requests": 429,
    "server_error": 500,
    "api_error": 500,
    "internal": 500,
    "unavailable": 503,
    "service_unavailable": 503,
    "deadline_exceeded": 504,
    "overloaded_error": 529,
}
"""The status that belongs to an error which came with a status of success."""
