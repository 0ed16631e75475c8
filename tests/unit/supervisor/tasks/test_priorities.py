"""Higher priority goes first; task types of one priority share the workers; TASK_LIMITS bounds a type."""

from collections import Counter
from pathlib import Path

from shared.errors import RetryReason
from supervisor.status.status import TaskTypeStatus
from tests.builders import make_settings
from tests.fakes.harness import Harness, item


def listed(harness: Harness, **priorities: int) -> None:
    harness.list_tasks(*(item(name, priority=priority) for name, priority in priorities.items()))


def one_at_a_time(path: Path = Path(":memory:"), **fields: object) -> Harness:
    """One worker, which is given one task at a time."""
    return Harness(make_settings(concurrency_limit=1, batch_max_tasks=1, **fields), path)


def run_all(harness: Harness) -> list[str]:
    """The tasks in the order in which they run."""
    order: list[str] = []
    while harness.held:
        order += [task.id for task in harness.held[0].tasks]
        harness.finish(0)
    return order


def test_priority_outlives_a_restart(tmp_path: Path) -> None:
    first = one_at_a_time(tmp_path / "journal")
    first.turn()
    listed(first, low=-1, usual=0, high=1)
    first.journal.close()
    second = one_at_a_time(tmp_path / "journal")
    second.supervisor.recover()
    second.start_workers()
    assert run_all(second) == ["high", "usual", "low"]


def generation(task_id: str, **fields: object) -> dict[str, object]:
    return item(
        task_id, type="text-generation", input_data={"prompt": f"say {task_id}", "model": "chat"}, **fields
    )


def of_types(harness: Harness) -> Counter[str]:
    """How many units of each type run."""
    return Counter(unit.key.task_type for unit in harness.held.values())


def test_higher_priority_runs_first_in_whatever_order_tasks_are_listed() -> None:
    harness = one_at_a_time()
    harness.start_workers()
    listed(harness, low=-1, usual=0, high=1)
    assert run_all(harness) == ["high", "usual", "low"]


def test_both_shapes_have_priorities() -> None:
    harness = one_at_a_time()
    harness.turn()
    nestjs = {"_id": "high", "type": "text_embedding", "state": "pending", "content": "hello", "priority": 1}
    harness.list_tasks("usual", nestjs)
    harness.start_workers()
    assert run_all(harness) == ["high", "usual"]


def test_retry_of_low_priority_passes_no_task_of_a_higher_one() -> None:
    harness = one_at_a_time(circuit_breaker_threshold=100)
    harness.start_workers()
    listed(harness, low=0)
    harness.fail(0, retry=RetryReason.TIMEOUT)
    harness.pass_time(1.5)
    harness.clock.advance(1.0)
    harness.turn(harness.page(item("high", priority=1), item("low"), item("higher", priority=2)))
    assert run_all(harness) == ["higher", "high", "low"]


def test_types_share_the_workers_whatever_waits_of_each() -> None:
    harness = Harness(make_settings(concurrency_limit=6, batch_max_tasks=1))
    harness.turn()
    harness.list_tasks(*(f"e{number}" for number in range(50)), *(generation(f"g{n}") for n in range(9)))
    harness.start_workers()
    assert of_types(harness) == {"text-embedding": 3, "text-generation": 3}


def test_workers_that_become_free_go_to_the_type_with_fewest_units() -> None:
    """Slow units of one type would have all workers soon, if types had turns alone."""
    harness = Harness(make_settings(concurrency_limit=6, batch_max_tasks=1))
    harness.turn()
    harness.list_tasks(*(f"e{number}" for number in range(50)), *(generation(f"g{n}") for n in range(9)))
    harness.start_workers()
    for _ in range(20):
        harness.finish(next(s for s, unit in harness.held.items() if unit.key.task_type == "text-embedding"))
    assert of_types(harness) == {"text-embedding": 3, "text-generation": 3}


def test_limit_bounds_the_units_of_a_type_and_leaves_the_rest_to_others() -> None:
    harness = Harness(
        make_settings(concurrency_limit=6, batch_max_tasks=1, task_limits={"text-generation": 2})
    )
    harness.turn()
    harness.list_tasks(*(generation(f"g{n}", priority=1) for n in range(9)), *(f"e{n}" for n in range(9)))
    harness.start_workers()
    assert of_types(harness) == {"text-embedding": 4, "text-generation": 2}
    while harness.held:
        harness.finish(next(iter(harness.held)))
        assert of_types(harness)["text-generation"] <= 2
    assert len(harness.backlog) == 0


def test_service_at_a_limit_is_not_idle_and_does_not_spin() -> None:
    harness = Harness(
        make_settings(concurrency_limit=4, batch_max_tasks=1, task_limits={"text-embedding": 1})
    )
    harness.start_workers()
    harness.list_tasks("a", "b", "c")
    assert (len(harness.held), harness.status.idle) == (1, None)
    harness.pass_time(30.0)
    assert run_all(harness)[:1] == ["a"]


def test_canary_counts_toward_the_limit_of_its_type() -> None:
    """A refused text is judged by a canary, which waits for room as any unit."""
    harness = Harness(
        make_settings(concurrency_limit=4, batch_max_tasks=1, task_limits={"text-embedding": 1})
    )
    harness.start_workers()
    harness.list_tasks("a", "b")
    most = 1
    harness.fail(0)
    for _ in range(9):
        most = max(most, len(harness.held))
        if harness.held:
            harness.clock.advance(0.01)
            harness.finish(next(iter(harness.held)))
    assert (most, len(harness.backlog)) == (1, 0)


def test_status_says_what_waits_and_runs_of_each_type() -> None:
    limits = {"text-generation": 1, "of-a-plug-in-that-is-missing": 3}
    harness = Harness(make_settings(concurrency_limit=4, batch_max_tasks=2, task_limits=limits))
    harness.turn()
    harness.list_tasks("e1", "e2", "e3", generation("g1"), generation("g2"))
    harness.start_workers(2)
    harness.fail(0, retry=RetryReason.TIMEOUT)
    assert harness.status.task_types == (
        TaskTypeStatus("text-embedding", waiting=2, running=1, limit=None),
        TaskTypeStatus("text-generation", waiting=1, running=1, limit=1),
        TaskTypeStatus("of-a-plug-in-that-is-missing", waiting=0, running=0, limit=3),
    )
