"""Tasks in SQLite: one connection, one lock, one short transaction a request."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from examples.task_api.task import Claimant, Report, Shape, State, Task, Verdict, judge

# synchronous=OFF: what was committed survives a killed process, but not a power cut. That is
# right for a demo and for tests; a backend that holds real work wants FULL.
# Columns that change stand before the large ones: SQLite reads a row from its start.
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    shape TEXT NOT NULL,
    type TEXT NOT NULL,
    state TEXT NOT NULL,
    owner TEXT,
    lease_until REAL,
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
LATER_COLUMNS = {"priority": "INTEGER NOT NULL DEFAULT 0", "owner": "TEXT", "lease_until": "REAL"}
"""What a table that was made by an earlier version may lack."""
INDEXES = """
CREATE INDEX IF NOT EXISTS tasks_in_order ON tasks (state, priority DESC, number);
CREATE INDEX IF NOT EXISTS tasks_by_lease ON tasks (lease_until) WHERE lease_until IS NOT NULL;
"""
COLUMNS = ", ".join(field.name for field in fields(Task))
PLACEHOLDERS = ", ".join("?" for _ in fields(Task))
INSERT = f"INSERT INTO tasks ({COLUMNS}) VALUES ({PLACEHOLDERS})"  # noqa: S608 - our own field names
SELECT = f"SELECT {COLUMNS} FROM tasks "  # noqa: S608 - our own field names
IN_ORDER = "WHERE state = 'pending' ORDER BY priority DESC, number LIMIT ?"
EXPIRE = "UPDATE tasks SET state = 'pending', lease_until = NULL, updated_at = ? WHERE lease_until <= ?"
CLAIM = (
    "UPDATE tasks SET state = 'processing', owner = ?, lease_until = ?, updated_at = ?"  # noqa: S608 - our own
    f" WHERE number IN (SELECT number FROM tasks {IN_ORDER}) RETURNING number"
)
RENEW = (
    "UPDATE tasks SET state = 'processing', lease_until = ?, updated_at = ?"
    " WHERE owner = ? AND state IN ('processing', 'pending') AND id IN ({}) RETURNING id"
)
APPLY = (
    "UPDATE tasks SET state = ?, error = ?, output = ?, updated_at = ?, owner = ?, lease_until = ?,"
    " final_reports = ?, last_correlation_id = ? WHERE id = ?"
)
COUNT = "UPDATE tasks SET final_reports = final_reports + 1, last_correlation_id = ? WHERE id = ?"
LONG_POLLS_AT_ONCE = 16
LOOK_FOR_EXPIRED_SECONDS = 1.0
"""So often a long poll looks whether a lease has run out meanwhile."""


def timestamp() -> str:
    """The present as ISO 8601 in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Summary:
    """How many tasks there are in each state, and how many got more than one final PATCH."""

    by_state: dict[State, int]
    reported_more_than_once: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a report. `shape` and `state` are the task's before it, or None without a task."""

    verdict: Verdict
    shape: Shape | None = None
    state: State | None = None


class DuplicateTaskError(ValueError):
    """A task with this id exists already."""


