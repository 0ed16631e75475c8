"""`x-ratelimit-*` headers of the provider's answers."""

import re
from collections.abc import Mapping

from shared.messages import RateLimits

MAX_RESET_SECONDS = 86_400.0
"""A longer reset is nonsense, or at least nothing to plan by."""

_COUNT = re.compile(r"[0-9]{1,15}")
_PLAIN_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
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


def parse_rate_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """What is left, or None when the headers say nothing. A value that is no number counts as not said."""
    limits = RateLimits(
        limit_requests=_count(headers.get("x-ratelimit-limit-requests")),
        limit_tokens=_count(headers.get("x-ratelimit-limit-tokens")),
        remaining_requests=_count(headers.get("x-ratelimit-remaining-requests")),
        remaining_tokens=_count(headers.get("x-ratelimit-remaining-tokens")),
        reset_requests_seconds=_seconds(headers.get("x-ratelimit-reset-requests")),
        reset_tokens_seconds=_seconds(headers.get("x-ratelimit-reset-tokens")),
    )
    return None if limits == RateLimits() else limits


def _count(value: str | None) -> int | None:
    text = _short(value)
    return int(text) if _COUNT.fullmatch(text) else None


def _seconds(value: str | None) -> float | None:
    """`1s`, `6m0s`, `20ms`, `1.5s`, `1h2m3s`, or plain seconds."""
    text = _short(value)
    if _PLAIN_SECONDS.fullmatch(text):
        seconds = float(text)
    elif _DURATION.fullmatch(text):
        seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(text))
    else:
        return None
    return seconds if seconds <= MAX_RESET_SECONDS else None


def _short(value: str | None) -> str:
    text = (value or "").strip()
    return text if len(text) <= _MAX_CHARACTERS else ""
