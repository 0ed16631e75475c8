"""Whose fault a failure is: a row for each row of the table of provider errors, and for each trap it has."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import HOLD_REASONS, Blame, RetryReason
from shared.messages import Failure
from supervisor.providers.decision import (
    CanaryAnswer,
    Decision,
    Facts,
    FailedUnit,
    attempts_needed,
    decide,
)

NEEDED = 4
NOTHING_SERVED = Facts(attempts_needed=NEEDED)
SERVED_SINCE = replace(NOTHING_SERVED, served_since=True, served_lately=True)
SERVED_BEFORE = replace(NOTHING_SERVED, served_lately=True)
CANARY_SERVED = replace(NOTHING_SERVED, canary=CanaryAnswer.SERVED, served_lately=True)
CANARY_REFUSED = replace(NOTHING_SERVED, canary=CanaryAnswer.REFUSED)
CANARY_FAILED = replace(NOTHING_SERVED, canary=CanaryAnswer.FAILED)
OTHERS_SERVED = replace(NOTHING_SERVED, others_served=True)
DOWN = replace(SERVED_SINCE, provider_up=False)


def alone(what: RetryReason | Blame, attempts: int = 0, setbacks: int = 0) -> FailedUnit:
    return FailedUnit(failure(what), inputs=1, setbacks=setbacks, attempts=attempts)


def batch(what: RetryReason | Blame, setbacks: int = 0) -> FailedUnit:
    return FailedUnit(failure(what), inputs=40, setbacks=setbacks, attempts=0)


def failure(what: RetryReason | Blame) -> Failure:
    if isinstance(what, RetryReason):
        return Failure("it went wrong", retry=what)
    return Failure("no", blame=what)


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    unit: FailedUnit
    facts: Facts
    decision: Decision


LAST = NEEDED - 1
TABLE = [
    # Nothing was sent: no name, no connection, no TLS, a proxy that refuses.
    Row("not sent, batch", batch(RetryReason.CONNECTION), SERVED_SINCE, Decision.RETRY),
    Row("not sent, alone, often", alone(RetryReason.CONNECTION, attempts=99), SERVED_SINCE, Decision.RETRY),
    Row("not sent, provider down", batch(RetryReason.CONNECTION), DOWN, Decision.PUT_BACK),
    # A timeout, a 5xx, an answer that cannot be used or broke off.
    Row("500 of a batch, first", batch(RetryReason.SERVER_ERROR), SERVED_SINCE, Decision.RETRY),
    Row("500 of a batch, again", batch(RetryReason.SERVER_ERROR, 1), SERVED_SINCE, Decision.HALVE),
    Row("500 of a half", batch(RetryReason.SERVER_ERROR, 2), SERVED_SINCE, Decision.HALVE),
    Row("bad answer to a batch, again", batch(RetryReason.BAD_RESPONSE, 1), SERVED_SINCE, Decision.HALVE),
    Row("cut off in a batch, again", batch(RetryReason.DISCONNECTED, 1), SERVED_SINCE, Decision.HALVE),
    Row("timeout of a batch, first", batch(RetryReason.TIMEOUT), SERVED_SINCE, Decision.HALVE),
    Row(
        "500 of a batch that may be too large",
        batch(RetryReason.SERVER_ERROR),
        replace(SERVED_SINCE, size_in_doubt=True),
        Decision.HALVE,
    ),
    Row("500 of a batch, provider down", batch(RetryReason.SERVER_ERROR, 1), DOWN, Decision.PUT_BACK),
    Row("500 alone, first", alone(RetryReason.SERVER_ERROR), SERVED_SINCE, Decision.RETRY_COUNTED),
    Row("500 alone, last, others served", alone(RetryReason.SERVER_ERROR, LAST), SERVED_SINCE, Decision.FAIL),
    Row("500 alone, last, unsure", alone(RetryReason.SERVER_ERROR, LAST), SERVED_BEFORE, Decision.ASK_CANARY),
    Row("500 alone, canary served", alone(RetryReason.SERVER_ERROR, LAST), CANARY_SERVED, Decision.FAIL),
    Row("500 alone, canary met it too", alone(RetryReason.SERVER_ERROR, LAST), CANARY_FAILED, Decision.RETRY),
    Row("500 alone, provider down", alone(RetryReason.SERVER_ERROR, 99), DOWN, Decision.PUT_BACK),
    Row(
        "timeout alone, all calls are slow",
        alone(RetryReason.TIMEOUT, 99),
        replace(SERVED_SINCE, congested=True),
        Decision.RETRY,
    ),
    Row(
        "500 alone, last, type without a canary",
        alone(RetryReason.SERVER_ERROR, LAST),
        replace(NOTHING_SERVED, can_ask=False),
        Decision.FAIL,
    ),
    # 429.
    Row("429, first", batch(RetryReason.RATE_LIMIT), SERVED_SINCE, Decision.PUT_BACK),
    Row("429 of a batch, others pass", batch(RetryReason.RATE_LIMIT, 1), SERVED_SINCE, Decision.HALVE),
    Row("429 of a batch, unsure", batch(RetryReason.RATE_LIMIT, 1), SERVED_BEFORE, Decision.ASK_CANARY),
    Row(
        "429 of a batch that may be too large",
        batch(RetryReason.RATE_LIMIT, 1),
        replace(SERVED_BEFORE, size_in_doubt=True),
        Decision.HALVE,
    ),
    Row(
        "429 of what passed before",
        batch(RetryReason.RATE_LIMIT, 99),
        replace(SERVED_SINCE, served_as_large=True),
        Decision.PUT_BACK,
    ),
    Row(
        "429 of less than twice what passed before",
        alone(RetryReason.RATE_LIMIT, 0, 5),
        replace(SERVED_SINCE, served_half_as_large=True),
        Decision.PUT_BACK,
    ),
    Row(
        "400 of a model, canary refused, others served",
        batch(Blame.SOME_TASKS),
        replace(CANARY_REFUSED, others_served=True),
        Decision.HOLD_MODEL,
    ),
    Row("429 of a batch, canary passes", batch(RetryReason.RATE_LIMIT, 1), CANARY_SERVED, Decision.HALVE),
    Row("429 of a batch, canary too", batch(RetryReason.RATE_LIMIT, 1), CANARY_FAILED, Decision.RETRY),
    Row("429 alone, others pass", alone(RetryReason.RATE_LIMIT, 0, 1), SERVED_SINCE, Decision.RETRY_COUNTED),
    Row("429 alone, last, others pass", alone(RetryReason.RATE_LIMIT, LAST), SERVED_SINCE, Decision.FAIL),
    Row("429 alone, nobody passes", alone(RetryReason.RATE_LIMIT, 99), CANARY_FAILED, Decision.RETRY),
    # An answer that is no result.
    Row("cut off, alone, nothing known", alone(Blame.ANSWER), NOTHING_SERVED, Decision.FAIL),
    Row("cut off, in a batch", batch(Blame.ANSWER), SERVED_BEFORE, Decision.FAIL),
    # 400, 413, 422.
    Row("400 of a batch, unsure", batch(Blame.SOME_TASKS), NOTHING_SERVED, Decision.ASK_CANARY),
    Row("400 of a batch, served before only", batch(Blame.SOME_TASKS), SERVED_BEFORE, Decision.ASK_CANARY),
    Row("400 of a batch, others served", batch(Blame.SOME_TASKS), SERVED_SINCE, Decision.HALVE),
    Row("400 of a batch, canary served", batch(Blame.SOME_TASKS), CANARY_SERVED, Decision.HALVE),
    Row("400 of a batch, canary refused", batch(Blame.SOME_TASKS), CANARY_REFUSED, Decision.HOLD_PROVIDER),
    Row("400 of a batch, canary lost", batch(Blame.SOME_TASKS), CANARY_FAILED, Decision.RETRY),
    Row("400 alone, unsure", alone(Blame.SOME_TASKS), SERVED_BEFORE, Decision.ASK_CANARY),
    Row("400 alone, others served", alone(Blame.SOME_TASKS), SERVED_SINCE, Decision.FAIL),
    Row("400 alone, canary served", alone(Blame.SOME_TASKS), CANARY_SERVED, Decision.FAIL),
    Row("400 alone, canary refused", alone(Blame.SOME_TASKS), CANARY_REFUSED, Decision.HOLD_PROVIDER),
    Row(
        "400 alone, of a kind that was a task's before",
        alone(Blame.SOME_TASKS),
        replace(SERVED_BEFORE, known_refusal=True),
        Decision.FAIL,
    ),
    # The model is refused by name, or dimensions are ignored.
    Row("model refused by name", batch(Blame.WHOLE_UNIT), NOTHING_SERVED, Decision.FAIL),
    # 404 that does not say what is missing.
    Row("404, nothing served", batch(Blame.MODEL_OR_ADDRESS), NOTHING_SERVED, Decision.HOLD_MODEL),
    Row("404, other models served", batch(Blame.MODEL_OR_ADDRESS), OTHERS_SERVED, Decision.FAIL),
    Row(
        "404, the model itself was served lately",
        batch(Blame.MODEL_OR_ADDRESS),
        replace(OTHERS_SERVED, served_lately=True),
        Decision.ASK_CANARY,
    ),
    Row("404 of a batch, the canary is served", batch(Blame.MODEL_OR_ADDRESS), CANARY_SERVED, Decision.RETRY),
    Row("404 of a batch again, served since", batch(Blame.MODEL_OR_ADDRESS, 1), SERVED_SINCE, Decision.HALVE),
    Row("404 alone, served since", alone(Blame.MODEL_OR_ADDRESS), SERVED_SINCE, Decision.RETRY_COUNTED),
    Row("404 alone, last, served since", alone(Blame.MODEL_OR_ADDRESS, LAST), SERVED_SINCE, Decision.FAIL),
    # The processor's own error: no provider said anything, so none is asked.
    Row("exception in a batch", batch(Blame.PROCESSOR), NOTHING_SERVED, Decision.HALVE),
    Row("exception alone", alone(Blame.PROCESSOR), NOTHING_SERVED, Decision.FAIL),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_table_of_decisions(row: Row) -> None:
    assert decide(row.unit, row.facts) is row.decision


@pytest.mark.parametrize("reason", sorted(HOLD_REASONS))
@pytest.mark.parametrize("facts", [NOTHING_SERVED, SERVED_SINCE, DOWN])
def test_provider_that_refuses_the_service_fails_nothing(reason: RetryReason, facts: Facts) -> None:
    assert decide(alone(reason, attempts=99), facts) is Decision.PUT_BACK
    assert decide(batch(reason, setbacks=99), facts) is Decision.PUT_BACK


FACTS = st.builds(
    Facts,
    provider_up=st.booleans(),
    served_since=st.booleans(),
    served_lately=st.booleans(),
    others_served=st.booleans(),
    known_refusal=st.booleans(),
    congested=st.booleans(),
    can_ask=st.just(True),
    attempts_needed=st.integers(1, 16),
    canary=st.sampled_from(CanaryAnswer),
)
PROVIDER_SAID = st.sampled_from(
    [*sorted(set(RetryReason) - {RetryReason.CRASH}), Blame.SOME_TASKS, Blame.MODEL_OR_ADDRESS]
)


@given(what=PROVIDER_SAID, facts=FACTS, attempts=st.integers(0, 20), setbacks=st.integers(0, 5))
def test_no_task_fails_for_what_a_provider_said_unless_something_else_was_served(
    what: RetryReason | Blame, facts: Facts, attempts: int, setbacks: int
) -> None:
    if decide(alone(what, attempts, setbacks), facts) is Decision.FAIL:
        served = facts.served_since or facts.canary is CanaryAnswer.SERVED
        assert served or facts.known_refusal or facts.others_served


@given(what=PROVIDER_SAID, facts=FACTS, setbacks=st.integers(0, 5))
def test_no_failure_of_a_batch_fails_its_tasks(
    what: RetryReason | Blame, facts: Facts, setbacks: int
) -> None:
    if what is not Blame.MODEL_OR_ADDRESS:
        assert decide(batch(what, setbacks), facts) is not Decision.FAIL


@pytest.mark.parametrize(
    ("max_retries", "chance", "needed"),
    [(3, 0.0, 4), (0, 0.0, 1), (3, 0.01, 4), (3, 0.15, 8), (3, 0.3, 12), (3, 0.9, 16), (20, 0.9, 21)],
)
def test_more_failures_in_a_row_are_needed_where_calls_fail_by_chance(
    max_retries: int, chance: float, needed: int
) -> None:
    assert attempts_needed(max_retries, chance) == needed
