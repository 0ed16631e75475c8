"""When to try again: full-jitter exponential backoff, and the Retry-After header."""

import email.utils
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_BACKOFF_SECONDS = 60.0
MAX_RETRY_AFTER_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Full jitter: a wait drawn evenly from 0 to factor**n, so that a crowd of retries spreads out.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    `draw(low, high)` is `random.uniform` or a stand-in of a test.
    """

    factor: float
    draw: Callable[[float, float], float]
    ceiling_seconds: float = MAX_BACKOFF_SECONDS

    def seconds(self, attempt: int) -> float:
        """The wait before retry number `attempt`, counted from 1."""
        return self.draw(0.0, self.bound_seconds(attempt))

    def bound_seconds(self, attempt: int) -> float:
        """The longest that `seconds(attempt)` can be."""
        try:
            return min(self.factor**attempt, self.ceiling_seconds)
        except OverflowError:
            return self.ceiling_seconds


def parse_retry_after(headers: Mapping[str, str], wall_seconds: float) -> float | None:
    """Seconds that an answer asks to wait; None when it does not say, or says nonsense.

    Knows `retry-after-ms` (milliseconds), and `Retry-After` as seconds or as an HTTP date, which is
    compared with `wall_seconds` (epoch). `headers` ignore the case of names. A wait of 0 or a date in the
    past counts as not said: obeyed, it would make a busy loop. An hour at most: no header stops us for a day.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None and milliseconds > 0:
        return _bounded(milliseconds / 1000.0)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return _bounded(seconds)
    if value is None:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(value)
        return _bounded(moment.timestamp() - wall_seconds)
    except (ValueError, TypeError, OverflowError):
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) else None


def _bounded(seconds: float) -> float | None:
    return min(seconds, MAX_RETRY_AFTER_SECONDS) if seconds > 0 else None
