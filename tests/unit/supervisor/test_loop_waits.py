"""The loop sleeps until the next thing it has to do, no longer and no shorter."""

import pytest

from shared.errors import RetryReason
from supervisor.runtime.events import PauseRequested
from supervisor.task_api.answers import Health, PollRequest, PollResult, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.house import House

SOON = 0.25
BUSY = ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "busy", SOON)


def make_house(**fields: object) -> House:
    house = House(make_settings(concurrency_limit=1, **fields))
    house.start_workers()
    return house


def look(house: House) -> None:
    """Let a look be just behind, so that the next one is a second away."""
    house.clock.advance(1.0)
    house.turn()


def test_idle_loop_wakes_once_a_second() -> None:
    house = make_house()
    look(house)
    assert house.wait() == 1.0


def test_change_is_shown_within_a_tenth_of_a_second() -> None:
    house = make_house()
    look(house)
    house.clock.advance(0.0625)
    house.turn(PauseRequested())
    assert house.wait() == pytest.approx(0.1 - 0.0625)


def test_loop_wakes_for_the_next_poll() -> None:
    house = make_house(polling_min_interval_seconds=SOON)
    look(house)
    house.list_tasks("a")
    assert house.wait() == pytest.approx(0.1)
    house.clock.advance(0.125)
    house.turn()
    assert house.wait() == pytest.approx(SOON - 0.125)


def test_loop_wakes_for_the_deadline_of_a_unit() -> None:
    house = make_house(task_timeout_seconds=1.0 + SOON)
    house.list_tasks("a")
    house.poller.requests.append(PollRequest(0))
    look(house)
    assert house.wait() == SOON


def test_loop_wakes_for_the_end_of_the_drain() -> None:
    house = make_house(drain_timeout_seconds=1.0 + SOON)
    house.list_tasks("a")
    house.stop()
    look(house)
    assert house.wait() == SOON


def test_loop_wakes_for_a_retry() -> None:
    house = make_house()
    house.list_tasks("a")
    house.fail(0, retry=RetryReason.TIMEOUT, retry_after_seconds=1.0 + SOON)
    look(house)
    assert house.wait() == SOON


def test_loop_wakes_for_the_end_of_a_pause_that_the_provider_asked_for() -> None:
    house = make_house()
    house.list_tasks("a")
    house.fail(0, retry=RetryReason.RATE_LIMIT, retry_after_seconds=1.0 + SOON)
    look(house)
    assert house.wait() == SOON


def test_loop_wakes_for_a_report_that_is_to_be_sent_again() -> None:
    house = make_house()
    house.list_tasks("a")
    house.finish(0)
    look(house)
    house.answer(answer=BUSY)
    house.clock.advance(0.125)
    house.turn()
    assert house.wait() == 0.125


def test_loop_wakes_for_a_claim_that_is_to_be_sent_again() -> None:
    house = make_house(claim_tasks=True)
    house.list_tasks("a")
    look(house)
    house.answer_claim(answer=BUSY)
    house.clock.advance(0.125)
    house.turn()
    assert house.wait() == 0.125


def test_loop_wakes_when_the_api_may_be_called_again() -> None:
    house = make_house()
    house.poll_fails(PollResult.RATE_LIMITED, Health.UNKNOWN, 1.0 + SOON)
    look(house)
    assert house.wait() == SOON


def test_loop_does_not_wait_for_what_is_due() -> None:
    house = make_house()
    house.list_tasks("a")
    house.fail(0, retry=RetryReason.TIMEOUT, retry_after_seconds=1.0)
    house.clock.advance(5.0)
    assert house.wait() == 0.0


def test_loop_with_a_full_disk_tries_again_once_a_second() -> None:
    house = make_house()
    house.disk.full = True
    house.list_tasks("a")
    look(house)
    assert house.wait() == 1.0
