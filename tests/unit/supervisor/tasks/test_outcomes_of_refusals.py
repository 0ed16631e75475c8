"""A provider that has had enough, or refuses the service as a whole, costs no task an attempt."""

import pytest

from shared.errors import HOLD_REASONS, Blame, RetryReason
from supervisor.status.status import NotReady
from tests.builders import make_settings
from tests.fakes.harness import Harness
from tests.readings import reading
from tests.unit.supervisor.tasks.one_worker import held, make_harness, told

TYPE = "text-embedding"


@pytest.mark.parametrize("retry_after", [None, 7.0])
def test_rate_limit_holds_every_worker_and_counts_no_attempt(retry_after: float | None) -> None:
    harness = Harness(make_settings(concurrency_limit=3))
    harness.start_workers()
    harness.list_tasks(*"abcdef")
    harness.fail(0, retry=RetryReason.RATE_LIMIT, retry_after_seconds=retry_after)
    harness.finish(1)
    assert 0 not in harness.held
    assert 1 not in harness.held
    pause = retry_after or 1.0
    harness.pass_time(pause - 0.01)
    assert set(harness.held) == {2}
    harness.pass_time(0.02)
    assert sorted(held(harness)) == ["a", "b", "e", "f"]
    assert all(not record.attempts for held in harness.table.assignments() for record in held.records)
    assert reading(harness.metrics.retries, TYPE, "rate_limit") == 2


def test_rate_limit_that_nothing_passes_never_fails_a_task_however_often_it_comes() -> None:
    harness = make_harness("a", max_retries=1)
    for _ in range(15):
        harness.fail(0, retry=RetryReason.RATE_LIMIT)
        harness.pass_time(130.0)
        assert harness.held
    assert told(harness) == {}


def test_task_that_never_passes_the_rate_limit_while_others_do_is_failed() -> None:
    harness = make_harness("a" * 100, max_retries=1)
    for _ in range(3):
        harness.fail(0, "request too large for the limit a minute", retry=RetryReason.RATE_LIMIT)
        harness.pass_time(70.0)
        harness.serve_canaries()
        harness.pass_time(70.0)
    assert told(harness) == {"a" * 100: "request too large for the limit a minute (gave up after 2 attempts)"}


def test_batch_that_the_rate_limit_refuses_again_while_others_pass_is_halved() -> None:
    harness = make_harness(*"abcd")
    harness.fail(0, retry=RetryReason.RATE_LIMIT)
    harness.pass_time(1.0)
    assert held(harness) == ["a", "b", "c", "d"]
    harness.fail(0, retry=RetryReason.RATE_LIMIT)
    harness.pass_time(2.0)
    assert harness.serve_canaries() == 1
    assert held(harness) == ["a", "b"]


@pytest.mark.parametrize("reason", sorted(HOLD_REASONS - {RetryReason.REFUSED}))
def test_provider_that_refuses_the_service_fails_no_task(reason: RetryReason) -> None:
    harness = make_harness("a", "b", "c", max_retries=1)
    harness.fail(0, "check OPENAI_API_KEY", retry=reason)
    assert NotReady.PROVIDER_HOLD in harness.status.not_ready
    for _ in range(5):
        assert held(harness) == []
        harness.pass_time(59.0)
        assert held(harness) == []
        harness.pass_time(1.1)
        assert held(harness) == ["a"]
        harness.fail(0, "check OPENAI_API_KEY", retry=reason)
    harness.pass_time(61.0)
    harness.finish(0)
    assert NotReady.PROVIDER_HOLD not in harness.status.not_ready
    assert held(harness) == ["b", "c"]
    harness.finish(0)
    assert told(harness) == dict.fromkeys("abc", "succeeded")


@pytest.mark.parametrize("blame", sorted(set(Blame) - {Blame.MODEL_OR_ADDRESS}))
def test_refusal_of_the_input_shows_that_the_provider_is_well(blame: Blame) -> None:
    harness = make_harness("a", "b", circuit_breaker_threshold=1)
    harness.fail(0, retry=RetryReason.CONNECTION)
    harness.pass_time(3.75)
    assert held(harness) == ["a"]
    harness.fail(0, "bad input", blame=blame)
    harness.serve_canaries()
    assert held(harness) == ["b"]
    assert harness.status.breakers[1].state == "closed"
    assert told(harness) == {"a": "bad input"}
