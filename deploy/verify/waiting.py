"""Waiting for a condition, never for a guess of how long it takes."""

import time
from collections.abc import Callable
from typing import TypeVar

from deploy.verify.commands import CheckFailedError

T = TypeVar("T")
REFRESH_SECONDS = 0.1


def wait_for(what: str, probe: Callable[[], T | None], limit_seconds: float) -> T:
    """The first answer of `probe` that is neither None nor False. Raises CheckFailedError when time is up."""
    deadline = time.monotonic() + limit_seconds
    while True:
        answer = probe()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            raise CheckFailedError(f"waited {limit_seconds:g} s in vain for: {what}")
        time.sleep(REFRESH_SECONDS)
