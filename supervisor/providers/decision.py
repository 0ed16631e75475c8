"""Whose fault is a failure, and so what happens next to the tasks that met it. One pure function.

Two rules stand behind the table. A failure of a batch says nothing about each of its tasks: only a task that
fails alone can be at fault. And before a task is FAILED for what a provider said, the same provider must have
served something else for the same model: another task since, or a canary, a question with a known answer.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from shared.errors import HOLD_REASONS, Blame, RetryReason
from shared.messages import Failure

MAX_ATTEMPTS_IN_TROUBLE = 16
MAX_RATE_LIMITS_AT_HALF_THE_SIZE = 20
CHANCE_OF_A_FALSE_VERDICT = 1e-6


class Decision(StrEnum):
    """What becomes of the tasks of a unit that failed."""

    FAIL = "fail"
    """They are at fault: FAILED, with the provider's words."""
    HALVE = "halve"
    """Each half runs by itself."""
    RETRY_COUNTED = "retry_counted"
    """Again after a backoff. The attempt counts toward MAX_RETRIES."""
    RETRY = "retry"
    """Again after a backoff. Nothing is counted."""
    PUT_BACK = "put_back"
    """Again as soon as the provider may be called. Nothing is counted."""
    ASK_CANARY = "ask_canary"
    """They wait for the answer to a canary."""
    HOLD_PROVIDER = "hold_provider"
    """The provider refuses everything: nothing goes to it until a person has acted."""
    HOLD_MODEL = "hold_model"
    """The provider does not serve this model: its tasks wait, others go on."""


class CanaryAnswer(StrEnum):
    """What came of the canary that was asked because of this failure."""

    NOT_ASKED = "not_asked"
    SERVED = "served"
    REFUSED = "refused"
    FAILED = "failed"
    """It met trouble of its own, or was lost: nothing is known."""


@dataclass(frozen=True, slots=True)
class FailedUnit:
    """A unit that failed as a whole."""

    failure: Failure
    inputs: int
    """Different inputs in it. Tasks that ask the same count once."""
    setbacks: int
    """The most failures that one of its tasks has met before without their being counted as its own."""
    attempts: int
    """Counted failures of its task before this one."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the provider, and about the model that the unit asked for."""

    provider_up: bool = True
    """Its breaker is closed, and it is not on hold."""
    served_since: bool = False
    """It has served a call for the model that began after the failed one."""
    served_lately: bool = False
    """It has served the model in the last minutes."""
    others_served: bool = False
    """It has served another model in the last minutes."""
    known_refusal: bool = False
    """This refusal was found to be the task's fault before, and the model is served."""
    size_in_doubt: bool = False
    """Batches of this size may be too large: a smaller one failed, or the limit is being searched."""
    served_as_large: bool = False
    """It has served a call for the model that was at least as large."""
    served_half_as_large: bool = False
    """It has served one that was at least half as large."""
    congested: bool = False
    """Calls that succeed take so long that others time out."""
    can_ask: bool = True
    """There is a canary for the task type."""
    attempts_needed: int = 4
    """Failures of a task alone that make it FAILED."""
    canary: CanaryAnswer = CanaryAnswer.NOT_ASKED


def decide(unit: FailedUnit, facts: Facts) -> Decision:
    """What becomes of the tasks of `unit`."""
    reason = unit.failure.retry
    if reason is None:
        return _after_refusal(unit, facts)
    if reason in HOLD_REASONS or not facts.provider_up:
        return Decision.PUT_BACK
    if reason is RetryReason.CONNECTION or facts.canary in (CanaryAnswer.REFUSED, CanaryAnswer.FAILED):
        return Decision.RETRY
    if reason is RetryReason.RATE_LIMIT:
        return _after_rate_limit(unit, facts)
    return _after_trouble(unit, facts)


def attempts_needed(max_retries: int, chance_of_failure: float) -> int:
    """Failures in a row after which a task that runs alone is at fault.

    MAX_RETRIES + 1 while the provider fails nothing by chance. Where it fails calls at random, so many that
    a task without fault meets them once in a million times, but 16 at most.
    """
    if chance_of_failure <= 0:
        return max_retries + 1
    by_chance = math.ceil(math.log(CHANCE_OF_A_FALSE_VERDICT) / math.log(min(chance_of_failure, 0.99)))
    return max(max_retries + 1, min(by_chance, MAX_ATTEMPTS_IN_TROUBLE))


def _after_refusal(unit: FailedUnit, facts: Facts) -> Decision:
    """The provider, or the processor itself, says that the same call would fail again."""
    blame = unit.failure.blame
    if blame in (Blame.WHOLE_UNIT, Blame.ANSWER):
        return Decision.FAIL
    if blame is Blame.MODEL_OR_ADDRESS:
        if _is_served(facts):
            return _after_trouble(unit, facts)  # the model is there: one of several servers may be without it
        if facts.served_lately and facts.can_ask and facts.canary is CanaryAnswer.NOT_ASKED:
            return Decision.ASK_CANARY
        gone = facts.others_served and not facts.served_lately
        return Decision.FAIL if gone else Decision.HOLD_MODEL
    if blame is Blame.SOME_TASKS and facts.can_ask:
        if facts.canary is CanaryAnswer.REFUSED:
            return Decision.HOLD_MODEL if facts.others_served else Decision.HOLD_PROVIDER
        if facts.canary is CanaryAnswer.FAILED:
            return Decision.RETRY
        if not (_is_served(facts) or facts.known_refusal):
            return Decision.ASK_CANARY
    return Decision.FAIL if unit.inputs == 1 else Decision.HALVE


def _after_rate_limit(unit: FailedUnit, facts: Facts) -> Decision:
    """Too much for now, or too large for ever, which only what is larger than all that passed can be."""
    if not unit.setbacks and not unit.attempts:
        return Decision.PUT_BACK
    if unit.inputs > 1 and facts.size_in_doubt:
        return Decision.HALVE
    many_times = unit.setbacks >= MAX_RATE_LIMITS_AT_HALF_THE_SIZE
    if facts.served_as_large or (facts.served_half_as_large and not many_times):
        return Decision.PUT_BACK
    if not _is_served(facts):
        return Decision.ASK_CANARY if facts.can_ask else Decision.PUT_BACK
    return _last_attempt(unit, facts) if unit.inputs == 1 else Decision.HALVE


def _after_trouble(unit: FailedUnit, facts: Facts) -> Decision:
    """A timeout, a server error, an answer that cannot be used or did not come."""
    timed_out = unit.failure.retry is RetryReason.TIMEOUT
    if unit.inputs > 1:
        # The same batch would take as long, or be as large, again.
        again = unit.setbacks or timed_out or facts.size_in_doubt
        return Decision.HALVE if again else Decision.RETRY
    if timed_out and facts.congested:
        return Decision.RETRY
    return _last_attempt(unit, facts)


def _last_attempt(unit: FailedUnit, facts: Facts) -> Decision:
    if unit.attempts + 1 < facts.attempts_needed:
        return Decision.RETRY_COUNTED
    if _is_served(facts) or not facts.can_ask:
        return Decision.FAIL
    return Decision.ASK_CANARY


def _is_served(facts: Facts) -> bool:
    return facts.served_since or facts.canary is CanaryAnswer.SERVED
