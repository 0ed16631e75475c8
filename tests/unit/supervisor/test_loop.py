"""The loop: commit first, then act; every turn within its bounds; no fault hidden."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from supervisor.runtime.events import (
    PauseRequested,
    ResumeRequested,
    ThreadCrashed,
    WakeRequested,
    WorkerDied,
)
from supervisor.runtime.exit_codes import ExitCode
from supervisor.status.status import NotReady, Phase
from supervisor.task_api.answers import Health, PollResult, ReportOutcome
from tests.builders import make_settings
from tests.fakes.clock import Clock
from tests.fakes.house import House
from tests.readings import reading

Lines = list[MutableMapping[str, Any]]


def held(house: House) -> list[str]:
    return [task.id for unit in house.held.values() for task in unit.tasks]


def test_first_turn_polls_for_all_there_is_room_for() -> None:
    house = House(make_settings(concurrency_limit=2, batch_max_tasks=50))
    house.turn()
    assert house.poller.limits == [2 * 50 * 4]


def test_small_service_asks_for_a_hundred_at_least() -> None:
    house = House(make_settings(concurrency_limit=1, batch_max_tasks=1))
    house.turn()
    assert house.poller.limits == [100]


def test_poll_asks_for_what_is_held_as_well_since_the_api_lists_it_again(house: House) -> None:
    house.list_tasks("a", "b", "c")
    house.pass_time(1.0)
    assert house.poller.limits == [2000 + 3]


def test_poll_of_one_shard_asks_for_the_others_too() -> None:
    house = House(make_settings(shard_count=3))
    house.turn()
    assert house.poller.limits == [2000 * 3]


def test_poll_never_asks_for_more_than_a_hundred_thousand() -> None:
    house = House(make_settings(concurrency_limit=256, batch_max_tasks=2048))
    house.turn()
    assert house.poller.limits == [100_000]


def test_slow_poll_holds_up_neither_results_nor_reports(house: House) -> None:
    house.list_tasks("a")
    house.pass_time(1.0)
    assert len(house.poller.limits) == 1
    house.finish(0)
    house.answer()
    assert len(house.journal) == 0


def test_doorbell_polls_at_once(house: House) -> None:
    house.list_tasks()
    assert house.poller.limits == []
    house.turn(WakeRequested())
    assert len(house.poller.limits) == 1


@pytest.mark.parametrize("result", sorted(set(PollResult) - {PollResult.TASKS, PollResult.EMPTY}))
def test_poll_that_failed_is_counted_told_and_tried_again(
    house: House, result: PollResult, log_lines: Lines
) -> None:
    house.poll_fails(result, Health.UNKNOWN)
    assert reading(house.metrics.polls, result) == 1
    assert house.status.poll.last_result == result
    assert "poll_failed" in [line["event"] for line in log_lines]
    house.pass_time(1.0)
    assert len(house.poller.limits) == 1


def test_api_in_trouble_is_left_alone_until_it_is_time_for_a_probe(house: House) -> None:
    for _ in range(5):
        house.poll_fails(PollResult.SERVER_ERROR, Health.UNHEALTHY)
        while not house.poller.limits and house.status.breakers[0].state == "closed":
            house.pass_time(1.0)
    assert NotReady.API_CIRCUIT_OPEN in house.status.not_ready
    house.pass_time(3.5)
    assert house.poller.limits == []
    house.pass_time(28.0)
    assert len(house.poller.limits) == 1
    house.list_tasks()
    assert NotReady.API_CIRCUIT_OPEN not in house.status.not_ready


def test_work_goes_on_while_the_api_is_down(house: House) -> None:
    house.list_tasks(*"abcdef")
    house.pass_time(1.0)
    for _ in range(5):
        house.supervisor.api_gate.reports.heard(Health.UNHEALTHY, house.clock(), None)
    for slot in list(house.held):
        house.finish(slot)
    assert len(house.outbox) == 6
    assert held(house) == []


def test_outbox_at_its_bound_stops_new_work_until_reports_go_out(house: House) -> None:
    house.supervisor.outbox_limit = 1
    house.list_tasks("a")
    house.finish(0)
    house.pass_time(100.0)
    assert house.poller.limits == []
    house.answer()
    assert len(house.poller.limits) == 1


@pytest.mark.parametrize("statement", ["BEGIN", "INSERT", "COMMIT"])
def test_full_disk_stops_new_work_and_nothing_else(house: House, statement: str, log_lines: Lines) -> None:
    house.list_tasks("a", "b")
    house.pass_time(1.0)
    house.disk.full, house.disk.fails_at = True, statement
    house.finish(0)
    house.list_tasks("c")
    house.pass_time(30.0)
    assert NotReady.JOURNAL_UNWRITABLE in house.status.not_ready
    assert "c" not in [task.id for dispatch in house.pool.dispatched for task in dispatch.unit.tasks]
    assert house.reporter.parcels == []
    assert house.poller.limits == []
    house.disk.full = False
    house.pass_time(1.0)
    assert house.status.not_ready == ()
    assert [parcel.task_id for parcel in house.answer_all()] == ["a"]
    assert sorted(held(house)) == ["b", "c"]
    told = [line["event"] for line in log_lines if line["event"].startswith("journal")]
    assert told == ["journal_unwritable", "journal_writable_again"]


def test_paused_service_starts_nothing_and_finishes_what_runs(house: House) -> None:
    house.list_tasks(*[f"t{number}" for number in range(501)])
    house.pass_time(1.0)
    house.turn(PauseRequested())
    assert house.status.phase is Phase.PAUSED
    house.list_tasks("late")
    house.finish(0)
    house.answer_all()
    house.pass_time(100.0)
    assert 0 not in house.held
    assert len(house.backlog) == 2
    assert house.poller.limits == []
    house.turn(ResumeRequested())
    assert 0 in house.held
    assert len(house.poller.limits) == 1


def test_fault_of_a_thread_ends_the_service(house: House, log_lines: Lines) -> None:
    with pytest.raises(ZeroDivisionError):
        house.turn(ThreadCrashed("poller", ZeroDivisionError()))
    assert log_lines[-1]["thread"] == "poller"


def test_systemd_is_told_in_every_turn_that_the_loop_turns(house: House) -> None:
    house.notices.clear()
    for _ in range(3):
        house.turn()
    assert house.notices == ["WATCHDOG=1"] * 3


def test_workers_that_can_never_start_end_the_service_with_its_own_code() -> None:
    house = House(make_settings(concurrency_limit=2))
    code = None
    for number in range(10):
        assert code is None
        code = house.turn(WorkerDied(number % 2, None, 1, was_ready=False))
    assert code is ExitCode.WORKERS_KEEP_DYING


def test_one_worker_that_cannot_start_does_not_end_the_service(house: House) -> None:
    for _ in range(20):
        assert house.turn(WorkerDied(0, None, 1, was_ready=False)) is None


def test_service_that_had_a_worker_does_not_give_up(house: House) -> None:
    for _ in range(20):
        for slot in range(5):
            assert house.turn(WorkerDied(slot, None, 1, was_ready=False)) is None
    assert NotReady.NO_WORKERS in house.status.not_ready


def test_restart_takes_up_what_an_earlier_run_left(tmp_path: Path, log_lines: Lines) -> None:
    first = House(path=tmp_path / "journal")
    first.start_workers()
    first.list_tasks("finished", "runs", "rejected", "fails")
    first.clock.advance(1.0)
    first.fail(3, retry=None)
    assert first.serve_canaries() == 1
    first.finish(0)
    first.finish(2)
    rejected = next(p for p in first.reporter.parcels if p.task_id == "rejected")
    first.reporter.parcels.remove(rejected)
    first.answer(rejected, ReportOutcome.REJECTED)
    first.journal.close()
    second = House(path=tmp_path / "journal", clock=Clock(50.0))
    second.supervisor.recover()
    second.start_workers()
    assert sorted(parcel.task_id for parcel in second.reporter.parcels) == ["fails", "finished"]
    assert held(second) == ["runs"]
    assert second.status.rejected == 1
    (line,) = [line for line in log_lines if line["event"] == "journal_recovered"]
    assert (line["to_run"], line["to_report"], line["rejected"]) == (1, 2, 1)


def test_result_on_disk_is_never_computed_again(tmp_path: Path) -> None:
    first = House(path=tmp_path / "journal")
    first.start_workers()
    first.list_tasks("a")
    first.finish(0)
    body = first.reporter.parcels[0].body
    first.journal.close()
    second = House(path=tmp_path / "journal")
    second.supervisor.recover()
    second.start_workers()
    second.list_tasks("a")
    assert second.held == {}
    assert second.answer().body == body


def test_no_task_is_polled_for_until_a_report_is_accepted_again(house: House) -> None:
    house.list_tasks("a", "b")
    for _ in range(5):
        house.supervisor.api_gate.reports.heard(Health.UNHEALTHY, house.clock(), None)
    for slot in list(house.held):
        house.finish(slot)
    house.pass_time(61.0)
    assert house.poller.limits == []
    assert len(house.reporter.parcels) == 1
    house.answer()
    house.turn()
    assert len(house.poller.limits) == 1


def test_reports_go_on_while_polls_fail(house: House) -> None:
    house.list_tasks("a")
    for _ in range(5):
        house.supervisor.api_gate.polls.heard(Health.UNHEALTHY, house.clock(), None)
    assert NotReady.API_CIRCUIT_OPEN in house.status.not_ready
    house.finish(0)
    assert len(house.reporter.parcels) == 1
