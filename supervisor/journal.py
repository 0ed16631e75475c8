"""The durable memory of the service: what was polled, what runs, what is to be reported.

Changes are noted as they happen and written together by `commit`, so that one disk sync serves a
whole turn of the loop. Owned by the loop's thread.
"""

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import orjson

from shared.errors import ConfigurationError
from supervisor.journal_file import damaged, open_journal, read_report, read_task
from supervisor.task_record import Claim, Report, TaskRecord, TaskState

MOST_FRESH_BYTES = 16 * 2**20

_READY = (
    "INSERT INTO tasks (id, state, task, attempts, crashes, claim, changed_at)"
    " VALUES (?, 'ready', ?, ?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET state = 'ready', attempts = excluded.attempts,"
    " crashes = excluded.crashes, claim = excluded.claim, changed_at = excluded.changed_at"
)
_RUNNING = "UPDATE tasks SET state = 'running', changed_at = ? WHERE id = ?"
_FINISHED = (
    "INSERT INTO tasks (id, state, report, body, changed_at) VALUES (?, 'finished', ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET state = 'finished', task = NULL, report = excluded.report,"
    " body = excluded.body, changed_at = excluded.changed_at"
)
_REJECTED = "UPDATE tasks SET state = 'rejected', rejection = ?, changed_at = ? WHERE id = ?"
_FORGET = "DELETE FROM tasks WHERE id = ?"

Row = tuple[str | int | float | bytes | None, ...]


class JournalUnwritableError(Exception):
    """The disk did not take the changes. They are kept in memory; call `commit` again later."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A finished task whose report is still owed, and since when (epoch seconds)."""

    report: Report
    finished_at_seconds: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """What an earlier run left behind. Tasks that were running are to run again."""

    records: tuple[TaskRecord, ...]
    waiting: tuple[Waiting, ...]
    rejected: int


@dataclass(frozen=True, slots=True)
class Amendments:
    """What a person did to rejected reports: those to be sent once more, and those given up."""

    retried: tuple[Waiting, ...] = ()
    dropped: tuple[str, ...] = ()


class TaskJournal:
    """One SQLite file in WAL mode, synced at each commit."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the file. Raises ConfigurationError for a file that is damaged or foreign."""
        self._path = path
        self._changes: list[tuple[str, Row]] = []
        self._rejected: set[str] = set()
        self._fresh: dict[str, bytes] = {}
        self._fresh_bytes = 0
        try:
            self._db = open_journal(path)
            self._data_version = self._read_data_version()
            self._ids = {row[0] for row in self._db.execute("SELECT id FROM tasks")}
        except sqlite3.OperationalError as error:
            raise ConfigurationError(f"STATE_DIR: cannot use the journal {path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise damaged(path, str(error)) from error

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def rejected(self) -> int:
        """How many finished tasks the API has refused to take."""
        return len(self._rejected)

    def holds(self, task_id: str) -> bool:
        """Is there anything about this task, in whatever state?"""
        return task_id in self._ids

    def note_ready(self, records: Iterable[TaskRecord]) -> None:
        """The tasks wait to run, for the first time or again."""
        now = time.time()
        for record in records:
            self._ids.add(record.task.id)
            task = record.task
            row = (task.id, orjson.dumps(task), record.attempts, record.crashes, record.claim, now)
            self._changes.append((_READY, row))

    def note_running(self, task_ids: Iterable[str]) -> None:
        now = time.time()
        self._changes.extend((_RUNNING, (now, task_id)) for task_id in task_ids)

    def note_finished(self, report: Report, body: bytes) -> None:
        """The task's outcome is known; `body` is what the API is to be told."""
        self._ids.add(report.task_id)
        if self._fresh_bytes < MOST_FRESH_BYTES:
            self._fresh[report.task_id] = body
            self._fresh_bytes += len(body)
        self._changes.append((_FINISHED, (report.task_id, orjson.dumps(report), body, time.time())))

    def note_rejected(self, task_id: str, reason: str) -> None:
        """The API will not take the report; a person must look."""
        self._rejected.add(task_id)
        self._changes.append((_REJECTED, (reason, time.time(), task_id)))

    def forget(self, task_id: str) -> None:
        """The API has the report, or the task is no longer ours."""
        self._ids.discard(task_id)
        self._fresh_bytes -= len(self._fresh.pop(task_id, b""))
        self._changes.append((_FORGET, (task_id,)))

    def commit(self) -> None:
        """Write and sync all that was noted; JournalUnwritableError, with all kept, if it cannot."""
        if not self._changes:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for statement, changes in groupby(self._changes, key=_statement):
                self._db.executemany(statement, [row for _, row in changes])
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise JournalUnwritableError(f"{self._path}: {error}") from error
        self._changes.clear()

    def body(self, task_id: str) -> bytes:
        """The report's body of a finished task: still in memory if it is of late, else from disk."""
        if (fresh := self._fresh.pop(task_id, None)) is not None:
            self._fresh_bytes -= len(fresh)
            return fresh
        row = self._db.execute("SELECT body FROM tasks WHERE id = ?", (task_id,)).fetchone()
        return bytes(row[0])

    def recover(self, now: float) -> Recovery:
        """What an earlier run left, oldest first. `now` (monotonic) is when it counts as received."""
        rows = self._db.execute(
            "SELECT id, state, task, attempts, crashes, claim, report, changed_at FROM tasks ORDER BY rowid"
        ).fetchall()
        records: list[TaskRecord] = []
        waiting: list[Waiting] = []
        for task_id, state, task, attempts, crashes, claim, report, changed_at in rows:
            try:
                if state in (TaskState.READY, TaskState.RUNNING):
                    records.append(TaskRecord(read_task(task), now, attempts, crashes, Claim(claim)))
                elif state == TaskState.FINISHED:
                    waiting.append(Waiting(read_report(report), changed_at))
                else:
                    self._rejected.add(task_id)
            except (ValueError, TypeError, KeyError) as error:
                raise damaged(self._path, f"the row of task {task_id!a} cannot be read") from error
        return Recovery(tuple(records), tuple(waiting), len(self._rejected))

    def changed_by_others(self) -> Amendments:
        """What another process has done to rejected reports since the last call. Cheap if nothing."""
        try:
            version = self._read_data_version()
            if version == self._data_version or self._changes:
                return Amendments()
            rows = self._db.execute(
                "SELECT id, state, report, changed_at FROM tasks WHERE report IS NOT NULL"
            )
            left = {row[0]: row[1:] for row in rows if row[0] in self._rejected}
        except sqlite3.Error:
            return Amendments()  # a disk in trouble shows at the next commit; this is asked again
        self._data_version = version
        dropped = tuple(task_id for task_id in self._rejected if task_id not in left)
        retried = {key: row for key, row in left.items() if row[0] == TaskState.FINISHED}
        self._ids.difference_update(dropped)
        self._rejected.difference_update(dropped, retried)
        return Amendments(tuple(Waiting(read_report(row[1]), row[2]) for row in retried.values()), dropped)

    def close(self) -> None:
        self._db.close()

    def _read_data_version(self) -> int:
        """Changes whenever another connection has committed."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.rollback()


def _statement(change: tuple[str, Row]) -> str:
    return change[0]
