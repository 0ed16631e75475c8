"""A journal whose making was cut short at any statement can still be opened."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from sqlite3 import Cursor

from tests.fakes.disk import Disk
from tests.fakes.journals import open_task_journal
from tests.model.fuse import SuddenEndError

MAX_STATEMENTS = 50


class MortalDisk(Disk):
    """The process dies before the statement number `allowed`, counted from 0."""

    def __init__(self, path: Path, allowed: int) -> None:
        super().__init__(path)
        self._allowed = allowed

    def execute(self, statement: str, row: Iterable[object] = (), /) -> Cursor:  # type: ignore[override]  # all that the journal passes
        if self._allowed == 0:
            raise SuddenEndError(statement)
        self._allowed -= 1
        return super().execute(statement, row)


def test_journal_whose_making_was_cut_short_anywhere_opens_at_the_next_start(tmp_path: Path) -> None:
    for allowed in itertools.count():
        path = tmp_path / f"{allowed}.sqlite3"
        finished = _make(path, allowed)
        open_task_journal(path).close()
        if finished:
            break
    assert 3 < allowed < MAX_STATEMENTS


def _make(path: Path, allowed: int) -> bool:
    disk = MortalDisk(path, allowed)
    try:
        open_task_journal(path, disk)
    except SuddenEndError:
        return False
    finally:
        disk.close()
    return True
