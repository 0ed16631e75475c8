"""The service's memory on disk: which tasks were polled, which run, which are to be reported.

Changes are noted as they happen and written together by `commit`: one disk sync serves a whole turn of the
loop. The table has a row for each task. Bodies of reports are in files beside it, and the row says where.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import orjson

from shared.models import INPUTS_DIRECTORY
from supervisor.journal.input_files import InputFiles, plain_input
from supervisor.journal.report_bodies import BodyFiles, BodyLocation
from supervisor.journal.schema import (
    connect,
    damaged,
    prepare,
    read_location,
    read_report,
    read_task,
    unusable,
)
from supervisor.journal.task_record import MAX_BYTES_IN_MEMORY, Claim, Report, TaskRecord, TaskState

_NEW = (
    "INSERT OR REPLACE INTO tasks (attempts, crashes, claim, changed_at, number, id, state, task)"
    " VALUES (?, ?, ?, ?, ?, ?, 'ready', ?)"
)
_READY = (
    "UPDATE tasks SET state = 'ready', attempts = ?, crashes = ?, claim = ?, changed_at = ? WHERE number = ?"
)
_RUNNING = "UPDATE tasks SET state = 'running', changed_at = ? WHERE number = ?"
_STOPPING = "UPDATE tasks SET state = 'ready' WHERE state = 'running'"
_FINISHED = (
    "INSERT INTO tasks (number, id, state, report, body_file, body_start, body_length, changed_at)"
    " VALUES (?, ?, 'finished', ?, ?, ?, ?, ?)"
    " ON CONFLICT (number) DO UPDATE SET state = 'finished', task = NULL, report = excluded.report,"
    " body_file = excluded.body_file, body_start = excluded.body_start, body_length = excluded.body_length,"
    " changed_at = excluded.changed_at"
)
_MOVED = "UPDATE tasks SET body_file = ?, body_start = ?, body_length = ? WHERE number = ?"
_REJECTED = "UPDATE tasks SET state = 'rejected', rejection = ?, changed_at = ? WHERE number = ?"
_FORGET = "DELETE FROM tasks WHERE number = ?"
_ALL = "SELECT number, id, body_file, body_start, body_length FROM tasks"
_TASK = "SELECT task FROM tasks WHERE number = ?"

Row = tuple[str | int | float | bytes | None, ...]


class JournalUnwritableError(Exception):
    """The disk did not take the changes. They are kept in memory: call `commit` again later."""


class InputUnreadableError(Exception):
    """The disk does not give back the input of a task."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A finished task whose report is still owed, and since when (epoch seconds)."""

    report: Report
    finished_at_seconds: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """What an earlier run left. The first tasks have their inputs, as far as memory allows."""

    records: tuple[TaskRecord, ...]
    """Tasks that are to run."""
    interrupted: tuple[TaskRecord, ...]
    """Tasks that ran when the service died without having been told to stop. They are to run again."""
    waiting: tuple[Waiting, ...]
    rejected: int


@dataclass(frozen=True, slots=True)
class JournalChanges:
    """What a person did to rejected reports: those to be sent once more, and those given up."""

    retried: tuple[Waiting, ...] = ()
    dropped: tuple[str, ...] = ()


