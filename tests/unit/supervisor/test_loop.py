"""The loop: commit first, then act; every turn within its bounds; no fault hidden."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from supervisor.pool.base import WorkerDied
from supervisor.runtime.events import PauseRequested, ResumeRequested, ThreadCrashed, WakeRequested
from supervisor.runtime.process import ExitCode
from supervisor.status.status import NotReady, Phase
from supervisor.task_api.responses import Health, PollResult, ReportOutcome
from tests.builders import make_settings
from tests.fakes.clock import Clock
from tests.fakes.disk import Step
from tests.fakes.harness import Harness
from tests.readings import reading

Lines = list[MutableMapping[str, Any]]


def held(harness: Harness) -> list[str]:
    return [task.id for unit in harness.held.values() for task in unit.tasks]


def test_first_turn_polls_for_all_there_is_room_for() -> None:
    harness = Harness(make_settings(concurrency_limit=2, batch_max_tasks=50))
    harness.turn()
    assert harness.poller.limits == [2 * 50 * 4]


def test_small_service_asks_for_a_hundred_at_least() -> None:
    harness = Harness(make_settings(concurrency_limit=1, batch_max_tasks=1))
    harness.turn()
    assert harness.poller.limits == [100]


def test_poll_asks_for_what_is_known_as_well_since_the_api_lists_it_again(harness: Harness) -> None:
    harness.list_tasks("a", "b", "c")
    harness.pass_time(1.0)
    assert harness.poller.limits == [2000 + 3]


def test_poll_of_one_shard_asks_for_the_others_too() -> None:
    harness = Harness(make_settings(shard_count=3))
    harness.turn()
    assert harness.poller.limits == [2000 * 3]


def test_poll_never_asks_for_more_than_a_hundred_thousand() -> None:
    harness = Harness(make_settings(concurrency_limit=256, batch_max_tasks=2048))
    harness.turn()
    assert harness.poller.limits == [100_000]


def test_slow_poll_holds_up_neither_results_nor_reports(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.pass_time(1.0)
    assert len(harness.poller.limits) == 1
    harness.finish(0)
    harness.answer()
    assert len(harness.journal) == 0


def test_wake_up_polls_at_once(harness: Harness) -> None:
    harness.list_tasks()
    assert harness.poller.limits == []
    harness.turn(WakeRequested())
    assert len(harness.poller.limits) == 1


@pytest.mark.parametrize("result", sorted(set(PollResult) - {PollResult.TASKS, PollResult.EMPTY}))
def test_poll_that_failed_is_counted_told_and_tried_again(
    harness: Harness, result: PollResult, log_lines: Lines
) -> None:
    harness.poll_fails(result, Health.UNKNOWN)
    assert reading(harness.metrics.polls, result) == 1
    assert harness.status.poll.last_result == result
    assert "poll_failed" in [line["event"] for line in log_lines]
    harness.pass_time(1.0)
    assert len(harness.poller.limits) == 1


def test_api_in_trouble_is_left_alone_until_it_is_time_for_a_probe(harness: Harness) -> None:
    for _ in range(5):
        harness.poll_fails(PollResult.SERVER_ERROR, Health.UNHEALTHY)
        while not harness.poller.limits and harness.status.breakers[0].state == "closed":
            harness.pass_time(1.0)
    assert NotReady.API_CIRCUIT_OPEN in harness.status.not_ready
    harness.pass_time(3.5)
    assert harness.poller.limits == []
    harness.pass_time(28.0)
    assert len(harness.poller.limits) == 1
    harness.list_tasks()
    assert NotReady.API_CIRCUIT_OPEN not in harness.status.not_ready


def test_work_goes_on_while_the_api_is_down(harness: Harness) -> None:
    harness.list_tasks(*"abcdef")
    harness.pass_time(1.0)
    for _ in range(5):
        harness.supervisor.api_gate.reports.on_response(Health.UNHEALTHY, harness.clock(), None)
    for slot in list(harness.held):
        harness.finish(slot)
    assert len(harness.outbox) == 6
    assert held(harness) == []


def test_outbox_at_its_bound_stops_new_work_until_reports_go_out(harness: Harness) -> None:
    harness.supervisor.outbox_limit = 1
    harness.list_tasks("a")
    harness.finish(0)
    harness.pass_time(100.0)
    assert harness.poller.limits == []
    harness.answer()
    assert len(harness.poller.limits) == 1


@pytest.mark.parametrize("fails_at", [Step.BEGIN, Step.INSERT, Step.COMMIT])
def test_full_disk_stops_new_work_and_nothing_else(
    harness: Harness, fails_at: Step, log_lines: Lines
) -> None:
    harness.list_tasks("a", "b")
    harness.pass_time(1.0)
    harness.disk.fill(fails_at)
    harness.finish(0)
    harness.list_tasks("c")
    harness.pass_time(30.0)
    assert NotReady.JOURNAL_UNWRITABLE in harness.status.not_ready
    assert "c" not in [task.id for dispatch in harness.pool.dispatched for task in dispatch.unit.tasks]
    assert harness.report_queue.jobs == []
    assert harness.poller.limits == []
    harness.disk.free()
    harness.pass_time(1.0)
    assert harness.status.not_ready == ()
    assert [job.task_id for job in harness.answer_all()] == ["a"]
    assert sorted(held(harness)) == ["b", "c"]
    told = [line["event"] for line in log_lines if line["event"].startswith("journal")]
    assert told == ["journal_unwritable", "journal_writable_again"]


def test_paused_service_starts_nothing_and_finishes_what_runs(harness: Harness) -> None:
    harness.list_tasks(*[f"t{number}" for number in range(501)])
    harness.pass_time(1.0)
    harness.turn(PauseRequested())
    assert harness.status.phase is Phase.PAUSED
    harness.list_tasks("late")
    harness.finish(0)
    harness.answer_all()
    harness.pass_time(100.0)
    assert 0 not in harness.held
    assert len(harness.backlog) == 2
    assert harness.poller.limits == []
    harness.turn(ResumeRequested())
    assert 0 in harness.held
    assert len(harness.poller.limits) == 1


def test_fault_of_a_thread_ends_the_service(harness: Harness, log_lines: Lines) -> None:
    with pytest.raises(ZeroDivisionError):
        harness.turn(ThreadCrashed("poller", ZeroDivisionError()))
    assert log_lines[-1]["thread"] == "poller"


def test_systemd_is_told_in_every_turn_that_the_loop_turns(harness: Harness) -> None:
    harness.notices.clear()
    for _ in range(3):
        harness.turn()
    assert harness.notices == ["WATCHDOG=1"] * 3


def test_workers_that_can_never_start_end_the_service_with_its_own_code() -> None:
    harness = Harness(make_settings(concurrency_limit=2))
    code = None
    for number in range(10):
        assert code is None
        code = harness.turn(WorkerDied(number % 2, (), 1, was_ready=False))
    assert code is ExitCode.WORKERS_KEEP_DYING


def test_one_worker_that_cannot_start_does_not_end_the_service(harness: Harness) -> None:
    for _ in range(20):
        assert harness.turn(WorkerDied(0, (), 1, was_ready=False)) is None


def test_service_that_had_a_worker_does_not_give_up(harness: Harness) -> None:
    for _ in range(20):
        for slot in range(5):
            assert harness.turn(WorkerDied(slot, (), 1, was_ready=False)) is None
    assert NotReady.NO_WORKERS in harness.status.not_ready


def test_restart_takes_up_what_an_earlier_run_left(tmp_path: Path, log_lines: Lines) -> None:
    first = Harness(path=tmp_path / "journal")
    first.start_workers()
    first.list_tasks("finished", "runs", "rejected", "fails")
    first.clock.advance(1.0)
    first.fail(3, retry=None)
    assert first.serve_canaries() == 1
    first.finish(0)
    first.finish(2)
    rejected = next(p for p in first.report_queue.jobs if p.task_id == "rejected")
    first.report_queue.jobs.remove(rejected)
    first.answer(rejected, ReportOutcome.REJECTED)
    first.journal.close()
    second = Harness(path=tmp_path / "journal", clock=Clock(50.0))
    second.supervisor.recover()
    second.start_workers()
    assert sorted(job.task_id for job in second.report_queue.jobs) == ["fails", "finished"]
    assert held(second) == ["runs"]
    assert second.status.rejected == 1
    (line,) = [line for line in log_lines if line["event"] == "journal_recovered"]
    assert (line["to_run"], line["to_report"], line["rejected"]) == (1, 2, 1)


def test_result_on_disk_is_never_computed_again(tmp_path: Path) -> None:
    first = Harness(path=tmp_path / "journal")
    first.start_workers()
    first.list_tasks("a")
    first.finish(0)
    body = first.report_queue.jobs[0].body
    first.journal.close()
    second = Harness(path=tmp_path / "journal")
    second.supervisor.recover()
    second.start_workers()
    second.list_tasks("a")
    assert second.held == {}
    assert second.answer().body == body


def test_no_task_is_polled_for_until_a_report_is_accepted_again(harness: Harness) -> None:
    harness.list_tasks("a", "b")
    for _ in range(5):
        harness.supervisor.api_gate.reports.on_response(Health.UNHEALTHY, harness.clock(), None)
    for slot in list(harness.held):
        harness.finish(slot)
    harness.pass_time(61.0)
    assert harness.poller.limits == []
    assert len(harness.report_queue.jobs) == 1
    harness.answer()
    harness.turn()
    assert len(harness.poller.limits) == 1


def test_reports_go_on_while_polls_fail(harness: Harness) -> None:
    harness.list_tasks("a")
    for _ in range(5):
        harness.supervisor.api_gate.polls.on_response(Health.UNHEALTHY, harness.clock(), None)
    assert NotReady.API_CIRCUIT_OPEN in harness.status.not_ready
    harness.finish(0)
    assert len(harness.report_queue.jobs) == 1
