"""Any course of events, with a disk that fills up at any moment: after a commit the disk says what is so."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from supervisor.journal.journal import JournalUnwritableError, TaskJournal
from tests.builders import make_record, make_report
from tests.fakes.disk import IN_MEMORY, Disk, Step
from tests.fakes.journals import open_task_journal

IDS = st.sampled_from(["a", "b", "c", "d"])
STEPS = st.one_of(
    st.tuples(st.sampled_from(["ready", "running", "finished", "rejected", "forget"]), IDS),
    st.tuples(st.just("commit"), st.none() | st.sampled_from(Step)),
)

LAWFUL = {
    None: {"ready", "finished"},
    "ready": {"ready", "running", "forget"},
    "running": {"ready", "finished", "forget"},
    "finished": {"rejected", "forget"},
    "rejected": set[str](),
}


def note(journal: TaskJournal, step: str, task_id: str, attempts: int) -> None:
    match step:
        case "ready":
            journal.note_ready([make_record(task_id, attempts=attempts)])
        case "running":
            journal.note_running([task_id])
        case "finished":
            journal.note_finished(make_report(task_id), f"{task_id} {attempts}".encode())
        case "rejected":
            journal.note_rejected(task_id, "no")
        case "forget":
            journal.forget(task_id)


@given(st.lists(STEPS, max_size=40))
def test_disk_says_what_is_so(steps: list[tuple[str, str | Step | None]]) -> None:
    disk = Disk()
    journal = open_task_journal(IN_MEMORY, disk)
    state: dict[str, str] = {}
    attempts: dict[str, int] = {}
    for number, (step, what) in enumerate(steps):
        if not isinstance(what, str):
            disk.fill(what)
            with contextlib.suppress(JournalUnwritableError):
                journal.commit()
        elif step in LAWFUL[state.get(what)]:
            if step in ("ready", "finished"):
                attempts[what] = number
            note(journal, step, what, number)
            state[what] = step
            if step == "forget":
                del state[what]
        assert len(journal) == len(state)
        assert all(journal.holds(task_id) == (task_id in state) for task_id in "abcd")
    disk.free()
    journal.commit()
    recovery = journal.recover(1000.0)
    running = {task_id for task_id, step in state.items() if step == "running"}
    to_run = running | {task_id for task_id, step in state.items() if step == "ready"}
    to_report = {task_id for task_id, step in state.items() if step == "finished"}
    assert {record.task.id for record in recovery.interrupted} == running
    assert {(record.task.id, record.attempts) for record in (*recovery.records, *recovery.interrupted)} == {
        (task_id, attempts[task_id]) for task_id in to_run
    }
    assert {waiting.report.task_id for waiting in recovery.waiting} == to_report
    assert recovery.rejected == journal.rejected == len(state) - len(to_run) - len(to_report)
    for task_id in to_report:
        assert journal.body(task_id) == f"{task_id} {attempts[task_id]}".encode()
    journal.close()
