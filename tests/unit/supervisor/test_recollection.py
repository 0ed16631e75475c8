"""Settled tasks are remembered for a while, and no longer."""

from supervisor.tasks.recently_finished import Recollection


def test_task_is_remembered_until_its_time_is_over() -> None:
    memory = Recollection(600.0)
    memory.note("a", 100.0)
    assert memory.settled_at("a", 700.0) == 100.0
    assert memory.settled_at("a", 700.1) is None
    assert memory.settled_at("b", 100.0) is None


def test_task_settled_again_is_remembered_anew() -> None:
    memory = Recollection(600.0)
    memory.note("a", 100.0)
    memory.note("a", 500.0)
    assert memory.settled_at("a", 1000.0) == 500.0


def test_memory_does_not_grow_for_ever() -> None:
    memory = Recollection(600.0)
    for number in range(3000):
        memory.note(f"t{number}", number * 10.0)
    assert len(memory._settled_at) < 100
