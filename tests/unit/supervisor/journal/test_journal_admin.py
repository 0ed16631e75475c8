"""The journal in the hands of a person, beside a service that has it open."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from supervisor.journal.admin import JournalAdmin
from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import TaskState
from tests.builders import make_record, make_report
from tests.fakes.journals import open_task_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[TaskJournal]:
    """Holds `ready`, `running`, `finished` and `rejected`, a task each named for its state."""
    journal = open_task_journal(path)
    journal.note_ready(make_record(task_id) for task_id in ("ready", "running"))
    journal.note_running(["running"])
    for task_id in ("finished", "rejected"):
        journal.note_finished(make_report(task_id), b'{"status":"succeeded"}')
    journal.note_rejected("rejected", "status 422: no such field")
    journal.commit()
    yield journal
    journal.close()


@pytest.fixture
def admin(journal: TaskJournal, path: Path) -> Iterator[JournalAdmin]:
    with JournalAdmin(path) as admin:
        yield admin


def states(admin: JournalAdmin) -> dict[str, str]:
    return {entry.task_id: entry.state for entry in admin.entries(None, 100)}


def test_every_task_is_listed_with_its_state(admin: JournalAdmin) -> None:
    assert states(admin) == {state: state for state in ("ready", "running", "finished", "rejected")}
    assert admin.counts() == dict.fromkeys(TaskState, 1)


def test_list_is_of_one_state_and_bounded(admin: JournalAdmin) -> None:
    assert [entry.task_id for entry in admin.entries(TaskState.REJECTED, 10)] == ["rejected"]
    assert len(admin.entries(None, 3)) == 3


def test_entry_tells_what_is_known_but_no_text(admin: JournalAdmin) -> None:
    waiting, rejected = admin.entry("ready"), admin.entry("rejected")
    assert (waiting.model, waiting.task_type) == ("text-embedding-3-small", "text-embedding")
    assert "a text" not in repr(waiting)
    assert (rejected.outcome, rejected.rejection) == ("succeeded", "status 422: no such field")
    assert rejected.body_bytes == len(admin.body("rejected"))


def test_retried_report_waits_to_be_sent_again(admin: JournalAdmin) -> None:
    admin.retry(["rejected"])
    assert states(admin)["rejected"] == "finished"
    assert admin.entry("rejected").rejection == ""


def test_dropped_report_is_gone(admin: JournalAdmin) -> None:
    admin.drop(["rejected"])
    assert "rejected" not in states(admin)


@pytest.mark.parametrize("task_id", ["ready", "running", "finished", "unknown"])
@pytest.mark.parametrize("act", ["retry", "drop"])
def test_only_rejected_reports_can_be_changed_and_all_or_none(
    admin: JournalAdmin, act: str, task_id: str
) -> None:
    with pytest.raises(ConfigurationError, match=task_id):
        getattr(admin, act)(["rejected", task_id])
    assert states(admin)["rejected"] == "rejected"
    admin.drop(["rejected"])  # and the admin can still be used


def test_unknown_task_and_missing_report_are_clear_errors(admin: JournalAdmin) -> None:
    with pytest.raises(ConfigurationError, match="not in the journal"):
        admin.entry("unknown")
    with pytest.raises(ConfigurationError, match="no report yet"):
        admin.body("ready")


def test_desk_makes_no_journal_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no journal"):
        JournalAdmin(tmp_path / "journal.sqlite3")
    assert not list(tmp_path.iterdir())


def test_foreign_file_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE tasks (id TEXT)")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="mark"):
        JournalAdmin(path)
    assert path.read_bytes() == before


def test_service_hears_of_what_was_done_once(journal: TaskJournal, admin: JournalAdmin) -> None:
    assert journal.changed_by_others().retried == ()
    admin.retry(["rejected"])
    (waiting,) = journal.changed_by_others().retried
    assert waiting.report.task_id == "rejected"
    assert journal.rejected == 0
    assert journal.holds("rejected")
    assert journal.changed_by_others().retried == ()


def test_service_forgets_what_was_dropped(journal: TaskJournal, admin: JournalAdmin) -> None:
    # A journal learns which reports are rejected by noting them or, after a restart, by recovering.
    admin.drop(["rejected"])
    assert journal.changed_by_others().dropped == ("rejected",)
    assert not journal.holds("rejected")
    assert journal.rejected == 0


def test_service_looks_again_once_its_own_changes_are_written(
    journal: TaskJournal, admin: JournalAdmin
) -> None:
    admin.drop(["rejected"])
    journal.note_ready([make_record("new")])
    assert journal.changed_by_others().dropped == ()
    journal.commit()
    assert journal.changed_by_others().dropped == ("rejected",)


def test_commits_of_the_service_itself_are_no_change_by_others(journal: TaskJournal) -> None:
    journal.note_finished(make_report("other"), b"{}")
    journal.note_rejected("other", "no")
    journal.commit()
    assert journal.changed_by_others().retried == ()
    assert journal.rejected == 2


def test_time_to_drop_grows_with_the_table_and_not_with_its_square(
    journal: TaskJournal, admin: JournalAdmin
) -> None:
    names = [f"t{number}" for number in range(5000)]
    for name in names:
        journal.note_finished(make_report(name), b"body")
        journal.note_rejected(name, "no")
    journal.commit()
    began = time.thread_time()
    admin.drop(names)
    assert time.thread_time() - began < 1.0
    assert not set(names) & states(admin).keys()
