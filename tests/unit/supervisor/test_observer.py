"""The status that the loop pins, of a whole service on fakes."""

import pytest

from shared.errors import RetryReason
from supervisor.console.notices.summary import all_notices
from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.runtime.events import PauseRequested
from supervisor.status.status import Idle, NotReady, Phase
from supervisor.task_api.responses import Health, PollResult, ReportOutcome
from tests.builders import make_output, make_settings
from tests.fakes.harness import Harness


def test_idle_service_says_when_it_polls_again(harness: Harness) -> None:
    harness.list_tasks()
    status = harness.status
    assert status.idle is Idle.NO_WORK
    assert status.wait_seconds == pytest.approx(status.poll.next_in_seconds)
    assert status.poll.next_in_seconds > 0
    assert not status.poll.under_way


def test_working_service_is_not_idle_and_says_what_its_workers_hold(harness: Harness) -> None:
    harness.list_tasks("a", "b")
    status = harness.status
    assert (status.idle, status.wait_seconds, status.in_flight) == (None, None, 2)
    holding = [worker for worker in status.workers if worker.tasks_held]
    assert {worker.model for worker in holding} == {"text-embedding-3-small"}


def test_finished_failed_and_died_are_in_the_history(harness: Harness) -> None:
    harness.list_tasks("good", "bad", "poison")
    slots = {unit.tasks[0].id: slot for slot, unit in harness.held.items()}
    harness.finish(slots["good"], make_output(tokens=7))
    harness.fail(slots["bad"], "no such thing as 'text of bad'")
    assert harness.serve_canaries() == 1
    harness.die(slots["poison"])
    status = harness.status
    assert (status.activity.total.succeeded, status.activity.total.failed) == (1, 1)
    assert [(row.model, row.tokens) for row in status.tokens] == [("text-embedding-3-small", 7)]
    assert [(row.task_id, row.message) for row in status.failures] == [("bad", "no such thing as '[text]'")]
    assert [(row.slot, row.tasks_held) for row in status.deaths] == [(slots["poison"], 1)]
    assert "SIGKILL" in status.deaths[0].how


def test_rate_limited_service_says_for_how_long(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.fail(0, retry=RetryReason.RATE_LIMIT, retry_after_seconds=12.0)
    status = harness.status
    assert (status.idle, status.provider.blocked) == (Idle.RATE_LIMITED, Idle.RATE_LIMITED)
    assert status.wait_seconds == pytest.approx(12.0)


def test_service_at_its_own_ceiling_says_when_it_goes_on() -> None:
    harness = Harness(make_settings(openai_requests_per_minute=1))
    harness.start_workers()
    harness.list_tasks("a")
    harness.finish(0)
    harness.pass_time(10.0)
    harness.list_tasks("b")
    status = harness.status
    assert (status.idle, status.provider.blocked) == (Idle.RATE_LIMITED, None)
    assert status.wait_seconds == pytest.approx(50.1)
    assert [(row.kind, row.remaining, row.limit) for row in status.rate_limits] == [("requests", 0, 1)]


def test_held_service_says_why_and_when_it_tries_again(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.fail(0, "You exceeded your current quota.", retry=RetryReason.QUOTA)
    status = harness.status
    assert status.idle is Idle.PROVIDER_HOLD
    assert [(hold.reason, hold.message) for hold in status.holds] == [
        ("quota", "You exceeded your current quota.")
    ]
    assert status.wait_seconds == pytest.approx(60.0)
    assert NotReady.PROVIDER_HOLD in status.not_ready


def test_service_whose_api_is_down_says_until_when() -> None:
    harness = Harness(make_settings(circuit_breaker_threshold=1, circuit_breaker_recovery_seconds=42.0))
    harness.start_workers()
    harness.poll_fails(PollResult.UNREACHABLE, Health.UNHEALTHY)
    status = harness.status
    assert status.idle is Idle.API_CIRCUIT_OPEN
    assert status.wait_seconds == pytest.approx(42.0 / 16)
    assert status.breakers[0].state is BreakerState.OPEN
    assert status.breakers[0].probe_in_seconds == pytest.approx(42.0 / 16)


def test_task_that_waits_for_its_retry_says_how_long(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.fail(0, retry=RetryReason.TIMEOUT, retry_after_seconds=4.0)
    status = harness.status
    assert status.idle is Idle.RETRY_WAIT
    assert status.wait_seconds == pytest.approx(4.0)


def test_paused_and_draining_services_say_so(harness: Harness) -> None:
    harness.turn(PauseRequested())
    assert (harness.status.phase, harness.status.idle) == (Phase.PAUSED, Idle.PAUSED)
    assert harness.status.drain_seconds_left is None
    harness.stop()
    assert harness.status.phase is Phase.DRAINING
    assert harness.status.drain_seconds_left == pytest.approx(25.0)


def test_full_disk_is_the_reason(harness: Harness) -> None:
    harness.disk.fill()
    harness.list_tasks("a")
    assert NotReady.JOURNAL_UNWRITABLE in harness.status.not_ready
    assert all_notices(harness.status)[0].title.startswith("Disk:")


def test_rejected_reports_are_counted(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.finish(0)
    harness.answer(outcome=ReportOutcome.REJECTED)
    assert harness.status.rejected == 1


def test_age_of_the_picture_is_told_to_who_asks(harness: Harness) -> None:
    harness.clock.advance(1.0)
    harness.turn()
    harness.clock.advance(45.0)
    status = harness.board.read_aged(harness.clock())
    assert status is not None
    assert status.loop_silent_seconds == pytest.approx(45.0)
