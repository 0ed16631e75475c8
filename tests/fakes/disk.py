"""A disk that can fill up under the journal's SQLite file."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

IN_MEMORY = Path(":memory:")

_open_disks: list["Disk"] = []


class Step(Enum):
    """A step of a commit, as SQLite calls it for an authorizer."""

    BEGIN = (sqlite3.SQLITE_TRANSACTION, "BEGIN")
    INSERT = (sqlite3.SQLITE_INSERT, "tasks")
    UPDATE = (sqlite3.SQLITE_UPDATE, "tasks")
    DELETE = (sqlite3.SQLITE_DELETE, "tasks")
    COMMIT = (sqlite3.SQLITE_TRANSACTION, "COMMIT")


class Disk(sqlite3.Connection):
    """The journal's connection. While it is filled, one step of a commit fails."""

    def __init__(self, path: Path = IN_MEMORY) -> None:
        super().__init__(path, timeout=5.0, isolation_level=None)
        self._fails_at: Step | None = None
        _open_disks.append(self)

    def fill(self, fails_at: Step | None = Step.COMMIT) -> None:
        """Let this step fail; None makes room again."""
        self._fails_at = fails_at
        # SQLite asks a new authorizer about the statements that it has prepared as well.
        self.set_authorizer(self._authorize)

    def free(self) -> None:
        self.fill(None)

    def execute(self, statement: str, row: Iterable[object] = (), /) -> sqlite3.Cursor:  # type: ignore[override]  # all that the journal passes
        with self._denial_as_full_disk():
            return super().execute(statement, row)  # type: ignore[arg-type]  # a row of plain values

    def executemany(self, statement: str, rows: Iterable[Iterable[object]], /) -> sqlite3.Cursor:  # type: ignore[override]  # all that the journal passes
        with self._denial_as_full_disk():
            return super().executemany(statement, rows)  # type: ignore[arg-type]  # rows of plain values

    def commit(self) -> None:
        with self._denial_as_full_disk():
            super().commit()

    def _authorize(self, action: int, first: str | None, *_: str | None) -> int:
        denied = self._fails_at is not None and self._fails_at.value == (action, first)
        return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK

    @contextmanager
    def _denial_as_full_disk(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if self._fails_at is None:
                raise
            raise sqlite3.OperationalError("database or disk is full") from error


def close_disks() -> None:
    """Close every disk that is still open."""
    while _open_disks:
        _open_disks.pop().close()
