"""Waiting for what must come true, in place of sleeps that guess."""

import time
from collections.abc import Callable
from typing import TypeVar

MIN_REFRESH_SECONDS = 0.01
MAX_REFRESH_SECONDS = 0.05

Result = TypeVar("Result")


def eventually(condition: Callable[[], Result], timeout_seconds: float = 20.0, what: str = "") -> Result:
    """The first true value of `condition`. Fails the test when there is none in time.

    `what` says in the failure what was waited for. The longer the wait, the more seldom it looks: each look
    at a service that starts takes time from its start.
    """
    began_at = time.monotonic()
    while not (result := condition()):
        waited_seconds = time.monotonic() - began_at
        if waited_seconds > timeout_seconds:
            raise AssertionError(f"not within {timeout_seconds:g} s: {what or condition}; last: {result!r}")
        time.sleep(min(max(waited_seconds / 10, MIN_REFRESH_SECONDS), MAX_REFRESH_SECONDS))
    return result
