"""A provider that enforces its limits: how much of that is used, and how often is it asked too much?"""

import math
import time
from dataclasses import dataclass

from benchmarks.contenders import Contender
from benchmarks.course import WARM_SECONDS, Course, Pace, course
from benchmarks.load import TEXT_CHARACTERS
from benchmarks.stubs.provider import CHARACTERS_A_TOKEN

REQUESTS_PER_MINUTE = 300
TOKENS_PER_MINUTE = 150_000
PACE = Pace(2, 100, 0.2, REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE)
MINUTE_SECONDS = 60.0
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Limits:
    """One run. Shares are 0 to 1: of the allowed tokens, and of all requests."""

    contender: Contender
    minutes: int
    share_of_tokens: float
    share_refused: float
    calls: int
    refused: int
    failed: int
    paid_twice: int


def run_limits(contender: Contender, minutes: int) -> Limits:
    """For `minutes` from the first call on, with more work than is allowed. RunFailedError without a call.

    The contender is not warm: what warming up costs would be missing from its first minute.
    """
    seconds = minutes * MINUTE_SECONDS
    enough = (minutes + 2) * TOKENS_PER_MINUTE / (TEXT_CHARACTERS / CHARACTERS_A_TOKEN)
    with course(contender, PACE) as running:
        running.wait_until(lambda: bool(running.api.get("stats")["polls"]), "it polls", WARM_SECONDS)
        running.api.post(f"seed?count={math.ceil(enough)}&characters={TEXT_CHARACTERS}")
        running.wait_until(
            lambda: bool(running.provider.get("grants")), "the provider is called", WARM_SECONDS
        )
        end = running.provider.get("grants")[0][0] + seconds
        over = f"{minutes} minutes are over"
        running.wait_until(lambda: time.monotonic() >= end, over, seconds + PATIENCE_SECONDS)
        return _measured(contender, running, minutes, end)


def _measured(contender: Contender, running: Course, minutes: int, end: float) -> Limits:
    sold, reported = running.provider.get("stats"), running.api.get("stats")
    tokens = sum(tokens for moment, tokens in running.provider.get("grants") if moment < end)
    return Limits(
        contender=contender,
        minutes=minutes,
        share_of_tokens=tokens / (TOKENS_PER_MINUTE * minutes),
        share_refused=sold["refused"] / (sold["refused"] + sold["calls"]),
        calls=sold["calls"],
        refused=sold["refused"],
        failed=reported["failed"],
        paid_twice=sold["paid_twice"],
    )
