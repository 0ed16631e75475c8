"""However the service is told to stop, nothing is half done and the exit code says how it went."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from shared.errors import RetryReason
from supervisor.runtime.events import PauseRequested, StopRequested
from supervisor.runtime.exit_codes import ExitCode
from supervisor.status.status import NotReady
from supervisor.task_api.answers import ReportOutcome
from tests.builders import make_settings
from tests.fakes.house import House

Lines = list[MutableMapping[str, Any]]


def on_disk(house: House) -> list[str]:
    """What the next run would work on."""
    return sorted(record.task.id for record in house.journal.recover(0.0).records)


def run_to_the_end(house: House) -> ExitCode:
    """Run the real loop; what is to happen must wait in the inbox or be over."""
    house.supervisor.inbox.post(StopRequested())
    return house.supervisor.run()


def test_idle_service_stops_at_once(house: House) -> None:
    assert run_to_the_end(house) is ExitCode.DRAINED


def test_what_runs_is_finished_and_reported_first(house: House) -> None:
    house.list_tasks("a", "b")
    assert house.stop() is None
    assert NotReady.DRAINING in house.status.not_ready
    assert house.finish(0) is None
    assert house.finish(1) is None
    house.answer()
    parcel = house.reporter.send_one()
    house.reporter.parcels.append(parcel)
    house.answer()
    assert house.turn() is ExitCode.DRAINED
    assert len(house.journal) == 0


def test_draining_service_polls_and_starts_nothing() -> None:
    house = House(make_settings(concurrency_limit=1, batch_max_tasks=1))
    house.start_workers()
    house.list_tasks("a", "b")
    house.pass_time(1.0)
    house.stop()
    house.list_tasks("c")
    house.finish(0)
    house.pass_time(5.0)
    assert house.held == {}
    assert house.poller.limits == []
    assert not house.journal.holds("c")


def test_systemd_is_told_once_that_the_service_stops(house: House, log_lines: Lines) -> None:
    house.list_tasks("a")
    house.stop()
    house.stop()
    assert house.notices.count("STOPPING=1") == 1
    assert [line["event"] for line in log_lines].count("drain_started") == 1


def test_unit_that_never_ends_is_left_for_the_next_run_when_patience_ends(
    house: House, log_lines: Lines
) -> None:
    house.list_tasks("a")
    house.stop()
    assert house.pass_time(24.9) is None
    assert house.pass_time(0.2) is ExitCode.LEFT_OVER
    assert on_disk(house) == ["a"]
    (line,) = [line for line in log_lines if line["event"] == "drain_timed_out"]
    assert (line["running"], line["to_report"]) == (1, 0)


def test_report_that_the_api_does_not_take_is_left_for_the_next_run(house: House) -> None:
    house.list_tasks("a")
    house.stop()
    house.finish(0)
    house.answer(outcome=ReportOutcome.RETRY)
    assert house.pass_time(26.0) is ExitCode.LEFT_OVER
    assert len(house.journal.recover(0.0).waiting) == 1


def test_second_request_stops_at_once(house: House, log_lines: Lines) -> None:
    house.list_tasks("a")
    assert house.stop() is None
    assert house.stop() is ExitCode.LEFT_OVER
    assert on_disk(house) == ["a"]
    assert "stop_forced" in [line["event"] for line in log_lines]


def test_two_requests_at_once_with_nothing_left_over_end_well(house: House) -> None:
    assert house.turn(StopRequested(), StopRequested()) is ExitCode.DRAINED


def test_paused_service_can_be_stopped(house: House) -> None:
    house.turn(PauseRequested())
    assert house.stop() is ExitCode.DRAINED


def test_full_disk_keeps_the_service_from_ending_well(house: House) -> None:
    house.list_tasks("a")
    house.stop()
    house.disk.full = True
    assert house.finish(0) is None
    assert house.pass_time(10.0) is None
    house.disk.full = False
    assert house.turn() is None
    assert [parcel.task_id for parcel in house.reporter.parcels] == ["a"]


def test_tasks_never_tried_are_left_to_whoever_polls_next(tmp_path: Path) -> None:
    house = House(make_settings(concurrency_limit=1, batch_max_tasks=1), tmp_path / "journal")
    house.start_workers()
    house.list_tasks("runs", "waits-1", "waits-2")
    house.finish(0)
    house.finish(0)
    house.fail(0, retry=RetryReason.TIMEOUT)
    house.answer_all()
    house.pass_time(1.0)
    house.list_tasks("untouched")
    house.finish(0)
    house.answer_all()
    house.turn(PauseRequested())
    house.pass_time(1.0)
    house.supervisor.conditions.paused = False
    assert on_disk(house) == ["waits-2"]
    run_to_the_end(house)
    assert on_disk(house) == ["waits-2"]


@pytest.mark.parametrize("how", ["untouched", "attempted", "suspect", "refused", "throttled"])
def test_only_tasks_that_something_was_learned_about_stay(how: str) -> None:
    house = House(make_settings(concurrency_limit=1, batch_max_tasks=1 if how == "attempted" else 2))
    house.start_workers()
    house.list_tasks("a", "b")
    house.turn(PauseRequested())
    match how:
        case "untouched":
            house.turn(house.worker_died(0).__class__(0, None, -9, was_ready=True))
        case "attempted":
            house.fail(0, retry=RetryReason.TIMEOUT)
        case "suspect":
            house.turn(house.worker_died(0))
        case "refused":
            house.fail(0)
        case "throttled":
            house.fail(0, retry=RetryReason.RATE_LIMIT)
    assert len(house.backlog) == 2
    assert run_to_the_end(house) is ExitCode.DRAINED
    assert on_disk(house) == {"attempted": ["a"], "suspect": ["a", "b"]}.get(how, [])


def test_task_that_fails_during_the_drain_waits_for_the_next_run(house: House) -> None:
    house.list_tasks("a")
    house.stop()
    house.fail(0, retry=RetryReason.SERVER_ERROR)
    assert house.turn() is ExitCode.DRAINED
    assert on_disk(house) == ["a"]


def test_worker_that_dies_during_the_drain_ends_no_task(house: House) -> None:
    house.list_tasks("a")
    house.stop()
    house.die(0)
    assert house.turn() is ExitCode.DRAINED
    assert on_disk(house) == ["a"]
    assert house.reporter.parcels == []
