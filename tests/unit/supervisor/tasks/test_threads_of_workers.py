"""Workers that hold several units each: who is given what, and what a death means for the units beside."""

import pytest

from shared.errors import RetryReason
from supervisor.pool.base import WorkerDied
from supervisor.status.status import SlotState
from tests.builders import make_settings
from tests.fakes.harness import Harness
from tests.readings import reading
from tests.unit.supervisor.tasks.one_worker import told

ALL = [f"t{number}" for number in range(8)]


def make_harness(**fields: object) -> Harness:
    """Two workers with room for three units of one task each."""
    fields = {"concurrency_limit": 6, "worker_threads": 3, "batch_max_tasks": 1, **fields}
    harness = Harness(make_settings(**fields))
    harness.start_workers()
    return harness


def held(harness: Harness) -> list[list[str]]:
    """The tasks of each worker."""
    return [[task.id for unit in units for task in unit.tasks] for units in harness.units]


def finish(harness: Harness, slot: int, task_id: str) -> None:
    harness.turn(harness.unit_finished(slot, unit_id=unit_of(harness, slot, task_id)))


def unit_of(harness: Harness, slot: int, task_id: str) -> int:
    """The number of the unit that holds the task."""
    return next(unit.id for unit in harness.units[slot] if unit.tasks[0].id == task_id)


def crashes(harness: Harness) -> dict[str, int]:
    """Of the tasks that wait or run."""
    waiting = list(harness.backlog.records())
    running = [record for assignment in harness.table.assignments() for record in assignment.records]
    return {record.task.id: record.crashes for record in waiting + running}


def test_units_are_spread_over_the_workers() -> None:
    harness = make_harness()
    harness.list_tasks("t0", "t1", "t2")
    assert held(harness) == [["t0", "t2"], ["t1"]]
    assert [row.units_held for row in harness.status.workers] == [2, 1]


def test_last_worker_has_what_is_left_of_the_limit() -> None:
    harness = make_harness(concurrency_limit=5)
    harness.list_tasks(*ALL)
    assert [len(units) for units in held(harness)] == [3, 2]


def test_place_of_a_unit_that_ended_goes_to_the_next_while_its_neighbours_run() -> None:
    harness = make_harness()
    harness.list_tasks(*ALL[:7])
    assert held(harness) == [["t0", "t2", "t4"], ["t1", "t3", "t5"]]
    finish(harness, 0, "t2")
    assert held(harness) == [["t0", "t4", "t6"], ["t1", "t3", "t5"]]


def test_death_makes_suspects_of_all_that_the_worker_held_and_of_nothing_else() -> None:
    harness = make_harness(worker_crash_limit=1)
    harness.list_tasks(*ALL[:6])
    harness.turn(harness.worker_died(0))
    assert told(harness) == {}, "none was alone"
    assert crashes(harness) == {"t0": 1, "t2": 1, "t4": 1, "t1": 0, "t3": 0, "t5": 0}


def test_suspect_has_a_worker_for_itself() -> None:
    harness = make_harness()
    harness.list_tasks(*ALL[:6])
    harness.die(0)
    assert held(harness) == [["t0"], ["t1", "t3", "t5"]]
    harness.pass_time(2.0)
    harness.list_tasks("t6", "t7")
    assert held(harness) == [["t0"], ["t1", "t3", "t5"]], "no task goes beside a suspect"
    finish(harness, 0, "t0")
    assert held(harness)[0] == ["t2"]


def test_suspect_gets_its_turn_though_other_tasks_keep_coming() -> None:
    harness = make_harness()
    harness.list_tasks(*ALL[:6])
    harness.turn(harness.worker_died(0))
    for slot, task_id in ((1, "t1"), (1, "t3"), (1, "t5")):
        harness.pass_time(2.0)
        harness.list_tasks(f"after-{task_id}-1", f"after-{task_id}-2")
        finish(harness, slot, task_id)
    assert [len(units) for units in held(harness)] == [0, 1], "the only worker was let run empty"
    assert held(harness)[1] == ["t0"]


def test_task_that_dies_alone_is_failed_and_its_neighbours_of_the_first_death_are_not() -> None:
    harness = make_harness(worker_crash_limit=2)
    harness.list_tasks("t0", "t1", "t2")
    harness.die(0)
    assert held(harness)[0] == ["t0"]
    harness.die(0)
    assert "died 2 times" in told(harness)["t0"]
    assert crashes(harness).keys() == {"t1", "t2"}


