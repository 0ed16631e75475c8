"""Which tasks run next, and together with which."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages import Failure
from shared.models import BatchKey, TextLength
from supervisor.journal.task_record import TaskRecord
from supervisor.pool.places import Free, Places
from supervisor.providers.model_limits import NOTHING, Allowance
from supervisor.tasks.backlog import Backlog, SetAside
from supervisor.tasks.groups import Group
from supervisor.tasks.ready_tasks import Allow
from tests.builders import idle_workers, make_record, make_records


def ids(groups: list[Group]) -> list[list[str]]:
    return [[record.task.id for record in group] for group in groups]


def take(backlog: Backlog, slots: int, most: int, max_bytes: int = 10**9) -> list[Group]:
    return groups(backlog, slots, lambda _: Allowance(most, max_bytes))


def groups(backlog: Backlog, slots: int, allow: Allow) -> list[Group]:
    return [group for _, group in backlog.take(idle_workers(slots), allow)]


def filled(count: int, model: str = "m") -> Backlog:
    backlog = Backlog()
    for record in make_records(count, model=model):
        backlog.add(record)
    return backlog


def test_empty_backlog_gives_nothing() -> None:
    backlog = Backlog()
    assert take(backlog, 5, 100) == []
    assert len(backlog) == 0
    assert backlog.next_due_at is None


@given(count=st.integers(1, 300), slots=st.integers(1, 20), most=st.integers(1, 100))
def test_tasks_are_spread_evenly_over_the_slots_in_their_order(count: int, slots: int, most: int) -> None:
    groups = take(filled(count), slots, most)
    sizes = [len(group) for group in groups]
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == min(count, slots * most)
    assert len(groups) == min(slots, count)
    taken = [record.task.id for group in groups for record in group]
    assert taken == [f"task-{number}" for number in range(1, sum(sizes) + 1)]


def test_group_shares_one_batch_key() -> None:
    backlog = Backlog()
    for number in range(6):
        backlog.add(make_record(f"t{number}", model="ab"[number % 2]))
    assert ids(take(backlog, 2, 100)) == [["t0", "t2", "t4"], ["t1", "t3", "t5"]]


def test_batch_keys_take_turns() -> None:
    backlog = Backlog()
    for number in range(4):
        backlog.add(make_record(f"a{number}", model="a"))
    for number in range(4):
        backlog.add(make_record(f"b{number}", model="b"))
    assert [ids(take(backlog, 1, 2))[0] for _ in range(4)] == [
        ["a0", "a1"],
        ["b0", "b1"],
        ["a2", "a3"],
        ["b2", "b3"],
    ]


def test_more_keys_than_slots_wait_their_turn() -> None:
    backlog = Backlog()
    for model in "abc":
        backlog.add(make_record(model, model=model))
    assert ids(take(backlog, 2, 100)) == [["a"], ["b"]]
    assert ids(take(backlog, 2, 100)) == [["c"]]


def test_suspect_runs_alone() -> None:
    backlog = filled(4)
    backlog.add(make_record("suspect", model="m", crashes=1))
    groups = ids(take(backlog, 3, 100))
    assert ["suspect"] in groups
    assert len(groups) == 3


def test_suspects_take_at_most_half_of_the_slots_while_others_wait() -> None:
    backlog = filled(100)
    for number in range(10):
        backlog.add(make_record(f"suspect-{number}", crashes=1))
    groups = ids(take(backlog, 4, 10))
    assert sum(group[0].startswith("suspect") for group in groups) == 2
    assert len(groups) == 4


def test_suspects_take_all_slots_where_nothing_else_waits() -> None:
    backlog = Backlog()
    for number in range(10):
        backlog.add(make_record(f"suspect-{number}", crashes=1))
    assert len(take(backlog, 4, 10)) == 4


def test_suspects_take_the_slots_that_others_leave_free() -> None:
    backlog = filled(1)
    for number in range(10):
        backlog.add(make_record(f"suspect-{number}", crashes=1))
    groups = ids(take(backlog, 4, 10))
    assert sum(group[0].startswith("suspect") for group in groups) == 3


def test_fragment_runs_as_it_is() -> None:
    backlog = filled(4)
    backlog.add_split((make_record("f1", model="m"), make_record("f2", model="m")))
    assert ids(take(backlog, 2, 100)) == [["f1", "f2"], ["task-1", "task-2", "task-3", "task-4"]]


def test_fragment_larger_than_a_unit_may_be_is_cut() -> None:
    backlog = Backlog()
    backlog.add_split(make_records(5))
    assert ids(take(backlog, 1, 2)) == [["task-1", "task-2"]]
    assert ids(take(backlog, 5, 2)) == [["task-3", "task-4"], ["task-5"]]


def test_tasks_put_back_run_before_those_that_came_after_them() -> None:
    backlog = filled(4)
    (first,) = take(backlog, 1, 2)
    backlog.put_back(first)
    assert ids(take(backlog, 1, 100)) == [["task-1", "task-2", "task-3", "task-4"]]


def test_suspect_put_back_is_still_alone() -> None:
    backlog = Backlog()
    backlog.put_back([make_record("s", crashes=1), make_record("t")])
    assert sorted(ids(take(backlog, 5, 100))) == [["s"], ["t"]]


def test_delayed_task_waits_for_its_time() -> None:
    backlog = Backlog()
    backlog.add_later((make_record("later"),), 20.0)
    backlog.add_later((make_record("sooner"),), 10.0)
    assert (len(backlog), backlog.next_due_at) == (2, 10.0)
    backlog.wake(9.9)
    assert take(backlog, 5, 100) == []
    backlog.wake(10.0)
    assert ids(take(backlog, 5, 100)) == [["sooner"]]
    assert backlog.next_due_at == 20.0


def test_tasks_delayed_together_run_together_and_before_younger_ones() -> None:
    backlog = filled(2)
    backlog.add_later((make_record("d1", model="m"),), 10.0)
    backlog.add_later((make_record("d2", model="m"),), 10.0)
    backlog.wake(10.0)
    assert ids(take(backlog, 1, 100)) == [["d1", "d2", "task-1", "task-2"]]


def test_delayed_suspect_wakes_as_a_suspect() -> None:
    backlog = filled(2)
    backlog.add_later((make_record("s", model="m", crashes=1),), 10.0)
    backlog.wake(10.0)
    assert ["s"] in ids(take(backlog, 2, 100))


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_records_lists_all_that_waits(slots: int) -> None:
    backlog = filled(3)
    backlog.add(make_record("suspect", crashes=1))
    backlog.add_later((make_record("delayed"),), 10.0)
    backlog.add_split((make_record("piece"),))
    waiting = {record.task.id for record in backlog.records()}
    assert waiting == {"task-1", "task-2", "task-3", "suspect", "delayed", "piece"}
    assert len(backlog) == 6


def test_backlog_can_be_emptied_at_once() -> None:
    backlog = filled(3)
    backlog.add(make_record("suspect", crashes=1))
    backlog.add_later((make_record("delayed"),), 10.0)
    backlog.add_split((make_record("piece"),))
    assert len(backlog.take_all()) == 6
    assert len(backlog) == 0
    assert list(backlog.records()) == []
    assert take(backlog, 5, 100) == []
    assert backlog.next_due_at is None


def test_group_holds_no_more_bytes_than_allowed() -> None:
    backlog = filled(5)
    size_bytes = make_record("task-1").task.size_bytes
    assert ids(take(backlog, 1, 100, max_bytes=2 * size_bytes)) == [["task-1", "task-2"]]


def test_group_of_one_may_be_larger_than_allowed() -> None:
    assert ids(take(filled(2), 1, 100, max_bytes=1)) == [["task-1"]]


def test_key_that_is_allowed_nothing_waits_while_others_go_on() -> None:
    backlog = filled(2, model="waits")
    backlog.add(make_record("goes", model="goes"))
    taken = groups(backlog, 5, lambda key: Allowance(0 if key.model == "waits" else 100))
    assert ids(taken) == [["goes"]]
    assert len(backlog) == 2


def test_what_is_allowed_is_asked_anew_for_each_group() -> None:
    backlog = filled(3)
    allowances = iter([Allowance(1), NOTHING, NOTHING])
    assert ids(groups(backlog, 3, lambda _: next(allowances, NOTHING))) == [["task-1"]]
    assert len(backlog) == 2


def doubtful(task_id: str) -> TaskRecord:
    """A task whose text may be too long for its model."""
    record = make_record(task_id)
    return replace(record, task=replace(record.task, length=TextLength.DOUBTFUL))


@pytest.mark.parametrize("how", ["added", "put back", "woken"])
def test_text_that_may_be_too_long_goes_alone(how: str) -> None:
    backlog = filled(2)
    match how:
        case "added":
            backlog.add(doubtful("long"))
        case "put back":
            backlog.put_back([doubtful("long")])
        case "woken":
            backlog.add_later((doubtful("long"),), 1.0)
            backlog.wake(1.0)
    assert sorted(ids(take(backlog, 2, 100))) == [["long"], ["task-1", "task-2"]]


def test_answer_about_a_model_is_awaited_of_one_provider_alone() -> None:
    backlog = Backlog()
    aside = SetAside((make_record("aside", model="m"),), Failure("not there"), 0.0, "first")
    backlog.add_aside(aside)
    waits = [backlog.waits_for_answer(*asked) for asked in (("first", "m"), ("second", "m"), ("first", "n"))]
    assert waits == [True, False, False]
    assert backlog.take_aside("second", "m") == []
    assert backlog.take_aside("first", "m") == [aside]


def test_waiting_tasks_are_counted_by_key_until_they_are_taken() -> None:
    backlog = filled(2, model="m")
    backlog.add_later((make_record("later", model="n"),), 10.0)
    assert {key.model: count for key, count in backlog.waiting.items()} == {"m": 2, "n": 1}
    take(backlog, 2, 100)
    assert {key.model: count for key, count in backlog.waiting.items()} == {"n": 1}


def test_key_that_may_not_go_takes_no_share_of_the_workers_from_another() -> None:
    backlog = filled(8, model="m")
    backlog.add(make_record("held", model="n"))

    def allow(key: BatchKey) -> Allowance:
        return NOTHING if key.model == "n" else Allowance(100)

    assert [len(group) for group in groups(backlog, 4, allow)] == [2, 2, 2, 2]


@pytest.mark.parametrize("crashes", [0, 1])
def test_piece_of_a_unit_or_a_suspect_alone_is_ready(crashes: int) -> None:
    backlog = Backlog()
    backlog.add_later((make_record("later"),), 10.0)
    seen = [any(backlog.ready_keys())]
    if crashes:
        backlog.add(make_record("suspect", crashes=crashes))
    else:
        backlog.add_split((make_record("piece"),))
    seen.append(any(backlog.ready_keys()))
    assert seen == [False, True]


def urgent(
    task_id: str, priority: int, *, model: str = "m", task_type: str = "", crashes: int = 0
) -> TaskRecord:
    record = make_record(task_id, model=model, crashes=crashes)
    key = replace(record.task.key, task_type=task_type or record.task.task_type)
    return replace(record, task=replace(record.task, key=key, priority=priority))


def one_by_one(backlog: Backlog) -> list[str]:
    """The tasks in the order in which a single worker gets them, one at a time."""
    order: list[str] = []
    while taken := take(backlog, 1, 1):
        order += [record.task.id for group in taken for record in group]
    return order


@given(priorities=st.lists(st.integers(-3, 3), max_size=40), models=st.sampled_from(["a", "ab", "abc"]))
def test_higher_priority_goes_first_and_equal_ones_in_their_order(priorities: list[int], models: str) -> None:
    backlog = Backlog()
    for number, priority in enumerate(priorities):
        backlog.add(urgent(str(number), priority, model=models[number % len(models)]))
    taken = [int(task_id) for task_id in one_by_one(backlog)]
    assert [priorities[number] for number in taken] == sorted(priorities, reverse=True)
    for model in range(len(models)):
        of_model = [number for number in taken if number % len(models) == model]
        assert of_model == sorted(of_model, key=lambda number: (-priorities[number], number))


def test_unit_is_filled_with_tasks_of_lower_priority_behind_the_higher_ones() -> None:
    backlog = Backlog()
    for number, priority in enumerate((0, 2, 1, 2, 0)):
        backlog.add(urgent(f"t{number}", priority))
    assert ids(take(backlog, 1, 4)) == [["t1", "t3", "t2", "t0"]]


def test_batch_key_that_holds_the_highest_priority_goes_first() -> None:
    backlog = Backlog()
    for task_id, priority, model in (("a1", 1, "a"), ("b0", 0, "b"), ("b2", 2, "b"), ("c1", 1, "c")):
        backlog.add(urgent(task_id, priority, model=model))
    assert [ids(take(backlog, 1, 100)) for _ in range(3)] == [[["b2", "b0"]], [["a1"]], [["c1"]]]


def test_task_of_higher_priority_that_may_not_go_holds_up_no_other() -> None:
    backlog = Backlog()
    backlog.add(urgent("high", 9, model="closed"))
    backlog.add(urgent("low", 0))
    assert ids(groups(backlog, 2, lambda key: Allowance(0 if key.model == "closed" else 9))) == [["low"]]


def put(backlog: Backlog, how: str, task_id: str, priority: int) -> None:
    """The task has met something, and may go again."""
    record = urgent(task_id, priority, crashes=1 if how == "suspect" else 0)
    match how:
        case "piece":
            backlog.add_split((record,))
        case "retry":
            backlog.add_later((record,), 1.0)
            backlog.wake(1.0)
        case "put back":
            backlog.put_back([record])
        case "piece put back":
            failed = record.after_setback(2)
            backlog.put_back([failed, replace(failed, task=replace(failed.task, id="other", content_id=""))])
        case "long":
            backlog.add(replace(record, task=replace(record.task, length=TextLength.DOUBTFUL)))
        case _:
            backlog.add(record)


@pytest.mark.parametrize("how", ["piece", "retry", "put back", "piece put back", "long", "suspect"])
def test_what_goes_again_passes_no_task_of_higher_priority(how: str) -> None:
    backlog = Backlog()
    put(backlog, how, "again", 0)
    backlog.add(urgent("higher", 1))
    backlog.add(urgent("lower", -1, model="n"))
    order = one_by_one(backlog)
    assert order.index("higher") < order.index("again") < order.index("lower")


def test_mixed_piece_goes_with_its_highest_priority() -> None:
    backlog = Backlog()
    backlog.add(urgent("middle", 1))
    backlog.add_split((urgent("low", 0), urgent("high", 2)))
    assert ids(take(backlog, 1, 9)) == [["low", "high"]]


def test_suspect_of_low_priority_keeps_no_worker_empty_for_itself() -> None:
    """Each worker holds a unit and has room for another."""
    backlog = Backlog()
    backlog.add(urgent("suspect", 0, crashes=1))
    for number in range(3):
        backlog.add(urgent(f"high-{number}", 1))
    busy = Places([Free(slot, held=1, room=1) for slot in range(2)], max_suspects=1)
    assert len(list(backlog.take(busy, lambda _: Allowance(1)))) == 2


def test_same_text_of_two_priorities_is_asked_for_each() -> None:
    backlog = Backlog()
    same = [make_record(name, text="same") for name in "abc"]
    for record, priority in zip(same, (0, 5, 0), strict=True):
        backlog.add(replace(record, task=replace(record.task, priority=priority)))
    assert ids([*take(backlog, 1, 1), *take(backlog, 1, 1)]) == [["b"], ["a", "c"]]


def of_types(**tasks: int) -> Backlog:
    """So many tasks of each type, each of a model of its own."""
    backlog = Backlog()
    for task_type, count in tasks.items():
        for number in range(count):
            backlog.add(urgent(f"{task_type}{number}", 0, model=f"m{number}", task_type=task_type))
    return backlog


def test_types_take_turns_however_many_batch_keys_one_has() -> None:
    assert one_by_one(of_types(a=50, b=2, c=1))[:6] == ["a0", "b0", "c0", "a1", "b1", "a2"]


def test_type_that_comes_late_has_the_next_turn() -> None:
    backlog = of_types(a=9)
    take(backlog, 1, 1)
    backlog.add(urgent("late", 0, task_type="b"))
    assert one_by_one(backlog)[0] == "late"


def test_type_with_fewest_units_under_way_is_next() -> None:
    backlog = of_types(slow=9, quick=9)
    running = {"slow": 3, "quick": 1}
    order = []
    for _, group in backlog.take(idle_workers(6), lambda _: Allowance(1), running):
        order.append(group[0].task.task_type)
        running[order[-1]] += 1
    assert order == ["quick", "quick", "slow", "quick", "slow", "quick"]


def test_pieces_and_long_texts_of_one_type_leave_another_its_turns() -> None:
    backlog = Backlog()
    for number in range(20):
        put(backlog, ("long", "piece", "retry")[number % 3], f"a{number}", 0)
    for number in range(3):
        backlog.add(urgent(f"b{number}", 0, task_type="b"))
    turns = one_by_one(backlog)
    assert [turns.index(f"b{number}") for number in range(3)] == [1, 3, 5]


def test_exclusive_task_waits_while_a_higher_priority_may_go() -> None:
    backlog = Backlog()
    alone = replace(urgent("alone", 0, crashes=1), exclusive=True)
    backlog.add(alone)
    backlog.add(urgent("high", 1))
    nothing = backlog.next_exclusive(lambda _: Allowance(1))
    take(backlog, 1, 1)
    assert (nothing, backlog.next_exclusive(lambda _: Allowance(1))) == (None, alone)


def test_a_task_that_runs_with_nothing_beside_it_can_be_removed_too() -> None:
    backlog = Backlog()
    backlog.add(replace(make_record("alone"), exclusive=True))
    backlog.add(make_record("other"))
    assert [record.task.id for record in backlog.remove({"alone"})] == ["alone"]
    assert [record.task.id for record in backlog.records()] == ["other"]
    assert backlog.next_exclusive(lambda _: Allowance(1)) is None


def test_tasks_are_removed_wherever_they_wait_and_the_others_keep_their_place() -> None:
    backlog = Backlog()
    backlog.add(make_record("ready"))
    backlog.add(replace(make_record("suspect"), crashes=1))
    for name in ("a", "b"):
        backlog.add_later((make_record(f"later-{name}"),), due_at=5.0 if name == "a" else 6.0)
        backlog.add_split((make_record(f"piece-{name}"), make_record(f"rest-{name}")))
        aside = SetAside((make_record(f"aside-{name}"),), Failure("no"), 0.0, f"provider-{name}")
        backlog.add_aside(aside)
    before = {record.task.id for record in backlog.records()}
    lost = {"ready", "suspect", "later-a", "piece-a", "rest-a", "piece-b", "aside-a"}
    assert {record.task.id for record in backlog.remove(lost)} == lost
    assert {record.task.id for record in backlog.records()} == before - lost
    assert len(backlog) == len(before - lost)
    assert backlog.next_due_at == 6.0
    assert [provider for provider, _ in backlog.awaited()] == ["provider-b"]
    assert ids(take(backlog, 3, 10)) == [["rest-b"]]
