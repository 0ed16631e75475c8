"""A text that several tasks ask about is sent once, and each of them is answered."""

import pytest

from supervisor.providers.model_limits import Allowance
from supervisor.tasks.backlog import Backlog
from supervisor.tasks.groups import MAX_DUPLICATES, Group
from tests.builders import idle_workers, make_record


def ids(groups: list[Group]) -> list[list[str]]:
    return [[record.task.id for record in group] for group in groups]


def take(backlog: Backlog, slots: int, most: int, max_bytes: int = 10**9) -> list[Group]:
    allow = Allowance(most, max_bytes)
    return [group for _, group in backlog.take(idle_workers(slots), lambda _: allow)]


def test_same_text_takes_one_place_in_a_unit() -> None:
    backlog = Backlog()
    for number, text in enumerate(["same", "other", "same", "same"]):
        backlog.add(make_record(f"t{number}", text=text))
    assert ids(take(backlog, 1, 2)) == [["t0", "t2", "t3", "t1"]]
    assert len(backlog) == 0


@pytest.mark.parametrize("difference", ["model", "suspect", "text"])
def test_only_the_same_question_is_asked_once(difference: str) -> None:
    backlog = Backlog()
    backlog.add(make_record("a", text="same"))
    backlog.add(
        make_record(
            "b",
            text="other" if difference == "text" else "same",
            model="other" if difference == "model" else make_record().task.key.model,
            crashes=int(difference == "suspect"),
        )
    )
    assert sorted(ids(take(backlog, 5, 1))) == [["a"], ["b"]]


def test_same_text_that_comes_later_is_asked_again() -> None:
    backlog = Backlog()
    backlog.add(make_record("a", text="same"))
    assert ids(take(backlog, 1, 100)) == [["a"]]
    backlog.add(make_record("b", text="same"))
    assert ids(take(backlog, 1, 100)) == [["b"]]


def test_same_text_counts_once_toward_the_bytes_of_a_unit() -> None:
    backlog = Backlog()
    for number in range(5):
        backlog.add(make_record(f"t{number}", text="same"))
    assert len(take(backlog, 1, 100, max_bytes=4)[0]) == 5


def test_no_unit_grows_without_bound_by_one_text() -> None:
    backlog = Backlog()
    for number in range(MAX_DUPLICATES + 1):
        backlog.add(make_record(f"t{number}", text="same"))
    assert sorted(len(group) for group in take(backlog, 5, 1)) == [1, MAX_DUPLICATES]


def test_no_unit_grows_without_bound_by_many_texts_that_repeat() -> None:
    backlog = Backlog()
    for number in range(10 * MAX_DUPLICATES):
        backlog.add(make_record(f"t{number}", text=f"text {number % 100}"))
    groups = [take(backlog, 1, 100)[0] for _ in range(10)]
    assert all(len(group) <= MAX_DUPLICATES + 100 for group in groups)
    assert sum(map(len, groups)) == 10 * MAX_DUPLICATES
