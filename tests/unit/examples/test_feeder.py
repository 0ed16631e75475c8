"""The one who gives the demo's task API its work."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from examples.demo.corpus import all_passages
from examples.demo.feeder import Feeder
from examples.task_api.server import TaskApiServer
from examples.task_api.task import State


@pytest.fixture
def task_api(tmp_path: Path) -> Iterator[TaskApiServer]:
    with TaskApiServer(tmp_path / "tasks.sqlite") as server:
        yield server


def pauses(count: int) -> Iterator[bool]:
    """A pause that says after so many times that it is time to end."""
    yield from [False] * count
    yield True


def pending(server: TaskApiServer) -> int:
    return server.store.summary().by_state.get(State.PENDING, 0)


def test_work_is_posted_each_second_until_the_end(task_api: TaskApiServer) -> None:
    turns = pauses(3)
    Feeder(task_api.url, 2, all_passages(), lambda _: next(turns), lambda low, high: high).run()
    assert pending(task_api) == 3 * 4


def test_a_second_without_work_posts_nothing(task_api: TaskApiServer) -> None:
    turns = pauses(2)
    Feeder(task_api.url, 2, all_passages(), lambda _: next(turns), lambda low, high: low).run()
    assert pending(task_api) == 0


def test_work_that_was_not_taken_is_offered_again_until_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    turns = pauses(3)
    passages = islice(all_passages(), 1000)
    Feeder("http://127.0.0.1:1", 2, passages, lambda _: next(turns), lambda low, high: high).run()
    assert len(list(passages)) == 1000 - 4
    assert capsys.readouterr().err.count("took no work") == 3
