"""The inbox hands on every event, in order, and waits no longer than it is told to."""

from shared.messages import UnitDone
from shared.models import Output, Usage
from supervisor.pool.base import UnitFinished
from supervisor.runtime.events import (
    MAX_TURN_BYTES,
    Event,
    Inbox,
    PauseRequested,
    ResumeRequested,
    StopRequested,
    ThreadCrashed,
    start_thread,
)


def test_all_waiting_events_are_taken_in_their_order() -> None:
    inbox = Inbox()
    events: list[Event] = [PauseRequested(), ResumeRequested(), StopRequested()]
    for event in events:
        inbox.post(event)
    assert inbox.take(0.0) == events
    assert inbox.take(0.0) == []


def test_turn_takes_no_more_units_once_their_results_are_large() -> None:
    inbox = Inbox()
    outcomes = {"a": Output("embedding", bytes(MAX_TURN_BYTES // 2), "m", Usage(1, 1))}
    for slot in range(5):
        inbox.post(UnitFinished(slot, UnitDone(slot, outcomes)))
    inbox.post(StopRequested())
    assert [len(inbox.take(0.0)) for _ in range(4)] == [2, 2, 2, 0]


def test_time_already_past_is_no_wait_and_no_error() -> None:
    assert Inbox().take(-1.0) == []


def test_fault_of_a_thread_reaches_the_inbox() -> None:
    error = ValueError("broken")

    def work() -> None:
        raise error

    posted: list[Event] = []
    start_thread("broken", work, posted.append).join(10)
    (crash,) = posted
    assert (getattr(crash, "thread", None), getattr(crash, "error", None)) == ("broken", error)


def test_thread_that_is_told_to_exit_is_a_fault_too() -> None:
    def work() -> None:
        raise SystemExit(0)

    posted: list[Event] = []
    start_thread("exits", work, posted.append).join(10)
    (crash,) = posted
    assert isinstance(crash, ThreadCrashed)
    assert isinstance(crash.error, RuntimeError)


def test_thread_that_ends_well_says_nothing() -> None:
    posted: list[Event] = []
    start_thread("well", lambda: None, posted.append).join(10)
    assert posted == []
