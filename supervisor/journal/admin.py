"""What a person sees of the journal, and may change in it, beside a running service or without one."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import orjson

from shared.errors import ConfigurationError
from supervisor.journal.report_bodies import READ, BodyFile
from supervisor.journal.schema import LOCK_TIMEOUT_SECONDS, check_marks, read_location
from supervisor.journal.state_directory import BODIES_DIRECTORY
from supervisor.journal.task_record import TaskState

MAX_BODY_READS = 3
"""The service may move a body after its row was read and before its file is."""

_LOCATION = "SELECT body_file, body_start, body_length FROM tasks WHERE id = ?"
_COLUMNS = (
    "SELECT id, state, attempts, crashes, claim, task, report, coalesce(body_length, 0), rejection,"
    " changed_at FROM tasks"
)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One task in the journal, without its text and vector. Times are epoch seconds."""

    task_id: str
    state: TaskState
    changed_at_seconds: float
    attempts: int
    crashes: int
    claim: str
    task_type: str
    model: str
    correlation_id: str
    created_at_seconds: float | None
    outcome: str
    """succeeded or failed; empty while the task has none."""
    tokens: int
    body_bytes: int
    """Size of the report."""
    rejection: str
    """What the API said when it rejected the report."""


class JournalAdmin:
    """Opens an existing journal. A context manager. Only rejected reports can be changed here.

    `wall` gives epoch seconds.
    """

    def __init__(self, path: Path, wall: Callable[[], float] = time.time) -> None:
        """Raises ConfigurationError where there is no journal or it cannot be read."""
        self._path = path
        self._wall = wall
        self._bodies = BodyFile(path.with_name(BODIES_DIRECTORY), READ)
        if not path.is_file():
            raise ConfigurationError(
                f"STATE_DIR: there is no journal at {path}: set STATE_DIR as the service has it"
            )
        try:
            self._db = sqlite3.connect(
                f"file:{quote(str(path))}?mode=rw",
                uri=True,
                isolation_level=None,
                timeout=LOCK_TIMEOUT_SECONDS,
            )
        except sqlite3.Error as error:
            raise self._fault(error) from error
        try:
            check_marks(self._db)
        except sqlite3.Error as error:
            self._db.close()
            raise self._fault(error) from error

    def __enter__(self) -> "JournalAdmin":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._bodies.close()

    def entries(self, state: TaskState | None, max_entries: int) -> list[JournalEntry]:
        """Up to `max_entries` tasks, the oldest first; of one state or of all."""
        where, values = ("", ()) if state is None else (" WHERE state = ?", (state.value,))
        return self._select(f"{where} ORDER BY changed_at, number LIMIT ?", (*values, max_entries))

    def counts(self) -> dict[TaskState, int]:
        """How many tasks are in each state."""
        rows = dict(self._run("SELECT state, count(*) FROM tasks GROUP BY state").fetchall())
        return {state: rows.get(state, 0) for state in TaskState}

    def states(self) -> dict[str, TaskState]:
        """Every task by its id."""
        return {task_id: TaskState(state) for task_id, state in self._run("SELECT id, state FROM tasks")}

    def entry(self, task_id: str) -> JournalEntry:
        """Raises ConfigurationError where the journal does not hold the task."""
        found = self._select(" WHERE id = ?", (task_id,))
        if not found:
            raise ConfigurationError(
                f"{task_id!a}: not in the journal; a task is forgotten once its report is accepted"
            )
        return found[0]

    def body(self, task_id: str) -> bytes:
        """The report. Raises ConfigurationError where there is none yet."""
        for _ in range(MAX_BODY_READS):
            row = self._run(_LOCATION, (task_id,)).fetchone()
            location = read_location(*row) if row else None
            if location is None:
                raise ConfigurationError(f"{task_id!a}: has no report yet")
            with contextlib.suppress(OSError):
                return self._bodies.read(location)
        raise ConfigurationError(f"{task_id!a}: its report cannot be read")

    def retry(self, task_ids: Sequence[str]) -> None:
        """Have rejected reports sent once more. All or, with a ConfigurationError, none."""
        self._amend(
            "UPDATE tasks SET state = 'finished', rejection = NULL, changed_at = ? WHERE number = ?",
            task_ids,
            self._wall(),
        )

    def drop(self, task_ids: Sequence[str]) -> None:
        """Forget rejected reports. All or, with a ConfigurationError, none."""
        self._amend("DELETE FROM tasks WHERE number = ?", task_ids)

    def _amend(self, statement: str, task_ids: Sequence[str], *values: float) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            # Ids have no index and the service waits meanwhile, so the table is read once.
            rows = {row[0]: row[1:] for row in self._db.execute("SELECT id, number, state FROM tasks")}
            faults = [fault for task_id in task_ids if (fault := _not_rejected(task_id, rows.get(task_id)))]
            if faults:
                self._db.execute("ROLLBACK")
                raise ConfigurationError(*faults)
            self._db.executemany(statement, [(*values, rows[task_id][0]) for task_id in task_ids])
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def _select(self, tail: str, values: tuple[str | int, ...]) -> list[JournalEntry]:
        return [_entry(row) for row in self._run(_COLUMNS + tail, values)]

    def _run(self, statement: str, values: tuple[str | int, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def _fault(self, error: sqlite3.Error) -> ConfigurationError:
        return ConfigurationError(
            f"STATE_DIR: cannot use the journal {self._path}: {error}; run this as the service's user"
            " and with the same version of it"
        )


def _not_rejected(task_id: str, row: tuple[int, str] | None) -> str:
    if row is None:
        return f"{task_id!a}: not in the journal; nothing was changed"
    if row[1] != TaskState.REJECTED:
        return f"{task_id!a}: is {row[1]}, and only rejected reports can be changed; nothing was changed"
    return ""


def _entry(
    row: tuple[str, str, int, int, str, bytes | None, bytes | None, int, str | None, float],
) -> JournalEntry:
    task_id, state, attempts, crashes, claim, task, report, body_bytes, rejection, changed_at = row
    facts = orjson.loads(report or task or b"{}")
    key = facts.get("key", {})
    return JournalEntry(
        task_id=task_id,
        state=TaskState(state),
        changed_at_seconds=changed_at,
        attempts=facts.get("attempts", attempts),
        crashes=crashes,
        claim=claim,
        task_type=facts.get("task_type", key.get("task_type", "")),
        model=key.get("model", ""),
        correlation_id=facts.get("correlation_id", ""),
        created_at_seconds=facts.get("created_at_seconds"),
        outcome=facts.get("status", ""),
        tokens=facts.get("tokens", 0),
        body_bytes=body_bytes,
        rejection=rejection or "",
    )
