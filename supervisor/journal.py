"""The durable memory of the service: what was polled, what runs, what is to be reported.

The only importer of sqlite3. Changes are noted as they happen and written together by `commit`, so
that one disk sync serves a whole turn of the loop. Owned by the loop's thread.
"""

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import orjson

from shared.errors import ConfigurationError
from shared.models import BatchKey, Task, TaskStatus, TaskType, WireShape
from supervisor.task_record import Claim, Report, TaskRecord, TaskState

APPLICATION_ID = 0x41545031
SCHEMA_VERSION = 1
PAGE_BYTES = 16_384
"""A vector's report of about 20 KB fills few pages: measured at less than half the CPU of 4 KB pages."""
MOST_FRESH_BYTES = 16 * 2**20
CHECKPOINT_BYTES = 32 * 2**20
"""Most results are reported and gone before a checkpoint would copy them into the file."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    task BLOB,
    attempts INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    claim TEXT NOT NULL DEFAULT 'none',
    report BLOB,
    body BLOB,
    rejection TEXT,
    changed_at REAL NOT NULL
) STRICT
"""
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


class TaskJournal:
    """One SQLite file in WAL mode, synced at each commit."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the file. Raises ConfigurationError for a file that is damaged or foreign."""
        self._path = path
        self._changes: list[tuple[str, Row]] = []
        self._rejected = 0
        self._fresh: dict[str, bytes] = {}
        self._fresh_bytes = 0
        try:
            self._db = _open(path)
            self._ids = {row[0] for row in self._db.execute("SELECT id FROM tasks")}
        except sqlite3.OperationalError as error:
            raise ConfigurationError(f"STATE_DIR: cannot use the journal {path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise ConfigurationError(
                f"STATE_DIR: {path} is damaged or no journal of this service ({error}). It was left as it is:"
                " move it and its -wal and -shm files away, then start again; tasks that the API still lists"
                " as pending will run again"
            ) from error

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def rejected(self) -> int:
        """How many finished tasks the API has refused to take."""
        return self._rejected

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
        self._rejected += 1
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
            "SELECT state, task, attempts, crashes, claim, report, changed_at FROM tasks ORDER BY rowid"
        ).fetchall()
        records: list[TaskRecord] = []
        waiting: list[Waiting] = []
        for state, task, attempts, crashes, claim, report, changed_at in rows:
            if state in (TaskState.READY, TaskState.RUNNING):
                records.append(TaskRecord(_task(task), now, attempts, crashes, Claim(claim)))
            elif state == TaskState.FINISHED:
                waiting.append(Waiting(_report(report), changed_at))
        self._rejected = len(rows) - len(records) - len(waiting)
        return Recovery(tuple(records), tuple(waiting), self._rejected)

    def close(self) -> None:
        self._db.close()

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.rollback()


def _statement(change: tuple[str, Row]) -> str:
    return change[0]


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    application = db.execute("PRAGMA application_id").fetchone()[0]
    fresh = application == 0 and not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not fresh and (application != APPLICATION_ID or _version(db) != SCHEMA_VERSION):
        raise sqlite3.DatabaseError("it has another application or version mark")
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_BYTES // PAGE_BYTES}")
    db.execute("PRAGMA synchronous = FULL")
    if fresh:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute(SCHEMA)
    verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    return db


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _task(row: bytes) -> Task:
    fields = orjson.loads(row)
    key = fields.pop("key")
    fields["key"] = BatchKey(TaskType(key["task_type"]), key["model"], key["dimensions"])
    fields["shape"] = WireShape(fields["shape"])
    return Task(**fields)


def _report(row: bytes) -> Report:
    fields = orjson.loads(row)
    fields["status"] = TaskStatus(fields["status"])
    return Report(**fields)
