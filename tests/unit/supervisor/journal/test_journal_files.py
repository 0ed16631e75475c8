"""A file that is no sound journal of ours is named, with a way out, and left exactly as it is."""

import sqlite3
import time
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from supervisor.journal.journal import TaskJournal
from supervisor.journal.schema import APPLICATION_ID, SCHEMA
from tests.builders import make_record
from tests.fakes.bodies import BodiesInMemory
from tests.fakes.journals import open_task_journal

PAGE_BYTES = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        open_task_journal(path)
    return str(caught.value)


def make_journal(path: Path, tasks: int = 50) -> None:
    journal = open_task_journal(path)
    journal.note_ready(make_record(f"t{number}" * 200) for number in range(tasks))
    journal.commit()
    journal.close()


def make_database(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def test_mark_of_a_journal_is_its_own(path: Path) -> None:
    make_journal(path)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID == 1096044593
    db.close()


def test_file_that_is_no_database_is_refused_and_kept(path: Path) -> None:
    path.write_bytes(b"these are my notes\n" * 1000)
    before = path.read_bytes()
    said = refusal(path)
    assert str(path) in said
    assert "move it, its -wal and -shm files and the directories bodies/ and inputs/" in said
    assert path.read_bytes() == before


def test_database_of_another_program_is_refused_and_kept(path: Path) -> None:
    make_database(path, "CREATE TABLE customers (name TEXT)", "INSERT INTO customers VALUES ('Ann')")
    before = path.read_bytes()
    assert "another application or version mark" in refusal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, 1, 99])
def test_journal_of_another_version_is_refused_and_kept(path: Path, version: int) -> None:
    make_journal(path)
    make_database(path, f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    assert "version mark" in refusal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("page", [1, 2, 3])
def test_damaged_journal_is_refused_and_kept(path: Path, page: int) -> None:
    make_journal(path)
    content = bytearray(path.read_bytes())
    content[page * PAGE_BYTES : page * PAGE_BYTES + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    assert "is damaged or no journal of this service" in refusal(path)
    assert path.read_bytes() == bytes(content)


def test_torn_journal_is_refused_and_kept(path: Path) -> None:
    make_journal(path)
    torn = path.read_bytes()[: 2 * PAGE_BYTES + 100]
    path.write_bytes(torn)
    assert str(path) in refusal(path)
    assert path.read_bytes() == torn


def test_row_that_cannot_be_read_is_a_readable_fault(path: Path) -> None:
    make_journal(path)
    make_database(path, "UPDATE tasks SET task = x'7b'")
    with pytest.raises(ConfigurationError, match="damaged"):
        open_task_journal(path).recover(0.0)


def test_empty_file_becomes_a_journal(path: Path) -> None:
    path.touch()
    make_journal(path, tasks=1)


@pytest.mark.parametrize("name", ["a directory", "missing/journal.sqlite3"])
def test_path_that_cannot_be_a_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a directory").mkdir()
    assert f"cannot use the journal {tmp_path / name}" in refusal(tmp_path / name)


@pytest.mark.parametrize("statements", range(5))
def test_first_start_that_was_cut_short_does_not_bar_the_next(path: Path, statements: int) -> None:
    made = sqlite3.connect(path, isolation_level=None)
    for statement in [
        "PRAGMA journal_mode = WAL",
        "PRAGMA application_id = 1096044593",
        "PRAGMA user_version = 2",
        SCHEMA,
    ][:statements]:
        made.execute(statement)
    made.close()
    journal = open_task_journal(path)
    assert len(journal) == 0
    journal.close()


def test_file_system_without_shared_memory_is_refused(path: Path) -> None:
    def connect(path: Path) -> sqlite3.Connection:
        # SQLite's own driver for file systems without locks has no shared memory either.
        return sqlite3.connect(f"file:{path}?vfs=unix-dotfile", uri=True, isolation_level=None)

    with pytest.raises(ConfigurationError, match="no shared memory for a write-ahead log; use a local disk"):
        TaskJournal(path, BodiesInMemory(), time.time, connect)