def test_only_the_unit_that_overran_counts_the_kill() -> None:
    harness = make_harness(worker_crash_limit=1)
    harness.list_tasks("t0", "t1")
    harness.pass_time(100.0)
    harness.list_tasks("t2", "t3")
    assert held(harness) == [["t0", "t2"], ["t1", "t3"]]
    finish(harness, 1, "t1")
    harness.pass_time(80.1)
    assert harness.pool.killed == [0]
    harness.die(0)
    assert "ran longer than TASK_TIMEOUT_SECONDS" in told(harness)["t0"]
    assert crashes(harness) == {"t2": 0, "t3": 0}
    assert reading(harness.metrics.restarts, "timeout") == 1


def test_kill_whose_unit_answered_just_before_costs_its_neighbours_nothing() -> None:
    harness = make_harness()
    harness.list_tasks("t0", "t1")
    harness.pass_time(100.0)
    harness.list_tasks("t2")
    harness.pass_time(80.1)
    assert sorted(harness.pool.killed) == [0, 1]
    finish(harness, 0, "t0")
    harness.pass_time(2.0)
    harness.list_tasks("t4")
    assert held(harness)[0] == ["t2"], "a worker that is killed is given nothing more"
    harness.die(0)
    assert crashes(harness)["t2"] == 0


def test_unit_that_did_not_reach_the_worker_goes_back_uncounted() -> None:
    harness = make_harness()
    harness.list_tasks("t0", "t1", "t2")
    harness.turn(WorkerDied(0, (unit_of(harness, 0, "t0"),), -9, was_ready=True))
    assert {task_id: count for task_id, count in crashes(harness).items() if count} == {"t0": 1}


def test_worn_out_worker_is_replaced_when_its_last_unit_has_ended() -> None:
    harness = make_harness(concurrency_limit=3, worker_max_tasks=1)
    harness.list_tasks(*ALL[:4])
    pid = harness.table[0].pid
    finish(harness, 0, "t0")
    assert harness.table[0].state is SlotState.RECYCLING
    assert held(harness) == [["t1", "t2"]], "it gets no more units"
    finish(harness, 0, "t1")
    assert harness.pool.recycled == []
    finish(harness, 0, "t2")
    assert harness.pool.recycled == [(0, pid)]
    harness.turn(WorkerDied(0, (), 0, was_ready=True), harness.worker_started(0))
    assert held(harness) == [["t3"]]
    assert reading(harness.metrics.restarts, "recycled") == 1


def test_worker_that_dies_before_it_is_replaced_has_died() -> None:
    harness = make_harness(concurrency_limit=3, worker_max_tasks=1)
    harness.list_tasks("t0", "t1")
    finish(harness, 0, "t0")
    harness.die(0)
    assert reading(harness.metrics.restarts, "died") == 1
    assert crashes(harness) == {"t1": 1}


def test_worker_that_is_to_be_replaced_is_killed_for_a_unit_that_overruns() -> None:
    harness = make_harness(concurrency_limit=3, worker_max_tasks=1)
    harness.list_tasks("t0", "t1")
    finish(harness, 0, "t0")
    harness.pass_time(180.1)
    assert harness.pool.killed == [0]


def test_drain_waits_for_the_units_of_all_threads() -> None:
    harness = make_harness(concurrency_limit=3)
    harness.list_tasks("t0", "t1")
    assert harness.stop() is None
    finish(harness, 0, "t0")
    harness.answer_all()
    assert harness.turn() is None
    finish(harness, 0, "t1")
    harness.answer()
    assert harness.turn() is not None


@pytest.mark.parametrize("threads", [1, 3])
def test_probe_goes_alone(threads: int) -> None:
    harness = make_harness(concurrency_limit=3, worker_threads=threads, circuit_breaker_threshold=1)
    harness.list_tasks("t0", "t1", "t2")
    for units in list(harness.units):
        for unit in units:
            slot = next(slot for slot, row in enumerate(harness.units) if unit in row)
            harness.fail_unit(slot, unit.id, retry=RetryReason.SERVER_ERROR)
    harness.pass_time(61.0)
    assert sum(len(units) for units in harness.units) == 1
