"""Units go to idle workers once they are on disk; workers that overrun or are worn out are replaced."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from shared.messages import UnitDone
from supervisor.journal.task_record import TaskState
from supervisor.pool.slot_table import SlotState
from supervisor.runtime.events import UnitFinished, WorkerDied
from tests.builders import make_output, make_settings
from tests.fakes.house import House, item
from tests.readings import reading

Lines = list[MutableMapping[str, Any]]
TYPE = "text-embedding"


def make_house(**fields: object) -> House:
    house = House(make_settings(**fields))
    house.start_workers()
    return house


def state_on_disk(house: House, task_id: str) -> str:
    row = house.journal._db.execute("SELECT state FROM tasks WHERE id = ?", (task_id,)).fetchone()
    return str(row[0])


def test_waiting_tasks_are_spread_over_the_idle_workers(house: House) -> None:
    house.list_tasks(*[f"t{number}" for number in range(13)])
    assert sorted(len(unit.tasks) for unit in house.held.values()) == [2, 2, 3, 3, 3]


def test_unit_is_no_larger_than_it_may_be() -> None:
    house = make_house(concurrency_limit=2, batch_max_tasks=3)
    house.list_tasks(*[f"t{number}" for number in range(13)])
    assert [len(unit.tasks) for unit in house.held.values()] == [3, 3]
    assert len(house.backlog) == 7


def test_unit_is_given_to_the_worker_that_was_idle(house: House) -> None:
    house.list_tasks("a")
    (dispatch,) = house.pool.dispatched
    assert (dispatch.slot, dispatch.pid) == (0, house.table[0].pid)
    assert dispatch.unit == house.held[0]


def test_task_is_on_disk_as_running_before_a_worker_gets_it(house: House) -> None:
    house.disk.full = True
    house.list_tasks("a")
    assert house.pool.dispatched == []
    house.disk.full = False
    house.turn()
    assert len(house.pool.dispatched) == 1
    assert state_on_disk(house, "a") == TaskState.RUNNING


def test_unit_held_back_by_a_full_disk_is_handed_over_once(house: House) -> None:
    house.disk.full = True
    house.list_tasks("a")
    house.turn()
    house.disk.full = False
    house.turn()
    house.turn()
    assert len(house.pool.dispatched) == 1


def test_units_have_numbers_of_their_own(house: House) -> None:
    house.list_tasks(*"abcde")
    house.finish(0)
    house.pass_time(2.0)
    house.list_tasks("f")
    numbers = [dispatch.unit.id for dispatch in house.pool.dispatched]
    assert len(set(numbers)) == len(numbers) == 6


def test_answer_to_a_unit_that_the_slot_no_longer_holds_changes_nothing(house: House) -> None:
    house.list_tasks("a")
    late = UnitFinished(0, UnitDone(house.held[0].id + 1000, {"a": make_output()}))
    house.turn(late)
    assert set(house.held) == {0}
    assert len(house.outbox) == 0


def test_times_of_waiting_and_running_are_measured(house: House) -> None:
    house.list_tasks("a", "b")
    house.clock.advance(3.0)
    house.finish(0)
    assert reading(house.metrics.queue_wait, TYPE) == 2
    assert reading(house.metrics.processing, TYPE) == 1


def test_models_shown_in_metrics_are_bounded_for_all_workers_together() -> None:
    house = make_house(concurrency_limit=60)
    house.list_tasks(
        *[item(f"t{number}", input_data={"text": "x", "model": f"m{number}"}) for number in range(60)]
    )
    labels = [dispatch.unit.model_label for dispatch in house.pool.dispatched]
    assert labels == [f"m{number}" for number in range(50)] + ["other"] * 10


def test_unit_that_runs_too_long_has_its_worker_killed_once(house: House, log_lines: Lines) -> None:
    house.list_tasks("a")
    house.pass_time(179.9)
    assert house.pool.killed == []
    house.pass_time(0.2)
    house.pass_time(10.0)
    assert house.pool.killed == [0]
    assert [line["slot"] for line in log_lines if line["event"] == "unit_timed_out"] == [0]


def test_worker_that_answers_in_time_is_not_killed(house: House) -> None:
    house.list_tasks("a")
    house.pass_time(179.0)
    house.finish(0)
    house.pass_time(10.0)
    assert house.pool.killed == []


def test_answer_that_came_just_before_the_kill_counts(house: House) -> None:
    house.list_tasks("a")
    answer = house.unit_finished(0)
    died = WorkerDied(0, None, -9, was_ready=True)
    house.pass_time(180.1)
    house.turn(answer, died, house.worker_started(0))
    assert [parcel.task_id for parcel in house.answer_all()] == ["a"]
    assert house.held == {}


@pytest.mark.parametrize(
    ("was_ready", "timed_out", "reason"),
    [(True, False, "died"), (False, False, "failed_start"), (True, True, "timeout")],
)
def test_restart_is_counted_under_its_reason(
    house: House, was_ready: bool, timed_out: bool, reason: str
) -> None:
    house.table[0].timed_out = timed_out
    house.turn(WorkerDied(0, None, -9, was_ready))
    assert reading(house.metrics.restarts, reason) == 1


def test_worn_out_worker_is_let_go_between_units() -> None:
    house = make_house(concurrency_limit=1, worker_max_tasks=4)
    house.list_tasks("a", "b", "c")
    house.finish(0)
    assert house.pool.recycled == []
    house.pass_time(2.0)
    house.list_tasks("d", "e")
    pid = house.table[0].pid
    house.finish(0)
    assert house.pool.recycled == [(0, pid)]
    assert house.table[0].state is SlotState.RECYCLING


def test_worker_that_grew_too_large_is_let_go() -> None:
    house = make_house(concurrency_limit=1, worker_max_rss_mb=100)
    house.pool.rss[0] = 100 * 2**20 - 1
    house.list_tasks("a")
    house.finish(0)
    assert house.pool.recycled == []
    house.pool.rss[0] += 1
    house.pass_time(2.0)
    house.list_tasks("b")
    house.finish(0)
    assert [slot for slot, _ in house.pool.recycled] == [0]


def test_workers_are_let_go_one_at_a_time() -> None:
    house = make_house(concurrency_limit=3, worker_max_tasks=1)
    house.list_tasks("a", "b", "c")
    for slot in range(3):
        house.finish(slot)
    assert [slot for slot, _ in house.pool.recycled] == [0]
    house.turn(WorkerDied(0, None, 0, was_ready=True), house.worker_started(0))
    house.pass_time(2.0)
    house.list_tasks("d", "e", "f")
    house.finish(1)
    assert [slot for slot, _ in house.pool.recycled] == [0, 1]


def test_worker_that_is_let_go_gets_no_unit() -> None:
    house = make_house(concurrency_limit=1, worker_max_tasks=1)
    house.list_tasks("a")
    house.finish(0)
    house.pass_time(2.0)
    house.list_tasks("b")
    assert house.held == {}
    house.turn(WorkerDied(0, None, 0, was_ready=True), house.worker_started(0))
    assert set(house.held) == {0}


def test_recycling_is_no_death(log_lines: Lines) -> None:
    house = make_house(concurrency_limit=1, worker_max_tasks=1)
    house.list_tasks("a")
    house.finish(0)
    house.turn(WorkerDied(0, None, 0, was_ready=True))
    assert reading(house.metrics.restarts, "recycled") == 1
    assert reading(house.metrics.restarts, "died") == 0
    assert "worker_died" not in [line["event"] for line in log_lines]


def test_workers_are_never_let_go_where_no_limit_is_set(house: House) -> None:
    house.pool.rss[0] = 2**40
    for number in range(50):
        house.pass_time(2.0)
        house.list_tasks(f"t{number}")
        house.finish(0)
    assert house.pool.recycled == []
