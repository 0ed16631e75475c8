"""Tasks in SQLite: one connection, one lock, one short transaction a request."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from examples.task_api.task import Change, Shape, State, Task, Verdict, judge

# synchronous=OFF: what was committed survives a killed process, but not a power cut. That is
# right for a demo and for tests; a backend that holds real work wants FULL.
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    shape TEXT NOT NULL,
    type TEXT NOT NULL,
    state TEXT NOT NULL,
    input BLOB NOT NULL,
    extra BLOB NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    correlation_id TEXT,
    final_reports INTEGER NOT NULL,
    last_correlation_id TEXT,
    error TEXT,
    output BLOB,
    priority INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS tasks_reported_again ON tasks (number) WHERE final_reports > 1;
"""
ADD_PRIORITY = "ALTER TABLE tasks ADD COLUMN priority INTEGER NOT NULL DEFAULT 0"
"""To a table that was made before tasks had one."""
INDEX = "CREATE INDEX IF NOT EXISTS tasks_in_order ON tasks (state, priority DESC, number)"
COLUMNS = ", ".join(field.name for field in fields(Task))
PLACEHOLDERS = ", ".join("?" for _ in fields(Task))
INSERT = f"INSERT INTO tasks ({COLUMNS}) VALUES ({PLACEHOLDERS})"  # noqa: S608 - our own field names
SELECT = f"SELECT {COLUMNS} FROM tasks "  # noqa: S608 - our own field names
LONG_POLLS_AT_ONCE = 16


def timestamp() -> str:
    """The present as ISO 8601 in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Summary:
    """How many tasks there are in each state, and how many got more than one final PATCH."""

    by_state: dict[State, int]
    reported_more_than_once: int


class DuplicateTaskError(ValueError):
    """A task with this id exists already."""


class Store:
    """All tasks. Every method may be called from any thread. `long_polls` wait at this moment."""

    def __init__(self, database: Path) -> None:
        """Open or create `database`; raises `sqlite3.Error` where that is impossible."""
        self._database = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        self._database.executescript(SCHEMA)
        columns = [row["name"] for row in self._database.execute("PRAGMA table_info(tasks)")]
        if "priority" not in columns:
            self._database.execute(ADD_PRIORITY)
        self._database.execute(INDEX)
        self._changed = threading.Condition()
        self.long_polls = 0
        self._stopping = False

    def add(self, tasks: Sequence[Task]) -> None:
        """Keep all the tasks or, with DuplicateTaskError, none."""
        with self._transaction() as database:
            for task in tasks:
                try:
                    database.execute(INSERT, astuple(task))
                except sqlite3.IntegrityError as error:
                    raise DuplicateTaskError(f"there is already a task {task.id[:100]!r}") from error
            self._changed.notify_all()

    def pending(self, limit: int, wait_seconds: float = 0) -> list[Task]:
        """Pending tasks, those of higher priority and then the oldest first.

        Waits up to `wait_seconds` for the first one to come. A waiting request holds a thread of the server,
        so past a number of them it does not wait.
        """
        with self._changed:
            if wait_seconds > 0 and self.long_polls < LONG_POLLS_AT_ONCE:
                self.long_polls += 1
                try:
                    self._changed.wait_for(self._need_not_wait, wait_seconds)
                finally:
                    self.long_polls -= 1
            return self._select("WHERE state = 'pending' ORDER BY priority DESC, number LIMIT ?", limit)

    def newest(self, limit: int) -> list[Task]:
        """The tasks created last, newest first."""
        with self._changed:
            return self._select("ORDER BY number DESC LIMIT ?", limit)

    def get(self, task_id: str) -> Task | None:
        with self._changed:
            return next(iter(self._select("WHERE id = ?", task_id)), None)

    def summary(self) -> Summary:
        with self._changed:
            counts = dict(self._database.execute("SELECT state, count(*) FROM tasks GROUP BY state"))
            again = self._database.execute("SELECT count(*) FROM tasks WHERE final_reports > 1").fetchone()
        return Summary({state: counts.get(state, 0) for state in State}, again[0])

    def change(self, task_id: str, change: Change, correlation_id: str | None) -> tuple[Task, Verdict] | None:
        """Judge a change and carry it out; returns the task as it was before, None if unknown.

        Every final report is counted, also one that repeats or contradicts an earlier one. The
        first one stands: repeating it does not replace the stored output.
        """
        with self._transaction() as database:
            task = next(iter(self._select("WHERE id = ?", task_id)), None)
            if task is None:
                return None
            if task.shape is not change.shape:
                return task, Verdict.WRONG_SHAPE
            verdict = judge(task.state, change.state)
            if change.state.is_final:
                database.execute(
                    "UPDATE tasks SET final_reports = final_reports + 1, last_correlation_id = ?"
                    " WHERE id = ?",
                    (correlation_id, task_id),
                )
            if verdict is Verdict.APPLY:
                database.execute(
                    "UPDATE tasks SET state = ?, error = ?, output = ?, updated_at = ? WHERE id = ?",
                    (change.state, change.error, change.output, timestamp(), task_id),
                )
                self._changed.notify_all()
            return task, verdict

    def stop_waiting(self) -> None:
        """Answer all long polls now, and later ones at once."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._database.close()

    def _need_not_wait(self) -> bool:
        return self._stopping or bool(self._select("WHERE state = 'pending' LIMIT 1"))

    def _select(self, rest: str, *values: object) -> list[Task]:
        rows = self._database.execute(SELECT + rest, values).fetchall()
        return [Task(**{**row, "shape": Shape(row["shape"]), "state": State(row["state"])}) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Take the lock for one transaction: committed at the end, rolled back on an exception."""
        with self._changed:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
