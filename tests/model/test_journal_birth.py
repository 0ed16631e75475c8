"""A journal whose making was cut short at any statement can still be opened."""

import itertools
import sqlite3
from pathlib import Path
from unittest.mock import patch

from tests.fakes.journals import open_task_journal
from tests.model.fuse import SuddenEndError

MAX_STATEMENTS = 50
Row = tuple[str | int | float | bytes | None, ...]


class MortalConnection(sqlite3.Connection):
    """Dies before the statement number `allowed`, counted from 0."""

    allowed = 0

    def execute(self, statement: str, *values: Row) -> sqlite3.Cursor:  # type: ignore[override]  # all that the journal passes
        if self.allowed == 0:
            raise SuddenEndError(statement)
        self.allowed -= 1
        return super().execute(statement, *values)


def test_journal_whose_making_was_cut_short_anywhere_opens_at_the_next_start(tmp_path: Path) -> None:
    for allowed in itertools.count():
        path = tmp_path / f"{allowed}.sqlite3"
        finished = _make(path, allowed)
        open_task_journal(path).close()
        if finished:
            break
    assert 3 < allowed < MAX_STATEMENTS


def _make(path: Path, allowed: int) -> bool:
    made: list[MortalConnection] = []
    real_connect = sqlite3.connect

    def connect(database: Path, **options: object) -> sqlite3.Connection:
        made.append(real_connect(database, factory=MortalConnection, **options))  # type: ignore[call-overload]  # passed on as they are
        made[-1].allowed = allowed
        return made[-1]

    try:
        with patch("sqlite3.connect", connect):
            open_task_journal(path)
    except SuddenEndError:
        return False
    finally:
        for connection in made:
            connection.close()
    return True
