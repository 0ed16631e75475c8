"""Which worker holds what, as the events tell it."""

import pytest

from supervisor.pool.slot_table import SlotTable
from supervisor.status.status import SlotState
from tests.builders import make_assignment, make_record, make_records


@pytest.fixture
def table() -> SlotTable:
    """Three slots; the first two have a worker that is ready."""
    table = SlotTable(3, now=10.0)
    table.started(0, 100, now=20.0)
    table.started(1, 101, now=20.0)
    return table


def test_slot_starts_without_a_worker() -> None:
    table = SlotTable(2, now=10.0)
    assert [(slot.state, slot.since, slot.pid) for slot in table] == [(SlotState.STARTING, 10.0, None)] * 2
    assert table.with_room() == table.busy() == []


def test_worker_that_started_is_idle(table: SlotTable) -> None:
    assert table.with_room() == [0, 1]
    assert (table[0].pid, table[0].since) == (100, 20.0)


def test_worker_with_a_unit_is_busy(table: SlotTable) -> None:
    assignment = make_assignment(*make_records(3), started_at=30.0)
    table.assign(1, assignment)
    assert (table.with_room(), table.busy()) == ([0], [1])
    assert table.tasks_in_flight() == 3
    assert (table[1].since, list(table.assignments())) == (30.0, [assignment])


def test_finished_unit_frees_its_worker(table: SlotTable) -> None:
    assignment = make_assignment(*make_records(3), unit_id=7)
    table.assign(0, assignment)
    assert table.finished(0, 7, now=40.0) is assignment
    assert table.with_room() == [0, 1]
    assert (table[0].tasks_done, table[0].since, table.tasks_in_flight()) == (3, 40.0, 0)


def test_answer_to_another_unit_changes_nothing(table: SlotTable) -> None:
    table.assign(0, make_assignment(make_record(), unit_id=7))
    assert table.finished(0, 6, now=40.0) is None
    assert table.finished(1, 7, now=40.0) is None
    assert table.busy() == [0]
    assert table[0].tasks_done == 0


def test_dead_worker_hands_back_what_it_held(table: SlotTable) -> None:
    assignment = make_assignment(make_record())
    table.assign(0, assignment)
    assert table.died(0, was_ready=True, now=50.0) == [assignment]
    row = table[0]
    assert (row.state, row.since, row.pid, row.assignments) == (SlotState.STARTING, 50.0, None, {})
    assert (row.restarts, row.failed_starts) == (1, 0)
    assert table.died(1, was_ready=True, now=50.0) == []


def test_starts_that_fail_are_counted_until_one_succeeds(table: SlotTable) -> None:
    for _ in range(3):
        table.died(2, was_ready=False, now=50.0)
    assert (table[2].failed_starts, table[2].restarts) == (3, 3)
    table.started(2, 102, now=60.0)
    assert (table[2].failed_starts, table[2].restarts) == (0, 3)


def test_new_worker_has_done_no_task(table: SlotTable) -> None:
    table.assign(0, make_assignment(make_record(), unit_id=7))
    table.finished(0, 7, now=30.0)
    table.died(0, was_ready=True, now=40.0)
    table.started(0, 103, now=50.0)
    assert table[0].tasks_done == 0


def test_worker_that_is_let_go_is_neither_idle_nor_busy(table: SlotTable) -> None:
    table.recycling(0, now=40.0)
    assert (table[0].state, table[0].since) == (SlotState.RECYCLING, 40.0)
    assert (table.with_room(), table.busy()) == ([1], [])


def test_unit_past_its_deadline_is_overdue_until_it_was_told(table: SlotTable) -> None:
    table.assign(0, make_assignment(make_record(), started_at=0.0))
    table.assign(1, make_assignment(make_record("b"), started_at=5.0))
    assert table.next_deadline() == 180.0
    assert table.overdue(179.9) == []
    assert table.overdue(180.0) == [0]
    table.killed(0, 180.0)
    assert table.overdue(180.0) == []
    assert table.next_deadline() == 185.0


def test_worker_that_is_killed_for_a_unit_gets_no_other_though_the_unit_ends(table: SlotTable) -> None:
    table.assign(0, make_assignment(make_record(), unit_id=7, started_at=0.0))
    table.killed(0, 200.0)
    table.finished(0, 7, now=200.0)
    assert table.with_room() == [1]


def test_next_worker_has_deadlines_of_its_own(table: SlotTable) -> None:
    table.assign(0, make_assignment(make_record(), unit_id=7, started_at=0.0))
    table.killed(0, 200.0)
    table.died(0, was_ready=True, now=200.0)
    table.started(0, 104, now=201.0)
    table.assign(0, make_assignment(make_record(), unit_id=8, started_at=300.0))
    assert table.next_deadline() == 480.0
    assert table.overdue(480.0) == [0]


def test_nothing_running_has_no_deadline(table: SlotTable) -> None:
    assert table.next_deadline() is None
