"""Lines for the log are taken at once, written whole, and counted where they are lost."""

import os
import select
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from shared import standard_output
from shared.standard_output import MAX_BYTES_WAITING, WHOLE_WRITE_BYTES, StandardOutput
from tests.eventually import eventually

LINE = b"x" * 999 + b"\n"


class Reader:
    """Reads what is written to standard output, as far as a test lets it."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.fault: OSError | None = None
        self.max_bytes = 1_000_000
        self.reads = threading.Event()
        self.reads.set()

    def write(self, _: int, data: bytes) -> int:
        assert self.reads.wait(20.0), "a test left the reader stuck"
        if self.fault is not None:
            raise self.fault
        self.writes.append(bytes(data[: self.max_bytes]))
        return len(self.writes[-1])


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    reader = Reader()
    monkeypatch.setattr(standard_output, "os", reader)
    yield reader
    reader.reads.set()


@pytest.fixture
def lost() -> list[int]:
    return []


@pytest.fixture
def output(reader: Reader, lost: list[int]) -> Iterator[StandardOutput]:
    output = StandardOutput(lost.append)
    yield output
    reader.reads.set()
    assert output.wait_until_written()


def test_lines_are_written_in_their_order_and_whole(output: StandardOutput, reader: Reader) -> None:
    lines = [b"%d %s\n" % (number, b"." * (number % 700)) for number in range(2000)]
    for line in lines:
        assert output.write(line) == len(line)
    assert output.wait_until_written()
    assert b"".join(reader.writes) == b"".join(lines)
    assert all(data.endswith(b"\n") and len(data) <= WHOLE_WRITE_BYTES for data in reader.writes)


def test_lines_that_wait_are_written_together(output: StandardOutput, reader: Reader) -> None:
    reader.reads.clear()
    for _ in range(1000):
        output.write("a line\n")
    reader.reads.set()
    assert output.wait_until_written()
    assert len(reader.writes) < 10


def test_long_line_is_written_by_itself(output: StandardOutput, reader: Reader) -> None:
    long = b"l" * 3 * WHOLE_WRITE_BYTES + b"\n"
    for line in (b"before\n", long, b"after\n"):
        output.write(line)
    assert output.wait_until_written()
    assert long in reader.writes


def test_reader_that_stops_holds_up_nobody_and_what_is_lost_is_told_once(
    output: StandardOutput, reader: Reader, lost: list[int]
) -> None:
    reader.reads.clear()
    began = time.monotonic()
    taken = [output.write(LINE) for _ in range(2 * MAX_BYTES_WAITING // len(LINE))]
    assert time.monotonic() - began < 10.0
    assert not output.wait_until_written(seconds=0.01)
    assert not lost
    reader.reads.set()
    assert output.wait_until_written()
    assert sum(map(len, reader.writes)) == sum(taken) <= MAX_BYTES_WAITING
    eventually(lambda: lost == [taken.count(0)], what="the lost lines are told")
    output.write(LINE)
    assert output.wait_until_written()
    assert len(lost) == 1


def test_lines_that_a_full_disk_refuses_are_lost_and_told_when_there_is_room(
    output: StandardOutput, reader: Reader, lost: list[int]
) -> None:
    reader.fault = OSError(28, "No space left on device")
    for _ in range(3):
        output.write(LINE)
    assert output.wait_until_written()
    assert lost == []
    reader.fault = None
    output.write(b"written\n")
    eventually(lambda: lost == [3], what="the lost lines are told")
    assert reader.writes == [b"written\n"]


def test_write_that_takes_a_part_is_gone_on_with(output: StandardOutput, reader: Reader) -> None:
    reader.max_bytes = 7
    output.write(LINE)
    assert output.wait_until_written()
    assert b"".join(reader.writes) == LINE


def test_pipe_that_does_not_wait_is_waited_for(
    output: StandardOutput, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = threading.Event()
    reader.fault = BlockingIOError(11, os.strerror(11))

    def until_there_is_room(*_: object) -> None:
        waited.set()
        reader.fault = None

    monkeypatch.setattr(select, "select", until_there_is_room)
    output.write(LINE)
    assert output.wait_until_written()
    assert waited.is_set()
    assert reader.writes == [LINE]


def test_line_that_finds_no_thread_is_written_with_the_next(
    output: StandardOutput, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    start: Callable[[threading.Thread], None] = threading.Thread.start

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    output.write(b"one\n")
    monkeypatch.setattr(threading.Thread, "start", start)
    output.write(b"two\n")
    assert output.wait_until_written()
    assert b"".join(reader.writes) == b"one\ntwo\n"
