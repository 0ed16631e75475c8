"""Waiting for what must come true, in place of sleeps that guess."""

import time
from collections.abc import Callable
from typing import TypeVar

REFRESH_SECONDS = 0.02

Result = TypeVar("Result")


def eventually(condition: Callable[[], Result], timeout_seconds: float = 20.0, what: str = "") -> Result:
    """The first true value of `condition`. Fails the test when there is none in time.

    `what` says in the failure what was waited for.
    """
    deadline = time.monotonic() + timeout_seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds:g} s: {what or condition}; last: {result!r}")
        time.sleep(REFRESH_SECONDS)
    return result