class Store:
    """All tasks. Every method may be called from any thread. `long_polls` wait at this moment.

    A task whose lease has run out is pending again before any method looks at it.
    """

    def __init__(self, database: Path, clock: Callable[[], float] = time.time) -> None:
        """Open or create `database`; raises `sqlite3.Error` where that is impossible.

        `clock` is for leases, in seconds since the epoch: they outlive this process.
        """
        self._database = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        self._database.executescript(SCHEMA)
        columns = [row["name"] for row in self._database.execute("PRAGMA table_info(tasks)")]
        for column in LATER_COLUMNS.keys() - columns:
            self._database.execute(f"ALTER TABLE tasks ADD COLUMN {column} {LATER_COLUMNS[column]}")
        self._database.executescript(INDEXES)
        self._clock = clock
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
            self._wait_for_pending(wait_seconds)
            with self._transaction():
                return self._select(IN_ORDER, limit)

    def claim(self, claimant: Claimant, limit: int, wait_seconds: float = 0) -> list[Task]:
        """Give the tasks that `pending` would list to `claimant`."""
        with self._changed:
            self._wait_for_pending(wait_seconds)
            with self._transaction() as database:
                claim = (claimant.worker_id, self._lease_until(claimant), timestamp(), limit)
                numbers = [row[0] for row in database.execute(CLAIM, claim)]
                marks = _marks(numbers)
                return self._select(f"WHERE number IN ({marks}) ORDER BY priority DESC, number", *numbers)

    def renew(self, claimant: Claimant, ids: Sequence[str]) -> list[str]:
        """Begin the leases of `claimant` anew, also those that ran out and that nobody else took since.

        Returns, in any order, the ids of the tasks that are the claimant's.
        """
        with self._transaction() as database:
            values = (self._lease_until(claimant), timestamp(), claimant.worker_id, *ids)
            return [row[0] for row in database.execute(RENEW.format(_marks(ids)), values)]

    def newest(self, limit: int) -> list[Task]:
        """The tasks created last, newest first."""
        with self._transaction():
            return self._select("ORDER BY number DESC LIMIT ?", limit)

    def get(self, task_id: str) -> Task | None:
        with self._transaction():
            return next(iter(self._select("WHERE id = ?", task_id)), None)

    def summary(self) -> Summary:
        with self._transaction() as database:
            counts = dict(database.execute("SELECT state, count(*) FROM tasks GROUP BY state"))
            again = database.execute("SELECT count(*) FROM tasks WHERE final_reports > 1").fetchone()
        return Summary({state: counts.get(state, 0) for state in State}, again[0])

    def change(self, reports: Sequence[Report], claimant: Claimant) -> list[Outcome]:
        """Judge each of the reports in their order, and carry out what is right; the outcome of each.

        Every final report is counted, also one that repeats or contradicts an earlier one. The
        first one stands: repeating it does not replace the stored output.
        """
        with self._transaction():
            outcomes = [self._change(report, claimant) for report in reports]
            if any(report.change.state is State.PENDING for report in reports):
                self._changed.notify_all()
            return outcomes

    def stop_waiting(self) -> None:
        """Answer all long polls now, and later ones at once."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._database.close()

    def _change(self, report: Report, claimant: Claimant) -> Outcome:
        change = report.change
        found = "SELECT shape, state, owner FROM tasks WHERE id = ?"
        row = self._database.execute(found, (report.task_id,)).fetchone()
        if row is None:
            return Outcome(Verdict.UNKNOWN)
        shape, state = Shape(row["shape"]), State(row["state"])
        if shape is not change.shape:
            return Outcome(Verdict.WRONG_SHAPE, shape, state)
        verdict = judge(state, change.state, row["owner"], claimant.worker_id)
        if verdict is Verdict.APPLY:
            is_claim, is_final = change.state is State.PROCESSING, change.state.is_final
            owner = (claimant.worker_id, self._lease_until(claimant)) if is_claim else (None, None)
            counted = (1, report.correlation_id) if is_final else (0, None)
            values = (change.state, change.error, change.output, timestamp(), *owner, *counted)
            self._database.execute(APPLY, (*values, report.task_id))
        elif change.state.is_final:
            self._database.execute(COUNT, (report.correlation_id, report.task_id))
        return Outcome(verdict, shape, state)

    def _lease_until(self, claimant: Claimant) -> float | None:
        return None if claimant.lease_seconds is None else self._clock() + claimant.lease_seconds

    def _wait_for_pending(self, wait_seconds: float) -> None:
        if wait_seconds <= 0 or self.long_polls >= LONG_POLLS_AT_ONCE:
            return
        deadline = time.monotonic() + wait_seconds
        self.long_polls += 1
        try:
            while not self._need_not_wait() and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(min(left, LOOK_FOR_EXPIRED_SECONDS))
        finally:
            self.long_polls -= 1

    def _need_not_wait(self) -> bool:
        if self._stopping:
            return True
        with self._transaction() as database:
            return bool(database.execute("SELECT 1 FROM tasks WHERE state = 'pending' LIMIT 1").fetchone())

    def _select(self, rest: str, *values: object) -> list[Task]:
        rows = self._database.execute(SELECT + rest, values).fetchall()
        return [Task(**{**row, "shape": Shape(row["shape"]), "state": State(row["state"])}) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Take the lock for one transaction: committed at the end, rolled back on an exception."""
        with self._changed:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.execute(EXPIRE, (timestamp(), self._clock()))
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
