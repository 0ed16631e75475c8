"""Inputs that are too large for the journal's table, in files beside it.

The page reader writes them and workers read them, so that a long text never passes through the loop.
"""

import contextlib
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import orjson
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from shared.models import InputPlace, Task
from supervisor.journal.state_directory import DIRECTORY_MODE, FILE_MODE, sync_directory

MAX_BYTES_IN_TABLE = 2**20
"""Of one page's inputs, so much goes into the table, which the loop writes."""
SUFFIX = ".inputs"
PIECE_CHARACTERS = 256 * 2**10


class InputFiles:
    """A file for each page that has large inputs. Owned by the loop, but for `store`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, str] = {}
        self._tasks: Counter[str] = Counter()
        self._let_go: list[str] = []

    def store(self, tasks: Sequence[Task]) -> tuple[Task, ...]:
        """The same tasks; the large inputs are on the disk now, and the tasks say where. For any thread.

        If the disk does not take them, they stay where they are: the journal meets the same disk.
        """
        large = _large_ones(tasks)
        if not large:
            return tuple(tasks)
        name = uuid.uuid4().hex + SUFFIX
        try:
            places = self._write(name, [tasks[number] for number in large])
        except OSError:
            self._remove(name)
            return tuple(tasks)
        stored = dict(zip(large, places, strict=True))
        return tuple(
            replace(task, input=None, input_place=stored[number]) if number in stored else task
            for number, task in enumerate(tasks)
        )

    def hold(self, task: Task) -> None:
        """The journal has the task now."""
        if task.input_place is not None and task.id not in self._files:
            self._files[task.id] = task.input_place.file
            self._tasks[task.input_place.file] += 1

    def let_go(self, task_id: str) -> None:
        """The task's input is needed no more, once that is committed."""
        if (file := self._files.pop(task_id, None)) is not None:
            self._let_go.append(file)

    def is_lost(self, task: Task) -> bool:
        """Is the task's input no longer on the disk, or cut off?"""
        if (place := task.input_place) is None:
            return False
        try:
            return (self._directory / place.file).stat().st_size < place.start + place.length
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def committed(self) -> None:
        """Remove the files that no task needs any longer."""
        for file in self._let_go:
            self._tasks[file] -= 1
            self._remove_if_free(file)
        self._let_go.clear()

    def end_page(self, tasks: Sequence[Task]) -> None:
        """What is to be taken of the page is held by now."""
        for file in {task.input_place.file for task in tasks if task.input_place is not None}:
            self._remove_if_free(file)

    def remove_others(self) -> None:
        """Remove what an earlier process left and no task needs."""
        with contextlib.suppress(OSError):
            for path in self._directory.glob("*" + SUFFIX):
                self._remove_if_free(path.name)

    def _remove_if_free(self, file: str) -> None:
        if not self._tasks[file]:
            del self._tasks[file]
            self._remove(file)

    def _remove(self, file: str) -> None:
        # What cannot be removed now is removed at the next start.
        with contextlib.suppress(OSError):
            (self._directory / file).unlink()

    def _write(self, name: str, tasks: Sequence[Task]) -> list[InputPlace]:
        self._directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        places: list[InputPlace] = []
        descriptor = os.open(self._directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            for task in tasks:
                start = file.tell()
                for piece in _json_pieces(task.input):
                    file.write(piece)
                places.append(InputPlace(name, start, file.tell() - start))
            file.flush()
            os.fsync(descriptor)
        sync_directory(self._directory)
        return places


def _large_ones(tasks: Sequence[Task]) -> list[int]:
    """Which of them find no room in the table."""
    large: list[int] = []
    left_bytes = MAX_BYTES_IN_TABLE
    for number, task in enumerate(tasks):
        if task.size_bytes > left_bytes:
            large.append(number)
        else:
            left_bytes -= task.size_bytes
    return large


def _json_pieces(value: object) -> Iterator[bytes]:
    """The value as JSON. A long text comes in pieces, since no other thread runs while one is encoded."""
    if isinstance(value, str):
        yield b'"'
        for start in range(0, len(value), PIECE_CHARACTERS):
            yield orjson.dumps(value[start : start + PIECE_CHARACTERS])[1:-1]
        yield b'"'
    elif isinstance(value, BaseModel | dict):
        fields = value if isinstance(value, dict) else value.__dict__
        yield b"{"
        for number, name in enumerate(fields):
            yield (b"," if number else b"") + orjson.dumps(name) + b":"
            yield from _json_pieces(fields[name])
        yield b"}"
    elif isinstance(value, list):
        yield b"["
        for number, each in enumerate(value):
            yield b"," if number else b""
            yield from _json_pieces(each)
        yield b"]"
    else:
        yield orjson.dumps(value, default=plain_input)


def plain_input(value: object) -> object:
    """What the encoder does not know, as what it knows: an input as the processor's own class has it."""
    return to_jsonable_python(value)
