"""A provider that has had enough, or refuses the service as a whole, costs no task an attempt."""

import pytest

from shared.errors import HOLD_REASONS, Blame, RetryReason
from supervisor.status.status import NotReady
from tests.builders import make_settings
from tests.fakes.house import House
from tests.readings import reading
from tests.unit.supervisor.one_worker import held, make_house, told

TYPE = "text-embedding"


@pytest.mark.parametrize("retry_after", [None, 7.0])
def test_rate_limit_holds_every_worker_and_counts_no_attempt(retry_after: float | None) -> None:
    house = House(make_settings(concurrency_limit=3))
    house.start_workers()
    house.list_tasks(*"abcdef")
    house.fail(0, retry=RetryReason.RATE_LIMIT, retry_after_seconds=retry_after)
    house.finish(1)
    assert 0 not in house.held
    assert 1 not in house.held
    pause = retry_after or 1.0
    house.pass_time(pause - 0.01)
    assert set(house.held) == {2}
    house.pass_time(0.02)
    assert sorted(held(house)) == ["a", "b", "e", "f"]
    assert all(
        not record.attempts for slot in house.table if slot.assignment for record in slot.assignment.records
    )
    assert reading(house.metrics.retries, TYPE, "rate_limit") == 2


def test_rate_limit_that_nothing_passes_never_fails_a_task_however_often_it_comes() -> None:
    house = make_house("a", max_retries=1)
    for _ in range(30):
        house.fail(0, retry=RetryReason.RATE_LIMIT)
        house.pass_time(130.0)
        assert house.held
    assert told(house) == {}


def test_task_that_never_passes_the_rate_limit_while_others_do_is_failed() -> None:
    house = make_house("a" * 100, max_retries=1)
    for _ in range(3):
        house.fail(0, "request too large for the limit a minute", retry=RetryReason.RATE_LIMIT)
        house.pass_time(70.0)
        house.serve_canaries()
        house.pass_time(70.0)
    assert told(house) == {"a" * 100: "request too large for the limit a minute (gave up after 2 attempts)"}


def test_batch_that_the_rate_limit_refuses_again_while_others_pass_is_halved() -> None:
    house = make_house(*"abcd")
    house.fail(0, retry=RetryReason.RATE_LIMIT)
    house.pass_time(1.0)
    assert held(house) == ["a", "b", "c", "d"]
    house.fail(0, retry=RetryReason.RATE_LIMIT)
    house.pass_time(2.0)
    assert house.serve_canaries() == 1
    assert held(house) == ["a", "b"]


@pytest.mark.parametrize("reason", sorted(HOLD_REASONS - {RetryReason.REFUSED}))
def test_provider_that_refuses_the_service_fails_no_task(reason: RetryReason) -> None:
    house = make_house("a", "b", "c", max_retries=1)
    house.fail(0, "check OPENAI_API_KEY", retry=reason)
    assert NotReady.PROVIDER_HOLD in house.status.not_ready
    for _ in range(5):
        assert held(house) == []
        house.pass_time(59.0)
        assert held(house) == []
        house.pass_time(1.1)
        assert held(house) == ["a"]
        house.fail(0, "check OPENAI_API_KEY", retry=reason)
    house.pass_time(61.0)
    house.finish(0)
    assert NotReady.PROVIDER_HOLD not in house.status.not_ready
    assert held(house) == ["b", "c"]
    house.finish(0)
    assert told(house) == dict.fromkeys("abc", "succeeded")


@pytest.mark.parametrize("blame", sorted(set(Blame) - {Blame.MODEL_OR_ADDRESS}))
def test_refusal_of_the_input_shows_that_the_provider_is_well(blame: Blame) -> None:
    house = make_house("a", "b", circuit_breaker_threshold=1)
    house.fail(0, retry=RetryReason.CONNECTION)
    house.pass_time(3.75)
    assert held(house) == ["a"]
    house.fail(0, "bad input", blame=blame)
    house.serve_canaries()
    assert held(house) == ["b"]
    assert house.status.breakers[1].state == "closed"
    assert told(house) == {"a": "bad input"}
