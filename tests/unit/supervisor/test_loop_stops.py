"""However the service is told to stop, nothing is half done and the exit code says how it went."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from shared.errors import RetryReason
from supervisor.runtime.events import PauseRequested, StopRequested
from supervisor.runtime.process import ExitCode
from supervisor.status.status import NotReady
from supervisor.task_api.responses import ReportOutcome
from tests.builders import make_settings
from tests.fakes.harness import Harness

Lines = list[MutableMapping[str, Any]]


def on_disk(harness: Harness) -> list[str]:
    """What the next run would work on."""
    return sorted(record.task.id for record in harness.journal.recover(0.0).records)


def run_to_the_end(harness: Harness) -> ExitCode:
    """Run the real loop; what is to happen must wait in the inbox or be over."""
    harness.supervisor.inbox.post(StopRequested())
    return harness.supervisor.run()


def test_idle_service_stops_at_once(harness: Harness) -> None:
    assert run_to_the_end(harness) is ExitCode.DRAINED


def test_what_runs_is_finished_and_reported_first(harness: Harness) -> None:
    harness.list_tasks("a", "b")
    assert harness.stop() is None
    assert NotReady.DRAINING in harness.status.not_ready
    assert harness.finish(0) is None
    assert harness.finish(1) is None
    harness.answer()
    job = harness.report_queue.send_one()
    harness.report_queue.jobs.append(job)
    harness.answer()
    assert harness.turn() is ExitCode.DRAINED
    assert len(harness.journal) == 0


def test_draining_service_polls_and_starts_nothing() -> None:
    harness = Harness(make_settings(concurrency_limit=1, batch_max_tasks=1))
    harness.start_workers()
    harness.list_tasks("a", "b")
    harness.pass_time(1.0)
    harness.stop()
    harness.list_tasks("c")
    harness.finish(0)
    harness.pass_time(5.0)
    assert harness.held == {}
    assert harness.poller.limits == []
    assert not harness.journal.holds("c")


def test_systemd_is_told_once_that_the_service_stops(harness: Harness, log_lines: Lines) -> None:
    harness.list_tasks("a")
    harness.stop()
    harness.stop()
    assert harness.notices.count("STOPPING=1") == 1
    assert [line["event"] for line in log_lines].count("drain_started") == 1


def test_unit_that_never_ends_is_left_for_the_next_run_when_patience_ends(
    harness: Harness, log_lines: Lines
) -> None:
    harness.list_tasks("a")
    harness.stop()
    assert harness.pass_time(24.9) is None
    assert harness.pass_time(0.2) is ExitCode.LEFT_OVER
    assert on_disk(harness) == ["a"]
    (line,) = [line for line in log_lines if line["event"] == "drain_timed_out"]
    assert (line["running"], line["to_report"]) == (1, 0)


def test_report_that_the_api_does_not_take_is_left_for_the_next_run(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.stop()
    harness.finish(0)
    harness.answer(outcome=ReportOutcome.RETRY)
    assert harness.pass_time(26.0) is ExitCode.LEFT_OVER
    assert len(harness.journal.recover(0.0).waiting) == 1


def test_second_request_stops_at_once(harness: Harness, log_lines: Lines) -> None:
    harness.list_tasks("a")
    assert harness.stop() is None
    assert harness.stop() is ExitCode.LEFT_OVER
    assert on_disk(harness) == ["a"]
    assert "stop_forced" in [line["event"] for line in log_lines]


def test_two_requests_at_once_with_nothing_left_over_end_well(harness: Harness) -> None:
    assert harness.turn(StopRequested(), StopRequested()) is ExitCode.DRAINED


def test_paused_service_can_be_stopped(harness: Harness) -> None:
    harness.turn(PauseRequested())
    assert harness.stop() is ExitCode.DRAINED


def test_full_disk_keeps_the_service_from_ending_well(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.stop()
    harness.disk.fill()
    assert harness.finish(0) is None
    assert harness.pass_time(10.0) is None
    harness.disk.free()
    assert harness.turn() is None
    assert [job.task_id for job in harness.report_queue.jobs] == ["a"]


def test_tasks_never_tried_are_left_to_whoever_polls_next(tmp_path: Path) -> None:
    harness = Harness(make_settings(concurrency_limit=1, batch_max_tasks=1), tmp_path / "journal")
    harness.start_workers()
    harness.list_tasks("runs", "waits-1", "waits-2")
    harness.finish(0)
    harness.finish(0)
    harness.fail(0, retry=RetryReason.TIMEOUT)
    harness.answer_all()
    harness.pass_time(1.0)
    harness.list_tasks("untouched")
    harness.finish(0)
    harness.answer_all()
    harness.turn(PauseRequested())
    harness.pass_time(1.0)
    harness.supervisor.state.paused = False
    assert on_disk(harness) == ["waits-2"]
    run_to_the_end(harness)
    assert on_disk(harness) == ["waits-2"]


@pytest.mark.parametrize("how", ["untouched", "attempted", "suspect", "refused", "throttled"])
def test_only_tasks_that_something_was_learned_about_stay(how: str) -> None:
    harness = Harness(make_settings(concurrency_limit=1, batch_max_tasks=1 if how == "attempted" else 2))
    harness.start_workers()
    harness.list_tasks("a", "b")
    harness.turn(PauseRequested())
    match how:
        case "untouched":
            harness.turn(harness.worker_died(0).__class__(0, (), -9, was_ready=True))
        case "attempted":
            harness.fail(0, retry=RetryReason.TIMEOUT)
        case "suspect":
            harness.turn(harness.worker_died(0))
        case "refused":
            harness.fail(0)
        case "throttled":
            harness.fail(0, retry=RetryReason.RATE_LIMIT)
    assert len(harness.backlog) == 2
    assert run_to_the_end(harness) is ExitCode.DRAINED
    assert on_disk(harness) == {"attempted": ["a"], "suspect": ["a", "b"]}.get(how, [])


def test_task_that_fails_during_the_drain_waits_for_the_next_run(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.stop()
    harness.fail(0, retry=RetryReason.SERVER_ERROR)
    assert harness.turn() is ExitCode.DRAINED
    assert on_disk(harness) == ["a"]


def test_worker_that_dies_during_the_drain_ends_no_task(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.stop()
    harness.die(0)
    assert harness.turn() is ExitCode.DRAINED
    assert on_disk(harness) == ["a"]
    assert harness.report_queue.jobs == []
