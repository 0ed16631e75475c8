"""A journal with a task in each state, and what its table says."""

from pathlib import Path

from supervisor.journal.admin import JournalAdmin
from supervisor.journal.journal import TaskJournal
from tests.builders import make_record, make_report


def states(path: Path) -> dict[str, str]:
    """Each task's state on disk, as another process sees it."""
    with JournalAdmin(path) as admin:
        return {task_id: state.value for task_id, state in admin.states().items()}


def fill(journal: TaskJournal) -> None:
    """One task in each state."""
    records = [make_record(name) for name in ("ready", "running", "finished", "rejected", "gone")]
    journal.note_ready(records)
    journal.note_running(["running", "finished", "rejected"])
    for name in ("finished", "rejected"):
        journal.note_finished(make_report(name), f"body of {name}".encode())
    journal.note_rejected("rejected", "status 422: no")
    journal.forget("gone")


FILLED = {"ready": "ready", "running": "running", "finished": "finished", "rejected": "rejected"}
