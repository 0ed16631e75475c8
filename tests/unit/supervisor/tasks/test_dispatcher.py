"""Units go to idle workers once they are on disk; workers that overrun or are worn out are replaced."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from shared.messages import UnitDone
from supervisor.journal.task_record import TaskState
from supervisor.pool.base import UnitFinished, WorkerDied
from supervisor.status.status import SlotState
from tests.builders import make_output, make_settings
from tests.fakes.harness import Harness, item
from tests.readings import reading

Lines = list[MutableMapping[str, Any]]
TYPE = "text-embedding"


def make_harness(**fields: object) -> Harness:
    harness = Harness(make_settings(**fields))
    harness.start_workers()
    return harness


def state_on_disk(harness: Harness, task_id: str) -> str:
    row = harness.disk.execute("SELECT state FROM tasks WHERE id = ?", (task_id,)).fetchone()
    return str(row[0])


def test_waiting_tasks_are_spread_over_the_idle_workers(harness: Harness) -> None:
    harness.list_tasks(*[f"t{number}" for number in range(13)])
    assert sorted(len(unit.tasks) for unit in harness.held.values()) == [2, 2, 3, 3, 3]


def test_unit_is_no_larger_than_it_may_be() -> None:
    harness = make_harness(concurrency_limit=2, batch_max_tasks=3)
    harness.list_tasks(*[f"t{number}" for number in range(13)])
    assert [len(unit.tasks) for unit in harness.held.values()] == [3, 3]
    assert len(harness.backlog) == 7


def test_unit_is_given_to_the_worker_that_was_idle(harness: Harness) -> None:
    harness.list_tasks("a")
    (dispatch,) = harness.pool.dispatched
    assert (dispatch.slot, dispatch.pid) == (0, harness.table[0].pid)
    assert dispatch.unit == harness.held[0]


def test_task_is_on_disk_as_running_before_a_worker_gets_it(harness: Harness) -> None:
    harness.disk.fill()
    harness.list_tasks("a")
    assert harness.pool.dispatched == []
    harness.disk.free()
    harness.turn()
    assert len(harness.pool.dispatched) == 1
    assert state_on_disk(harness, "a") == TaskState.RUNNING


def test_unit_held_back_by_a_full_disk_is_handed_over_once(harness: Harness) -> None:
    harness.disk.fill()
    harness.list_tasks("a")
    harness.turn()
    harness.disk.free()
    harness.turn()
    harness.turn()
    assert len(harness.pool.dispatched) == 1


def test_units_have_numbers_of_their_own(harness: Harness) -> None:
    harness.list_tasks(*"abcde")
    harness.finish(0)
    harness.pass_time(2.0)
    harness.list_tasks("f")
    numbers = [dispatch.unit.id for dispatch in harness.pool.dispatched]
    assert len(set(numbers)) == len(numbers) == 6


def test_answer_to_a_unit_that_the_slot_no_longer_holds_changes_nothing(harness: Harness) -> None:
    harness.list_tasks("a")
    late = UnitFinished(0, UnitDone(harness.held[0].id + 1000, {"a": make_output()}))
    harness.turn(late)
    assert set(harness.held) == {0}
    assert len(harness.outbox) == 0


def test_times_of_waiting_and_running_are_measured(harness: Harness) -> None:
    harness.list_tasks("a", "b")
    harness.clock.advance(3.0)
    harness.finish(0)
    assert reading(harness.metrics.queue_wait, TYPE) == 2
    assert reading(harness.metrics.processing, TYPE) == 1


def test_models_shown_in_metrics_are_bounded_for_all_workers_together() -> None:
    harness = make_harness(concurrency_limit=60)
    harness.list_tasks(
        *[item(f"t{number}", input_data={"text": "x", "model": f"m{number}"}) for number in range(60)]
    )
    labels = [dispatch.unit.model_label for dispatch in harness.pool.dispatched]
    assert labels == [f"m{number}" for number in range(50)] + ["other"] * 10


def test_unit_that_runs_too_long_has_its_worker_killed_once(harness: Harness, log_lines: Lines) -> None:
    harness.list_tasks("a")
    harness.pass_time(179.9)
    assert harness.pool.killed == []
    harness.pass_time(0.2)
    harness.pass_time(10.0)
    assert harness.pool.killed == [0]
    assert [line["slot"] for line in log_lines if line["event"] == "unit_timed_out"] == [0]


def test_worker_that_answers_in_time_is_not_killed(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.pass_time(179.0)
    harness.finish(0)
    harness.pass_time(10.0)
    assert harness.pool.killed == []


def test_answer_that_came_just_before_the_kill_counts(harness: Harness) -> None:
    harness.list_tasks("a")
    answer = harness.unit_finished(0)
    died = WorkerDied(0, (), -9, was_ready=True)
    harness.pass_time(180.1)
    harness.turn(answer, died, harness.worker_started(0))
    assert [job.task_id for job in harness.answer_all()] == ["a"]
    assert harness.held == {}


@pytest.mark.parametrize(
    ("was_ready", "timed_out", "reason"),
    [(True, False, "died"), (False, False, "failed_start"), (True, True, "timeout")],
)
def test_restart_is_counted_under_its_reason(
    harness: Harness, was_ready: bool, timed_out: bool, reason: str
) -> None:
    harness.list_tasks("a")
    if timed_out:
        harness.pass_time(180.1)
    harness.turn(WorkerDied(0, (), -9, was_ready))
    assert reading(harness.metrics.restarts, reason) == 1


def test_worn_out_worker_is_let_go_between_units() -> None:
    harness = make_harness(concurrency_limit=1, worker_max_tasks=4)
    harness.list_tasks("a", "b", "c")
    harness.finish(0)
    assert harness.pool.recycled == []
    harness.pass_time(2.0)
    harness.list_tasks("d", "e")
    pid = harness.table[0].pid
    harness.finish(0)
    assert harness.pool.recycled == [(0, pid)]
    assert harness.table[0].state is SlotState.RECYCLING


def test_worker_that_grew_too_large_is_let_go() -> None:
    harness = make_harness(concurrency_limit=1, worker_max_rss_mb=100)
    harness.pool.rss[0] = 100 * 2**20 - 1
    harness.list_tasks("a")
    harness.finish(0)
    assert harness.pool.recycled == []
    harness.pool.rss[0] += 1
    harness.pass_time(2.0)
    harness.list_tasks("b")
    harness.finish(0)
    assert [slot for slot, _ in harness.pool.recycled] == [0]


def test_workers_are_let_go_one_at_a_time() -> None:
    harness = make_harness(concurrency_limit=3, worker_max_tasks=1)
    harness.list_tasks("a", "b", "c")
    for slot in range(3):
        harness.finish(slot)
    assert [slot for slot, _ in harness.pool.recycled] == [0]
    harness.turn(WorkerDied(0, (), 0, was_ready=True), harness.worker_started(0))
    harness.pass_time(2.0)
    harness.list_tasks("d", "e", "f")
    harness.finish(1)
    assert [slot for slot, _ in harness.pool.recycled] == [0, 1]


def test_worker_that_is_let_go_gets_no_unit() -> None:
    harness = make_harness(concurrency_limit=1, worker_max_tasks=1)
    harness.list_tasks("a")
    harness.finish(0)
    harness.pass_time(2.0)
    harness.list_tasks("b")
    assert harness.held == {}
    harness.turn(WorkerDied(0, (), 0, was_ready=True), harness.worker_started(0))
    assert set(harness.held) == {0}


def test_recycling_is_no_death(log_lines: Lines) -> None:
    harness = make_harness(concurrency_limit=1, worker_max_tasks=1)
    harness.list_tasks("a")
    harness.finish(0)
    harness.turn(WorkerDied(0, (), 0, was_ready=True))
    assert reading(harness.metrics.restarts, "recycled") == 1
    assert reading(harness.metrics.restarts, "died") == 0
    assert "worker_died" not in [line["event"] for line in log_lines]


def test_workers_are_never_let_go_where_no_limit_is_set(harness: Harness) -> None:
    harness.pool.rss[0] = 2**40
    for number in range(50):
        harness.pass_time(2.0)
        harness.list_tasks(f"t{number}")
        harness.finish(0)
    assert harness.pool.recycled == []
