"""The bodies of reports and the rows that name them stay together, whatever the disk does."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from supervisor.journal.journal import JournalUnwritableError, TaskJournal
from supervisor.journal.report_bodies import YOUNG_FILES
from supervisor.journal.state_directory import BODIES_DIRECTORY
from tests.builders import make_report
from tests.fakes.disk import Disk
from tests.fakes.journals import open_task_journal
from tests.unit.supervisor.journal.journal_states import FILLED, fill, states

FILE_BYTES = 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def disk(path: Path) -> Disk:
    return Disk(path)


@pytest.fixture
def journal(path: Path, disk: Disk) -> Iterator[TaskJournal]:
    journal = open_task_journal(path, disk)
    yield journal
    journal.close()


def test_body_that_was_not_written_is_not_spoken_of_on_disk(
    journal: TaskJournal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(journal)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", lambda *_: 0)
        with pytest.raises(JournalUnwritableError, match="No space left"):
            journal.commit()
    assert states(path) == {}
    journal.commit()
    assert states(path) == FILLED


@pytest.mark.usefixtures("small_files")
def test_row_goes_before_the_file_that_it_names(journal: TaskJournal, path: Path, disk: Disk) -> None:
    fill(journal)
    journal.note_finished(make_report("next"), b"x" * FILE_BYTES)
    journal.note_finished(make_report("in the next file"), b"body")
    journal.commit()
    journal.forget("next")
    disk.fill()
    for task_id in ("finished", "rejected"):
        journal.forget(task_id)
    with pytest.raises(JournalUnwritableError):
        journal.commit()
    open_task_journal(path).close()  # a crash here leaves rows whose bodies are still there
    disk.free()
    journal.commit()
    assert not (path.parent / BODIES_DIRECTORY / "00000001").exists()


def test_journal_without_its_bodies_is_refused(journal: TaskJournal, path: Path) -> None:
    fill(journal)
    journal.commit()
    (path.parent / BODIES_DIRECTORY / "00000001").unlink()
    with pytest.raises(ConfigurationError, match="00000001"):
        open_task_journal(path)


@pytest.mark.usefixtures("small_files")
def test_few_bodies_do_not_keep_large_files_on_the_disk(journal: TaskJournal, path: Path) -> None:
    for number in range(100):
        name = f"t{number}"
        journal.note_finished(make_report(name), name.encode() * 100)
        journal.commit()
        if number % 10:
            journal.forget(name)
            journal.commit()
        # Also one that was just moved may be due at once.
        for kept_number in range(0, number + 1, 10):
            assert journal.body(f"t{kept_number}") == f"t{kept_number}".encode() * 100
    kept = [f"t{number}" for number in range(0, 100, 10)]
    assert {name: journal.body(name) for name in kept} == {name: name.encode() * 100 for name in kept}
    assert len(list((path.parent / BODIES_DIRECTORY).iterdir())) <= YOUNG_FILES + 3
    again = open_task_journal(path)
    assert [again.body(name) for name in kept] == [name.encode() * 100 for name in kept]
    again.close()


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.journal.report_bodies.FILE_BYTES", FILE_BYTES)
    monkeypatch.setattr("supervisor.journal.report_bodies.SPARSE_BYTES", 400)
    monkeypatch.setattr("supervisor.journal.report_bodies.MAX_RECENT_BYTES", 0)


@pytest.mark.usefixtures("small_files")
def test_body_that_cannot_be_read_hurts_no_other(journal: TaskJournal, path: Path) -> None:
    journal.note_finished(make_report("bad"), b"x" * 200)
    journal.commit()
    for number in range(40):
        if number == 10:  # when others are written long since
            os.truncate(path.parent / BODIES_DIRECTORY / "00000001", 10)
        journal.note_finished(make_report(f"t{number}"), b"y" * 600)
        journal.commit()
        journal.forget(f"t{number}")
        journal.commit()
    with pytest.raises(OSError, match="cut off"):
        journal.body("bad")
    journal.note_finished(make_report("good"), b"good")
    journal.commit()
    assert journal.body("good") == b"good"


@pytest.mark.usefixtures("small_files")
def test_full_disk_among_large_results_is_over_when_there_is_room(
    journal: TaskJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"t{number}" for number in range(10)]
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", lambda *_: 0)
        for name in names:
            journal.note_finished(make_report(name), name.encode() * 300)
            with pytest.raises(JournalUnwritableError):
                journal.commit()
    journal.commit()
    assert [journal.body(name) for name in names] == [name.encode() * 300 for name in names]
