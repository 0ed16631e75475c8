"""What a provider's headers say is left of its limits, by the names that providers give them.

Sources: the API references of OpenAI, Azure OpenAI, Groq, Mistral and Anthropic; the last names are of
the IETF draft "RateLimit header fields for HTTP" and of many gateways.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from shared.messages import RateLimits

MAX_RESET_SECONDS = 86_400.0
"""A longer reset is nonsense, or at least nothing to plan by."""

_LIMIT_REQUESTS = (
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-req-minute",
    "anthropic-ratelimit-requests-limit",
)
_REMAINING_REQUESTS = (
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-req-minute",
    "anthropic-ratelimit-requests-remaining",
)
_RESET_REQUESTS = ("x-ratelimit-reset-requests", "anthropic-ratelimit-requests-reset")
_LIMIT_TOKENS = (
    "x-ratelimit-limit-tokens",
    "x-ratelimit-limit-tokens-minute",
    "x-ratelimitbysize-limit-minute",
    "anthropic-ratelimit-tokens-limit",
)
_REMAINING_TOKENS = (
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-remaining-tokens-minute",
    "x-ratelimitbysize-remaining-minute",
    "anthropic-ratelimit-tokens-remaining",
)
_RESET_TOKENS = ("x-ratelimit-reset-tokens", "ratelimitbysize-reset", "anthropic-ratelimit-tokens-reset")
_ANY_LIMIT = ("x-ratelimit-limit", "ratelimit-limit")
_ANY_REMAINING = ("x-ratelimit-remaining", "ratelimit-remaining")
_ANY_RESET = ("x-ratelimit-reset", "ratelimit-reset")

_COUNT = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_PLAIN_SECONDS = re.compile(r"[0-9]{1,13}(?:\.[0-9]{1,9})?")
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|us|µs|ns|d|h|m|s))+")
_PART = re.compile(r"([0-9.]+)([a-zµ]+)")
_UNIT_SECONDS = {
    "d": 86_400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_MAX_CHARACTERS = 64
_FIRST_EPOCH_SECONDS = 1e9
_FIRST_EPOCH_MILLISECONDS = 1e12


def parse_rate_limits(headers: Mapping[str, str], wall_seconds: float) -> RateLimits | None:
    """What is left, or None when the headers say nothing. A value that is no number counts as not said.

    A reset that is a moment is compared with `wall_seconds` (epoch).
    """
    limits = RateLimits(
        limit_requests=_count(headers, _LIMIT_REQUESTS),
        limit_tokens=_count(headers, _LIMIT_TOKENS),
        remaining_requests=_count(headers, _REMAINING_REQUESTS),
        remaining_tokens=_count(headers, _REMAINING_TOKENS),
        reset_requests_seconds=_reset(headers, _RESET_REQUESTS, wall_seconds),
        reset_tokens_seconds=_reset(headers, _RESET_TOKENS, wall_seconds),
    )
    if limits == RateLimits():
        limits = _of_no_kind(headers, wall_seconds)
    return None if limits == RateLimits() else limits


def _of_no_kind(headers: Mapping[str, str], wall_seconds: float) -> RateLimits:
    """Limits that do not say of what are of requests. A limit alone may be of an hour or a day."""
    remaining = _count(headers, _ANY_REMAINING)
    if remaining is None:
        return RateLimits()
    return RateLimits(
        limit_requests=_count(headers, _ANY_LIMIT),
        remaining_requests=remaining,
        reset_requests_seconds=_reset(headers, _ANY_RESET, wall_seconds),
    )


def _count(headers: Mapping[str, str], names: Sequence[str]) -> int | None:
    """The first number of a list such as `100, 100;window=60`."""
    text = re.split("[,;]", _first(headers, names), maxsplit=1)[0].strip()
    return int(float(text)) if _COUNT.fullmatch(text) else None


def _reset(headers: Mapping[str, str], names: Sequence[str], wall_seconds: float) -> float | None:
    """`1s`, `6m0s`, `20ms`, `1h2m3s`, plain seconds, epoch seconds or milliseconds, or an ISO date."""
    text = _first(headers, names)
    if _PLAIN_SECONDS.fullmatch(text):
        seconds = _from_now(float(text), wall_seconds)
    elif _DURATION.fullmatch(text):
        seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(text))
    else:
        moment = _moment(text)
        if moment is None:
            return None
        seconds = max(0.0, moment - wall_seconds)
    return seconds if seconds <= MAX_RESET_SECONDS else None


def _from_now(number: float, wall_seconds: float) -> float:
    if number < _FIRST_EPOCH_SECONDS:
        return number
    return max(0.0, (number / 1000 if number >= _FIRST_EPOCH_MILLISECONDS else number) - wall_seconds)


def _moment(text: str) -> float | None:
    """Epoch seconds of an ISO date with its zone."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _first(headers: Mapping[str, str], names: Sequence[str]) -> str:
    text = next((value for name in names if (value := headers.get(name))), "").strip()
    return text if len(text) <= _MAX_CHARACTERS else ""
