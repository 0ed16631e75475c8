"""The loop sleeps until the next thing it has to do, no longer and no shorter."""

import pytest

from shared.errors import RetryReason
from supervisor.runtime.events import PauseRequested
from supervisor.task_api.responses import Health, PollRequest, PollResult, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.harness import Harness

SOON = 0.25
BUSY = ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "busy", SOON)


def make_harness(**fields: object) -> Harness:
    harness = Harness(make_settings(concurrency_limit=1, **fields))
    harness.start_workers()
    return harness


def look(harness: Harness) -> None:
    """Let a look be just behind, so that the next one is a second away."""
    harness.clock.advance(1.0)
    harness.turn()


def test_idle_loop_wakes_once_a_second() -> None:
    harness = make_harness()
    look(harness)
    assert harness.wait() == 1.0


def test_change_is_shown_within_a_tenth_of_a_second() -> None:
    harness = make_harness()
    look(harness)
    harness.clock.advance(0.0625)
    harness.turn(PauseRequested())
    assert harness.wait() == pytest.approx(0.1 - 0.0625)


def test_loop_wakes_for_the_next_poll() -> None:
    harness = make_harness(polling_min_interval_seconds=SOON)
    look(harness)
    harness.list_tasks("a")
    assert harness.wait() == pytest.approx(0.1)
    harness.clock.advance(0.125)
    harness.turn()
    assert harness.wait() == pytest.approx(SOON - 0.125)


def test_loop_wakes_for_the_deadline_of_a_unit() -> None:
    harness = make_harness(task_timeout_seconds=1.0 + SOON)
    harness.list_tasks("a")
    harness.poller.requests.append(PollRequest(0))
    look(harness)
    assert harness.wait() == SOON


def test_loop_wakes_for_the_end_of_the_drain() -> None:
    harness = make_harness(drain_timeout_seconds=1.0 + SOON)
    harness.list_tasks("a")
    harness.stop()
    look(harness)
    assert harness.wait() == SOON


def test_loop_wakes_for_a_retry() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.fail(0, retry=RetryReason.TIMEOUT, retry_after_seconds=1.0 + SOON)
    look(harness)
    assert harness.wait() == SOON


def test_loop_wakes_for_the_end_of_a_pause_that_the_provider_asked_for() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.fail(0, retry=RetryReason.RATE_LIMIT, retry_after_seconds=1.0 + SOON)
    look(harness)
    assert harness.wait() == SOON


def test_loop_wakes_for_a_report_that_is_to_be_sent_again() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.finish(0)
    look(harness)
    harness.answer(answer=BUSY)
    harness.clock.advance(0.125)
    harness.turn()
    assert harness.wait() == 0.125


def test_loop_wakes_for_a_claim_that_is_to_be_sent_again() -> None:
    harness = make_harness(claim_tasks=True)
    harness.list_tasks("a")
    look(harness)
    harness.answer_claim(answer=BUSY)
    harness.clock.advance(0.125)
    harness.turn()
    assert harness.wait() == 0.125


def test_loop_wakes_when_the_api_may_be_called_again() -> None:
    harness = make_harness()
    harness.poll_fails(PollResult.RATE_LIMITED, Health.UNKNOWN, 1.0 + SOON)
    look(harness)
    assert harness.wait() == SOON


def test_loop_does_not_wait_for_what_is_due() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.fail(0, retry=RetryReason.TIMEOUT, retry_after_seconds=1.0)
    harness.clock.advance(5.0)
    assert harness.wait() == 0.0


def test_loop_with_a_full_disk_tries_again_once_a_second() -> None:
    harness = make_harness()
    harness.disk.fill()
    harness.list_tasks("a")
    look(harness)
    assert harness.wait() == 1.0
