"""The journal's SQLite file: its schema, how it is opened, and how its rows are read."""

import sqlite3
from pathlib import Path

import orjson

from shared.errors import ConfigurationError
from shared.models import (
    INPUTS_DIRECTORY,
    BatchKey,
    InputPlace,
    Task,
    TaskStatus,
    TextLength,
    WireShape,
)
from supervisor.journal.report_bodies import BodyLocation
from supervisor.journal.state_directory import BODIES_DIRECTORY
from supervisor.journal.task_record import Report

APPLICATION_ID = 0x41545031
SCHEMA_VERSION = 2
LOCK_TIMEOUT_SECONDS = 5.0
IN_MEMORY = "memory"
"""The journal mode of a database without a file."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    task BLOB,
    attempts INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    claim TEXT NOT NULL DEFAULT 'none',
    report BLOB,
    body_file INTEGER,
    body_start INTEGER,
    body_length INTEGER,
    rejection TEXT,
    changed_at REAL NOT NULL
) STRICT
"""


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=LOCK_TIMEOUT_SECONDS)


def prepare(db: sqlite3.Connection) -> None:
    """Make the table where there is none. Raises sqlite3.Error for a file that is damaged or foreign."""
    # A file with our mark and no table comes of a first start that was cut short.
    empty = not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    fresh = empty and _mark(db) in (0, APPLICATION_ID)
    if not fresh:
        check_marks(db)
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode not in ("wal", IN_MEMORY):
        raise sqlite3.OperationalError(
            "its file system has no shared memory for a write-ahead log; use a local disk"
        )
    db.execute("PRAGMA synchronous = FULL")
    if fresh:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute(SCHEMA)
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def unusable(path: Path, error: sqlite3.Error) -> ConfigurationError:
    """The error for a file that cannot be opened."""
    if isinstance(error, sqlite3.OperationalError):
        return ConfigurationError(f"STATE_DIR: cannot use the journal {path}: {error}")
    return damaged(path, str(error))


def damaged(path: Path, what: str) -> ConfigurationError:
    """The error for a file whose content cannot be used."""
    return ConfigurationError(
        f"STATE_DIR: {path} is damaged or no journal of this service ({what}). It was left as it is:"
        f" move it, its -wal and -shm files and the directories {BODIES_DIRECTORY}/ and {INPUTS_DIRECTORY}/"
        " beside it away, then start again; tasks that the API still lists as pending will run again"
    )


def check_marks(db: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError if the file is not a journal of this version."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if _mark(db) != APPLICATION_ID or version != SCHEMA_VERSION:
        raise sqlite3.DatabaseError("it has another application or version mark")


def read_task(row: bytes) -> Task:
    """A task whose input is still JSON: its processor reads it in the worker."""
    fields = orjson.loads(row)
    key = fields["key"]
    if "dimensions" in key:  # written before task types had classes of their own
        dimensions = key.pop("dimensions")
        key["group"] = "" if dimensions is None else str(dimensions)
        fields["input"] = fields.pop("payload")
    fields["key"] = BatchKey(**key)
    fields["shape"] = WireShape(fields["shape"])
    fields["length"] = TextLength(fields["length"])
    if (place := fields.get("input_place")) is not None:
        fields["input_place"] = InputPlace(**place)
    return Task(**fields)


def read_report(row: bytes) -> Report:
    fields = orjson.loads(row)
    fields["status"] = TaskStatus(fields["status"])
    return Report(**fields)


def read_location(file: int | None, start: int | None, length: int | None) -> BodyLocation | None:
    """None for a task without a report."""
    return None if file is None or start is None or length is None else BodyLocation(file, start, length)


def _mark(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA application_id").fetchone()[0])
