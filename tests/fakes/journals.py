"""A journal with its bodies beside it, as the program opens it."""

import sqlite3
from pathlib import Path

from supervisor.journal.journal import TaskJournal
from supervisor.journal.report_bodies import BODIES_DIRECTORY, BodyFiles
from tests.fakes.bodies import BodiesInMemory

IN_MEMORY = Path(":memory:")

_databases: list[sqlite3.Connection] = []


def open_task_journal(path: Path) -> TaskJournal:
    """Its database is closed at the end of the test, if the test does not close it."""
    journal = _open(path)
    _databases.append(journal._db)
    return journal


def close_journals() -> None:
    """Close the databases of all journals that were opened here."""
    while _databases:
        _databases.pop().close()


def _open(path: Path) -> TaskJournal:
    if path == IN_MEMORY:
        return TaskJournal(path, BodiesInMemory())
    directory = path.with_name(BODIES_DIRECTORY)
    if path.parent.is_dir():
        directory.mkdir(exist_ok=True)
    return TaskJournal(path, BodyFiles(directory))
