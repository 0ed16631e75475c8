"""The inbox hands on every event, in order, and waits no longer than it is told to."""

from supervisor.runtime.events import Event, Inbox, PauseRequested, ResumeRequested, StopRequested
from supervisor.runtime.threads import start_thread


def test_all_waiting_events_are_taken_in_their_order() -> None:
    inbox = Inbox()
    events: list[Event] = [PauseRequested(), ResumeRequested(), StopRequested()]
    for event in events:
        inbox.post(event)
    assert inbox.take(0.0) == events
    assert inbox.take(0.0) == []


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


def test_thread_that_ends_well_says_nothing() -> None:
    posted: list[Event] = []
    start_thread("well", lambda: None, posted.append).join(10)
    assert posted == []