class TaskJournal:
    """One SQLite file in WAL mode, synced at each commit, and the files of bodies and of large inputs.

    Owned by the loop's thread. `wall` gives epoch seconds.
    """

    def __init__(
        self,
        path: Path,
        bodies: BodyFiles,
        wall: Callable[[], float],
        connect: Callable[[Path], sqlite3.Connection] = connect,
    ) -> None:
        """Opens or creates the file. Raises ConfigurationError for a file that is damaged or foreign."""
        self._path = path
        self._bodies = bodies
        self._wall = wall
        self._changes: list[tuple[str, Row]] = []
        self._uncommitted_tasks: dict[int, bytes] = {}
        self._unneeded: list[BodyLocation] = []
        self.inputs = InputFiles(path.with_name(INPUTS_DIRECTORY))
        self._rejected: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._locations: dict[str, BodyLocation] = {}
        try:
            self._db = connect(path)
        except sqlite3.Error as error:
            raise unusable(path, error) from error
        try:
            prepare(self._db)
            self._data_version = self._read_data_version()
            self._find_tasks()
        except sqlite3.Error as error:
            self._db.close()
            raise unusable(path, error) from error
        except OSError as error:
            self._db.close()
            raise damaged(path, f"a report of its tasks cannot be read: {error}") from error
        self._last_number = max(self._numbers.values(), default=0)

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def rejected(self) -> int:
        """How many finished tasks the API has refused to take."""
        return len(self._rejected)

    def __iter__(self) -> Iterator[str]:
        """The ids of all its tasks."""
        return iter(self._numbers)

    def holds(self, task_id: str) -> bool:
        """Is the task here, in whatever state? May be asked from any thread."""
        return task_id in self._numbers

    def note_ready(self, records: Iterable[TaskRecord]) -> None:
        """The tasks wait to run, for the first time or again."""
        now = self._wall()
        for record in records:
            task_id = record.task.id
            facts = (record.attempts, record.crashes, record.claim, now)
            if (number := self._numbers.get(task_id)) is not None:
                self._changes.append((_READY, (*facts, number)))
                continue
            number, task = self._number(task_id), orjson.dumps(record.task, default=plain_input)
            self._uncommitted_tasks[number] = task
            self.inputs.hold(record.task)
            self._changes.append((_NEW, (*facts, number, task_id, task)))

    def note_running(self, task_ids: Iterable[str]) -> None:
        now = self._wall()
        self._changes.extend((_RUNNING, (now, self._numbers[task_id])) for task_id in task_ids)

    def note_stopping(self) -> None:
        """The service was told to stop: its end is not held against the tasks that run."""
        self._changes.append((_STOPPING, ()))

    def note_finished(self, report: Report, body: bytes) -> None:
        """The task's outcome is known. `body` is its report."""
        task_id = report.task_id
        self.inputs.let_go(task_id)
        location = self._locations[task_id] = self._bodies.add(body)
        values = (orjson.dumps(report), location.file, location.start, location.length, self._wall())
        self._changes.append((_FINISHED, (self._number(task_id), task_id, *values)))

    def note_rejected(self, task_id: str, reason: str) -> None:
        """The API will not take the report; a person must look."""
        self._rejected.add(task_id)
        self._changes.append((_REJECTED, (reason, self._wall(), self._numbers[task_id])))

    def forget(self, task_id: str) -> None:
        """The API accepted the report, or the task is no longer ours."""
        number = self._numbers.pop(task_id)
        self.inputs.let_go(task_id)
        if (location := self._locations.pop(task_id, None)) is not None:
            self._unneeded.append(location)
        self._changes.append((_FORGET, (number,)))

    def commit(self) -> None:
        """Write and sync all that was noted. Raises JournalUnwritableError, with all kept."""
        if not self._changes:
            return
        try:
            self._bodies.flush()
            self._db.execute("BEGIN IMMEDIATE")
            for statement, changes in groupby(self._changes, key=itemgetter(0)):
                self._db.executemany(statement, [row for _, row in changes])
            self._db.commit()
        except (sqlite3.Error, OSError) as error:
            self._db.rollback()
            raise JournalUnwritableError(f"{self._path}: {error}") from error
        self._changes.clear()
        self._uncommitted_tasks.clear()
        # Only now: a file must not go before the last row that names it.
        for location in self._unneeded:
            self._bodies.release(location)
        self._unneeded.clear()
        self.inputs.committed()
        self._move_from_sparse_file()

    def body(self, task_id: str) -> bytes:
        """The report's body of a finished task that was committed. Raises OSError."""
        return self._bodies.read(self._locations[task_id])

    def input_of(self, record: TaskRecord) -> object:
        """The task's input, read from the disk if it is not in memory. Raises InputUnreadableError."""
        if record.has_input:
            return record.task.input
        number = self._numbers[record.task.id]
        try:
            task = self._uncommitted_tasks.get(number) or self._db.execute(_TASK, (number,)).fetchone()[0]
            return read_task(task).input
        except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
            raise InputUnreadableError(f"{self._path}: {error}") from error

    def recover(
        self, now: float, booted_at_seconds: float = 0.0, max_input_bytes: int = MAX_BYTES_IN_MEMORY
    ) -> Recovery:
        """What an earlier run left, oldest first. `now` (monotonic) is when it counts as received.

        A task that began to run before `booted_at_seconds` (epoch) was ended by the machine, not by a crash
        of the service. Inputs beyond `max_input_bytes` are left on the disk.
        """
        rows = self._db.execute(
            "SELECT id, state, task, attempts, crashes, claim, report, changed_at FROM tasks ORDER BY number"
        )
        records: list[TaskRecord] = []
        interrupted: list[TaskRecord] = []
        waiting: list[Waiting] = []
        left_bytes = max_input_bytes
        for task_id, state, task, attempts, crashes, claim, report, changed_at in rows:
            try:
                if state in (TaskState.READY, TaskState.RUNNING):
                    ran = state == TaskState.RUNNING and changed_at >= booted_at_seconds
                    record = TaskRecord(read_task(task), now, attempts, crashes, Claim(claim))
                    self.inputs.hold(record.task)
                    left_bytes -= record.task.size_bytes if record.has_input else 0
                    kept = record if left_bytes >= 0 else record.without_input()
                    (interrupted if ran else records).append(kept)
                elif state == TaskState.FINISHED:
                    waiting.append(Waiting(read_report(report), changed_at))
                else:
                    self._rejected.add(task_id)
            except (ValueError, TypeError, KeyError) as error:
                raise damaged(self._path, f"the row of task {task_id!a} cannot be read") from error
        self.inputs.remove_others()
        return Recovery(tuple(records), tuple(interrupted), tuple(waiting), len(self._rejected))

    def changed_by_others(self) -> JournalChanges:
        """What another process has done to rejected reports since the last call. Cheap if nothing."""
        try:
            version = self._read_data_version()
            if version == self._data_version or self._changes:
                return JournalChanges()
            rows = self._db.execute(
                "SELECT id, state, report, changed_at FROM tasks WHERE report IS NOT NULL"
            )
            left = {row[0]: row[1:] for row in rows if row[0] in self._rejected}
        except sqlite3.Error:
            return JournalChanges()  # a disk in trouble shows at the next commit; this is asked again
        self._data_version = version
        dropped = tuple(task_id for task_id in self._rejected if task_id not in left)
        retried = {key: row for key, row in left.items() if row[0] == TaskState.FINISHED}
        for task_id in dropped:
            self._numbers.pop(task_id)
            self._bodies.release(self._locations.pop(task_id))
        self._rejected.difference_update(dropped, retried)
        return JournalChanges(
            tuple(Waiting(read_report(row[1]), row[2]) for row in retried.values()), dropped
        )

    def close(self) -> None:
        self._db.close()
        self._bodies.close()

    def _find_tasks(self) -> None:
        for number, task_id, *columns in self._db.execute(_ALL):
            self._numbers[task_id] = number
            if (location := read_location(*columns)) is not None:
                self._locations[task_id] = location
        self._bodies.keep(self._locations.values())

    def _number(self, task_id: str) -> int:
        """The row of the task, which may be a new one."""
        number = self._numbers.get(task_id)
        if number is None:
            number = self._numbers[task_id] = self._last_number = self._last_number + 1
        return number

    def _move_from_sparse_file(self) -> None:
        """Move the few bodies that keep an old file on the disk. The next commit writes it down."""
        sparse = self._bodies.sparse()
        if sparse is None:
            return
        try:
            for task_id, location in self._locations.items():
                if location.file == sparse:
                    moved = self._bodies.add(self._bodies.read(location), sent_soon=False)
                    self._locations[task_id] = moved
                    self._unneeded.append(location)
                    row = (moved.file, moved.start, moved.length, self._numbers[task_id])
                    self._changes.append((_MOVED, row))
        except OSError:
            self._bodies.leave(sparse)  # sending such a report says what is wrong

    def _read_data_version(self) -> int:
        """Changes whenever another connection has committed."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])
