"""What was noted and committed is there after a restart; what could not be written is not lost."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.models import TaskStatus, WireShape
from supervisor.journal.journal import JournalUnwritableError, TaskJournal
from supervisor.journal.task_record import Claim
from tests.builders import as_stored, make_record, make_report
from tests.fakes.disk import Disk, Step
from tests.fakes.journals import open_task_journal
from tests.unit.supervisor.journal.journal_states import FILLED, fill, states

NOW_SECONDS = 1_700_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def disk(path: Path) -> Disk:
    return Disk(path)


@pytest.fixture
def journal(path: Path, disk: Disk) -> Iterator[TaskJournal]:
    journal = open_task_journal(path, disk, wall=lambda: NOW_SECONDS)
    yield journal
    journal.close()


def test_new_journal_holds_nothing(journal: TaskJournal) -> None:
    assert len(journal) == 0
    assert journal.rejected == 0
    assert not journal.holds("t")
    recovery = journal.recover(0.0)
    assert (recovery.records, recovery.interrupted, recovery.waiting, recovery.rejected) == ((), (), (), 0)


def test_noted_changes_are_on_disk_after_the_commit_and_not_before(journal: TaskJournal, path: Path) -> None:
    fill(journal)
    assert states(path) == {}
    journal.commit()
    assert states(path) == FILLED


def test_journal_knows_what_it_holds_before_the_commit(journal: TaskJournal) -> None:
    fill(journal)
    assert len(journal) == 4
    assert all(journal.holds(name) for name in FILLED)
    assert not journal.holds("gone")
    assert journal.rejected == 1


def test_restart_finds_everything_as_it_was(journal: TaskJournal, path: Path) -> None:
    fill(journal)
    journal.commit()
    again = open_task_journal(path)
    assert len(again) == 4
    assert all(again.holds(name) for name in FILLED)
    recovery = again.recover(77.0)
    assert recovery.records == (as_stored(make_record("ready", received_at=77.0)),)
    assert recovery.interrupted == (as_stored(make_record("running", received_at=77.0)),)
    assert [waiting.report for waiting in recovery.waiting] == [make_report("finished")]
    assert again.body("finished") == b"body of finished"
    assert recovery.rejected == again.rejected == 1
    again.close()


def test_attempts_crashes_and_claims_survive_a_restart(journal: TaskJournal, path: Path) -> None:
    record = make_record("t", shape=WireShape.NESTJS, attempts=2, crashes=1).with_claim(Claim.HELD)
    journal.note_ready([make_record("t", shape=WireShape.NESTJS)])
    journal.note_running(["t"])
    journal.note_ready([record])
    journal.commit()
    again = open_task_journal(path)
    assert again.recover(record.received_at).records == (as_stored(record),)
    again.close()


def test_tasks_come_back_oldest_first(journal: TaskJournal, path: Path) -> None:
    names = [f"t{number}" for number in (5, 1, 9, 3)]
    for name in names:
        journal.note_ready([make_record(name)])
    journal.note_running(["t1", "t9"])
    journal.note_ready([make_record("t5", attempts=1)])
    journal.commit()
    again = open_task_journal(path)
    recovery = again.recover(0.0)
    assert [record.task.id for record in recovery.records] == ["t5", "t3"]
    assert [record.task.id for record in recovery.interrupted] == ["t1", "t9"]
    again.close()


def test_what_ran_when_the_service_was_told_to_stop_was_not_interrupted(
    journal: TaskJournal, path: Path
) -> None:
    journal.note_ready([make_record("t")])
    journal.note_running(["t"])
    journal.note_stopping()
    journal.commit()
    again = open_task_journal(path)
    recovery = again.recover(0.0)
    assert [record.task.id for record in recovery.records] == ["t"]
    assert recovery.interrupted == ()
    again.close()


def test_what_ran_before_the_machine_was_booted_was_not_interrupted(journal: TaskJournal) -> None:
    journal.note_ready([make_record("t")])
    journal.note_running(["t"])
    journal.commit()
    assert journal.recover(0.0, booted_at_seconds=NOW_SECONDS + 1).interrupted == ()
    (interrupted,) = journal.recover(0.0, booted_at_seconds=NOW_SECONDS - 60).interrupted
    assert interrupted.task.id == "t"


@pytest.mark.parametrize(
    "task_id", ["'; DROP TABLE tasks; --", "😀", "a\x00b", "x" * 1024, " ", "ünï"], ids=ascii
)
def test_odd_ids_are_kept_as_they_are(journal: TaskJournal, path: Path, task_id: str) -> None:
    journal.note_ready([make_record(task_id), make_record(task_id + "2")])
    journal.note_running([task_id])
    journal.note_finished(make_report(task_id), b"body")
    journal.commit()
    again = open_task_journal(path)
    recovery = again.recover(0.0)
    assert [waiting.report.task_id for waiting in recovery.waiting] == [task_id]
    assert [record.task.id for record in recovery.records] == [task_id + "2"]
    again.close()


def test_refused_item_that_never_was_a_task_is_kept_for_its_report(journal: TaskJournal, path: Path) -> None:
    journal.note_finished(make_report("t", status=TaskStatus.FAILED), b"failed")
    journal.commit()
    assert states(path) == {"t": "finished"}
    assert journal.body("t") == b"failed"


def test_body_can_be_read_as_often_as_a_report_is_tried(journal: TaskJournal) -> None:
    fill(journal)
    journal.commit()
    assert [journal.body("finished") for _ in range(3)] == [b"body of finished"] * 3


def test_more_than_fits_in_memory_is_read_from_disk(
    journal: TaskJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.journal.report_bodies.MAX_RECENT_BYTES", 10)
    for number in range(5):
        journal.note_finished(make_report(f"t{number}"), f"body {number}".encode())
    journal.commit()
    assert [journal.body(f"t{number}") for number in range(5)] == [b"body %d" % n for n in range(5)]


def test_task_listed_again_after_it_was_forgotten_is_a_new_one(journal: TaskJournal, path: Path) -> None:
    journal.note_finished(make_report("t"), b"old")
    journal.forget("t")
    journal.note_ready([make_record("t")])
    journal.commit()
    again = open_task_journal(path)
    recovery = again.recover(1000.0)
    assert (recovery.records, recovery.waiting) == ((as_stored(make_record("t")),), ())
    again.close()


def test_finished_tasks_say_since_when_they_wait(journal: TaskJournal) -> None:
    fill(journal)
    journal.commit()
    (waiting,) = journal.recover(0.0).waiting
    assert waiting.finished_at_seconds == NOW_SECONDS


def test_commit_of_nothing_touches_no_disk(journal: TaskJournal, disk: Disk) -> None:
    disk.fill(Step.BEGIN)
    journal.commit()


@pytest.mark.parametrize("fails_at", Step)
def test_full_disk_loses_nothing_wherever_it_strikes(
    journal: TaskJournal, path: Path, disk: Disk, fails_at: Step
) -> None:
    disk.fill(fails_at)
    fill(journal)
    for _ in range(3):
        with pytest.raises(JournalUnwritableError, match="disk is full"):
            journal.commit()
    assert states(path) == {}
    assert all(journal.holds(name) for name in FILLED)
    disk.free()
    journal.commit()
    assert states(path) == FILLED


@pytest.mark.parametrize("fails_at", Step)
def test_what_is_noted_while_the_disk_is_full_is_written_with_the_rest(
    journal: TaskJournal, path: Path, disk: Disk, fails_at: Step
) -> None:
    disk.fill(fails_at)
    fill(journal)
    with pytest.raises(JournalUnwritableError):
        journal.commit()
    journal.note_ready([make_record("late")])
    journal.forget("finished")
    disk.free()
    journal.commit()
    assert states(path) == {name: state for name, state in FILLED.items() if name != "finished"} | {
        "late": "ready"
    }


class LyingDisk(Disk):
    """Its first commit reaches the file and is said to have failed."""

    lies = True

    def commit(self) -> None:
        super().commit()
        if self.lies:
            self.lies = False
            raise sqlite3.OperationalError("disk I/O error")


def test_commit_that_reached_the_disk_but_was_reported_as_failed_can_be_repeated(path: Path) -> None:
    journal = open_task_journal(path, LyingDisk(path))
    fill(journal)
    with pytest.raises(JournalUnwritableError):
        journal.commit()
    journal.commit()
    assert states(path) == FILLED


def test_file_that_may_not_grow_is_a_full_disk(journal: TaskJournal, path: Path, disk: Disk) -> None:
    journal.commit()
    disk.execute("PRAGMA max_page_count = 5")
    journal.note_ready([make_record("small"), make_record("large", text="x" * 1_000_000)])
    with pytest.raises(JournalUnwritableError, match=r"journal\.sqlite3: database or disk is full"):
        journal.commit()
    assert states(path) == {}
    disk.execute("PRAGMA max_page_count = 100000")
    journal.commit()
    assert states(path) == {"small": "ready", "large": "ready"}
