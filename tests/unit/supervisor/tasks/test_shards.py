"""Replicas without claims share the tasks out by their ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.tasks.intake import Shard
from tests.builders import make_settings
from tests.fakes.harness import Harness, item


def waiting(harness: Harness) -> list[str]:
    return [record.task.id for record in harness.backlog.records()]


@given(task_id=st.text(min_size=1), count=st.integers(1, 9))
def test_every_id_belongs_to_exactly_one_shard(task_id: str, count: int) -> None:
    assert [Shard(count, index).owns(task_id) for index in range(count)].count(True) == 1


@pytest.mark.parametrize(("task_id", "index"), [("t1", 2), ("t2", 2), ("ü", 1)])
def test_shard_of_an_id_is_the_same_on_every_machine(task_id: str, index: int) -> None:
    assert Shard(3, index).owns(task_id)


def test_shards_are_of_about_one_size() -> None:
    owned = [sum(Shard(4, index).owns(f"task-{n}") for n in range(4000)) for index in range(4)]
    assert min(owned) > 900


def test_tasks_and_broken_items_of_other_shards_are_left_to_them() -> None:
    houses = [Harness(make_settings(shard_count=2, shard_index=index)) for index in range(2)]
    names = [f"t{number}" for number in range(20)]
    for harness in houses:
        harness.turn()
        harness.list_tasks(*names, *[item(f"x{number}", type="paint") for number in range(20)])
    taken = [waiting(harness) for harness in houses]
    failed = [[job.task_id for job in harness.answer_all()] for harness in houses]
    assert sorted(taken[0] + taken[1]) == sorted(names)
    assert sorted(failed[0] + failed[1]) == sorted(f"x{number}" for number in range(20))
    assert all((*taken, *failed))
