"""A disk that can fill up, between a journal and its SQLite file."""

import sqlite3
from collections.abc import Iterable
from typing import cast

from supervisor.journal.journal import TaskJournal


class Disk:
    """Stands in for the journal's connection. While `full`, the statement `fails_at` raises."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.full = False
        self.fails_at = "COMMIT"

    @classmethod
    def under(cls, journal: TaskJournal) -> "Disk":
        """Put a disk under `journal`."""
        disk = cls(journal._db)
        journal._db = cast("sqlite3.Connection", disk)
        return disk

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, statement: str, row: tuple[object, ...] = ()) -> sqlite3.Cursor:
        self._write(statement)
        return self._connection.execute(statement, row)

    def executemany(self, statement: str, rows: Iterable[tuple[object, ...]]) -> sqlite3.Cursor:
        self._write(statement)
        return self._connection.executemany(statement, rows)

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()

    def _write(self, statement: str) -> None:
        if self.full and statement.startswith(self.fails_at):
            raise sqlite3.OperationalError("database or disk is full")
