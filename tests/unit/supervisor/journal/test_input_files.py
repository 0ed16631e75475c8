"""Large inputs wait in files beside the journal: they pass neither through its table nor through the loop."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from shared.messages import UnitDone
from shared.models import Task
from supervisor.journal.input_files import MAX_BYTES_IN_TABLE
from supervisor.pool.base import UnitFinished
from supervisor.task_api.responses import Health, PollAnswer, PollResult, TasksPolled
from supervisor.task_api.wire_formats import parse_page
from tests.builders import PROCESSORS, make_settings
from tests.fakes.harness import Harness, item
from workers.processors.text_embedding import EmbeddingInput

MB = 10**6
MAX_TURN_SECONDS = 0.25


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def harness(path: Path) -> Harness:
    return start(path)


def start(path: Path) -> Harness:
    harness = Harness(make_settings(concurrency_limit=2, batch_max_tasks=1), path)
    harness.supervisor.recover()
    harness.start_workers()
    return harness


def files(house_path: Path) -> list[str]:
    return sorted(file.name for file in house_path.parent.glob("inputs/*"))


def page(harness: Harness, body: bytes) -> TasksPolled:
    """As the page reader brings it."""
    request = harness.poller.requests.pop(0)
    read = parse_page(body, PROCESSORS, lambda: "made-here", request.limit, harness.journal.holds)
    read = replace(read, tasks=harness.journal.inputs.store(read.tasks))
    return TasksPolled(
        PollAnswer(PollResult.TASKS, Health.HEALTHY, request.limit, harness.clock(), page=read)
    )


def list_texts(harness: Harness, **texts: str) -> None:
    items = [item(name, input_data={"text": text, "model": "m"}) for name, text in texts.items()]
    harness.turn(page(harness, json.dumps(items).encode()))


def read(path: Path, task: Task) -> EmbeddingInput:
    place = task.input_place
    assert place is not None
    data = (path.parent / "inputs" / place.file).read_bytes()
    return EmbeddingInput(**json.loads(data[place.start : place.start + place.length]))


LONG = "long " * (MAX_BYTES_IN_TABLE // 5 + 1)


def test_large_inputs_of_a_page_share_a_file_and_small_ones_stay_in_the_table(
    harness: Harness, path: Path
) -> None:
    list_texts(harness, a=LONG, b="short", c=LONG + "er")
    tasks = [unit.tasks[0] for unit in harness.held.values()] + [r.task for r in harness.backlog.records()]
    told = {task.id: task.input or read(path, task) for task in tasks}
    assert told == {
        name: EmbeddingInput(text=text, model="m")
        for name, text in (("a", LONG), ("b", "short"), ("c", LONG + "er"))
    }
    assert len(files(path)) == 1
    assert path.with_name("journal.sqlite3-wal").stat().st_size < MB


def test_file_goes_with_the_last_of_its_tasks(harness: Harness, path: Path) -> None:
    list_texts(harness, a=LONG, b=LONG + "er")
    harness.finish(0)
    assert len(files(path)) == 1
    harness.finish(1)
    assert files(path) == []


def test_file_stays_until_the_end_of_its_task_is_written_down(harness: Harness, path: Path) -> None:
    list_texts(harness, a=LONG)
    harness.disk.fill()
    harness.finish(0)
    assert len(files(path)) == 1
    harness.disk.free()
    harness.turn()
    assert files(path) == []


def test_inputs_of_tasks_that_are_not_taken_leave_no_file(harness: Harness, path: Path) -> None:
    harness.stop()
    list_texts(harness, a=LONG)
    assert files(path) == []


def test_input_outlives_the_service_and_what_nobody_needs_is_removed(harness: Harness, path: Path) -> None:
    list_texts(harness, a=LONG)
    (kept,) = files(path)
    (path.parent / "inputs" / "0123.inputs").write_bytes(b"of a page that was never taken")
    harness.journal.close()
    again = start(path)
    again.turn()
    assert files(path) == [kept]
    (unit,) = again.held.values()
    assert read(path, unit.tasks[0]) == EmbeddingInput(text=LONG, model="m")
    again.finish(0)
    assert files(path) == []


def test_disk_that_takes_no_file_leaves_the_input_where_it_is(harness: Harness, path: Path) -> None:
    (path.parent / "inputs").write_text("no directory")
    list_texts(harness, a=LONG)
    (unit,) = harness.held.values()
    assert unit.tasks[0].input == EmbeddingInput(text=LONG, model="m")


def test_input_that_the_worker_cannot_read_is_tried_again_later(harness: Harness, path: Path) -> None:
    list_texts(harness, a=LONG)
    for _ in range(10):
        (unit,) = harness.held.values()
        harness.turn(UnitFinished(0, UnitDone(unit.id, unreadable={"a": "Input/output error"})))
        assert harness.held == {}
        harness.pass_time(31.0)
    assert not harness.status.holds
    assert not harness.status.troubles
    harness.finish(0)
    (job,) = harness.report_queue.jobs
    assert json.loads(job.body)["status"] == "succeeded"


def test_one_unreadable_input_holds_up_no_other_task_of_its_unit(path: Path) -> None:
    harness = Harness(make_settings(concurrency_limit=1, batch_max_tasks=10), path)
    harness.start_workers()
    list_texts(
        harness, fills_the_table="x" * (MAX_BYTES_IN_TABLE - 10), a="short", b="longer than that", c="d"
    )
    harness.finish(0)
    (unit,) = harness.held.values()
    assert {task.id for task in unit.tasks} == {"a", "b", "c"}
    harness.turn(UnitFinished(0, UnitDone(unit.id, unreadable={"b": "Input/output error"})))
    (unit,) = harness.held.values()
    assert {task.id for task in unit.tasks} == {"a", "c"}
    harness.finish(0)
    harness.pass_time(31.0)
    (unit,) = harness.held.values()
    assert {task.id for task in unit.tasks} == {"b"}


@pytest.mark.parametrize("loss", ["removed", "cut off"])
def test_task_whose_input_is_lost_is_taken_anew_from_the_next_page(
    harness: Harness, path: Path, loss: str
) -> None:
    list_texts(harness, a=LONG)
    (unit,) = harness.held.values()
    for file in path.parent.glob("inputs/*"):
        file.unlink() if loss == "removed" else file.write_bytes(b"cut")
    harness.turn(UnitFinished(0, UnitDone(unit.id, unreadable={"a": "no such file"})))
    assert not harness.journal.holds("a")
    harness.pass_time(31.0)
    list_texts(harness, a=LONG)
    (unit,) = harness.held.values()
    assert read(path, unit.tasks[0]) == EmbeddingInput(text=LONG, model="m")


def test_claimed_task_whose_input_is_lost_is_kept(path: Path) -> None:
    """The API lists it no longer."""
    harness = Harness(make_settings(concurrency_limit=1, claim_tasks=True), path)
    harness.start_workers()
    list_texts(harness, a=LONG)
    harness.answer_claim()
    (unit,) = harness.held.values()
    for file in path.parent.glob("inputs/*"):
        file.unlink()
    harness.turn(UnitFinished(0, UnitDone(unit.id, unreadable={"a": "no such file"})))
    assert harness.journal.holds("a")


Make = Callable[[int], str]
TEXTS: dict[str, Make] = {
    "one letter": lambda size: "a" * size,
    "words": lambda size: "ab " * (size // 3),
    "quotes": lambda size: '"' * (size // 2),
    "backslashes": lambda size: "\\" * (size // 2),
    "lines": lambda size: "a\n" * (size // 2),
    "control characters": lambda size: "a\x01" * (size // 7),
    "emoji": lambda size: "\U0001f600" * (size // 4),
    "one emoji among letters": lambda size: "a" * size + "\U0001f600",
}
ITEMS: dict[str, Callable[[str], dict[str, object]]] = {
    "text": lambda text: item("a", input_data={"text": text, "model": "m"}),
    "bare text": lambda text: {"_id": "a", "type": "text-embedding", "state": "pending", "content": text},
    "id": item,
    "type": lambda text: item("a", type=text),
    "model": lambda text: item("a", input_data={"text": "t", "model": text}),
    "state": lambda text: item("a", status=text),
    "unused field": lambda text: item("a", more=text),
}


def max_turn_seconds(path: Path, listed: dict[str, object], text: str) -> float:
    """CPU time of the longest turn while such a task is taken, refused with a quotation, and reported."""
    harness = start(path)
    turns: list[float] = []

    def timed(step: Callable[[], object]) -> None:
        began = time.thread_time()
        step()
        turns.append(time.thread_time() - began)

    polled = page(harness, json.dumps([listed], ensure_ascii=False).encode())
    timed(lambda: harness.turn(polled))
    said = f"cannot read {text}"
    for _ in range(3):
        for slot in list(harness.held):
            timed(partial(harness.fail, slot, said))
    timed(harness.turn)
    while harness.report_queue.jobs:
        timed(harness.answer)
    harness.journal.close()
    return max(turns)


@pytest.mark.parametrize("text", TEXTS)
def test_no_text_of_5_megabytes_holds_up_the_loop(path: Path, text: str) -> None:
    written = TEXTS[text](5 * MB)
    assert max_turn_seconds(path, ITEMS["text"](written), written) < MAX_TURN_SECONDS / 10


@pytest.mark.parametrize("place", ITEMS)
def test_nothing_of_an_item_holds_up_the_loop_however_long_it_is(path: Path, place: str) -> None:
    written = "a" * 5 * MB
    assert max_turn_seconds(path, ITEMS[place](written), written) < MAX_TURN_SECONDS / 10


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS)
def test_no_text_of_50_megabytes_holds_up_the_loop(path: Path, text: str) -> None:
    written = TEXTS[text](50 * MB)
    assert max_turn_seconds(path, ITEMS["text"](written), written) < MAX_TURN_SECONDS
