"""Inputs beyond what memory may hold wait in the journal; their tasks run like any other."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.messages import Failure
from supervisor.providers.model_limits import Allowance
from supervisor.tasks.backlog import Backlog, SetAside
from tests.builders import idle_workers, make_record, make_settings, text_in
from tests.fakes.clock import Clock
from tests.fakes.harness import Harness, item
from tests.fakes.journals import open_task_journal

Lines = list[MutableMapping[str, Any]]
ROOM = 30
"""Bytes: three texts of TEXT_BYTES fit."""
TEXT_BYTES = 10
NO_ROOM = 0


def text_of(number: int) -> str:
    return f"{number:0{TEXT_BYTES}}"


def one_at_a_time(path: Path, max_bytes: int = NO_ROOM, clock: Clock | None = None) -> Harness:
    """A harness with one worker, which gets a task at a time."""
    settings = make_settings(concurrency_limit=1, batch_max_tasks=1)
    return Harness(settings, path, clock, max_bytes_in_memory=max_bytes)


def texts(harness: Harness) -> list[object]:
    """What the worker of slot 0 was given."""
    return [text_in(task) for task in harness.held[0].tasks]


def stored(harness: Harness) -> bytes:
    row: bytes = harness.disk.execute("SELECT task FROM tasks ORDER BY number").fetchone()[0]
    return row


def in_memory(harness: Harness) -> int:
    return sum(record.has_input for record in harness.backlog.records())


@pytest.mark.parametrize("way", ["add", "put_back", "add_later", "add_split", "add_aside"])
def test_backlog_keeps_the_first_inputs_and_counts_all(way: str) -> None:
    backlog = Backlog(ROOM)
    for number in range(5):
        record = make_record(f"t{number}", text=text_of(number))
        match way:
            case "add":
                backlog.add(record)
            case "put_back":
                backlog.put_back([record])
            case "add_later":
                backlog.add_later((record,), 10.0)
            case "add_split":
                backlog.add_split((record,))
            case _:
                backlog.add_aside(SetAside((record,), Failure("no"), 0.0, "openai"))
    assert {record.task.id for record in backlog.records() if record.has_input} == {"t0", "t1", "t2"}
    assert (len(backlog), backlog.size_bytes) == (5, 5 * TEXT_BYTES)


def test_room_is_free_again_when_tasks_have_gone_out() -> None:
    backlog = Backlog(ROOM)
    for turn in range(3):
        for number in range(3):
            backlog.add(make_record(f"t{turn}-{number}", text=text_of(number)))
        ((_, group),) = backlog.take(idle_workers(1), lambda _: Allowance(3))
        assert all(record.has_input for record in group)
        assert backlog.size_bytes == 0


def test_woken_tasks_are_counted_once() -> None:
    backlog = Backlog(ROOM)
    backlog.add_later((make_record("t", text=text_of(1)),), 1.0)
    backlog.wake(2.0)
    assert (len(backlog), backlog.size_bytes) == (1, TEXT_BYTES)
    backlog.take_all()
    assert (len(backlog), backlog.size_bytes) == (0, 0)


def test_task_that_waited_on_disk_is_given_out_whole(tmp_path: Path) -> None:
    harness = one_at_a_time(tmp_path / "journal")
    harness.start_workers()
    harness.list_tasks("a", "b", "c")
    assert texts(harness) == ["text of a"]
    assert in_memory(harness) == 0
    for name in ("b", "c"):
        harness.finish(0)
        assert texts(harness) == [f"text of {name}"]


def test_task_is_given_out_whole_in_the_turn_in_which_it_came() -> None:
    """Its row is not yet committed then."""
    harness = Harness(max_bytes_in_memory=NO_ROOM)
    harness.start_workers()
    harness.list_tasks("a")
    assert texts(harness) == ["text of a"]


def test_task_that_waits_on_disk_is_not_taken_in_again(tmp_path: Path) -> None:
    harness = one_at_a_time(tmp_path / "journal")
    harness.turn()
    harness.list_tasks("a", "b")
    harness.pass_time(40.0)
    harness.list_tasks("a", "b", "c")
    assert sorted(record.task.id for record in harness.backlog.records()) == ["a", "b", "c"]


def test_retries_keep_the_input_on_disk(tmp_path: Path) -> None:
    harness = one_at_a_time(tmp_path / "journal")
    harness.start_workers()
    harness.list_tasks("a")
    harness.die(0)
    harness.turn()
    assert texts(harness) == ["text of a"]
    harness.journal.close()
    again = open_task_journal(tmp_path / "journal")
    assert [again.input_of(record) for record in again.recover(0.0).interrupted] == [
        make_record("a").task.input.model_dump()
    ]


def test_recovery_reads_no_more_inputs_than_memory_may_hold(tmp_path: Path) -> None:
    journal = open_task_journal(tmp_path / "journal")
    journal.note_ready(make_record(f"t{number}", text=text_of(number)) for number in range(5))
    journal.commit()
    records = open_task_journal(tmp_path / "journal").recover(0.0, max_input_bytes=ROOM).records
    assert [record.has_input for record in records] == [True, True, True, False, False]


def test_restart_runs_all_tasks_in_their_order(tmp_path: Path) -> None:
    first = one_at_a_time(tmp_path / "journal")
    first.start_workers()
    first.list_tasks(*"abcde")
    first.journal.close()
    second = one_at_a_time(tmp_path / "journal", max_bytes=2 * TEXT_BYTES)
    second.supervisor.recover()
    second.start_workers()
    given = []
    while second.held:
        given += texts(second)
        second.finish(0)
    assert given == [f"text of {name}" for name in "abcde"]


def test_journal_of_an_earlier_version_is_taken_up(tmp_path: Path) -> None:
    """Its rows have no content_id and no priority, and a key of embeddings alone."""
    harness = one_at_a_time(tmp_path / "journal")
    harness.turn()
    harness.list_tasks("a")
    row = orjson.loads(stored(harness))
    del row["content_id"], row["priority"]
    row["payload"] = row.pop("input")
    row["key"] = {"task_type": "text-embedding", "model": "text-embedding-3-small", "dimensions": None}
    harness.disk.execute("UPDATE tasks SET task = ?", (orjson.dumps(row),))
    harness.journal.close()
    second = one_at_a_time(tmp_path / "journal")
    second.supervisor.recover()
    second.start_workers()
    assert texts(second) == ["text of a"]


def test_same_text_is_read_once_and_shared_by_its_tasks(tmp_path: Path) -> None:
    harness = Harness(make_settings(concurrency_limit=1), tmp_path / "journal", max_bytes_in_memory=ROOM)
    harness.turn()
    harness.list_tasks(*(item(name, input_data={"text": text_of(1)}) for name in "abcdef"))
    harness.start_workers()
    unit = harness.held[0]
    assert (len(unit.tasks), unit.inputs, unit.size_bytes) == (6, 1, TEXT_BYTES)
    assert len({id(task.input) for task in unit.tasks}) == 1


def test_input_that_cannot_be_read_holds_up_no_other(tmp_path: Path, log_lines: Lines) -> None:
    harness = Harness(make_settings(concurrency_limit=1), tmp_path / "journal", max_bytes_in_memory=NO_ROOM)
    harness.turn()
    harness.list_tasks("a", "b")
    damaged = stored(harness)
    harness.disk.execute("UPDATE tasks SET task = x'00' WHERE id = 'a'")
    harness.start_workers()
    assert texts(harness) == ["text of b"]
    assert [line["task_id"] for line in log_lines if line["event"] == "input_unreadable"] == ["a"]
    harness.finish(0)
    harness.disk.execute("UPDATE tasks SET task = ? WHERE id = 'a'", (damaged,))
    harness.pass_time(31.0)
    assert texts(harness) == ["text of a"]


def test_unit_holds_no_more_than_four_megabytes_of_texts() -> None:
    harness = Harness(make_settings(concurrency_limit=1))
    for _ in range(100):  # texts of many bytes a token: the provider's limit of tokens is no bound then
        harness.providers.default.limiter.answered("m", 0, 10_000_000, 10, None)
    megabyte = "x" * 1_000_000
    harness.turn()
    harness.list_tasks(
        *(item(f"t{number}", input_data={"text": f"{number}{megabyte}", "model": "m"}) for number in range(9))
    )
    harness.start_workers()
    assert len(harness.held[0].tasks) == 4
