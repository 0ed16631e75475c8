"""Polls that the API holds until there is work, and the wake-up that asks for a poll at once."""

import pytest

from supervisor.task_api.poll_scheduler import Load, PollScheduler
from supervisor.task_api.responses import PollAnswer, PollRequest
from tests.builders import make_page_of_tasks
from tests.fakes.clock import Clock

HELD_SECONDS = 20.0
QUICKLY = 0.01
REQUEST = PollRequest(100, wait_seconds=HELD_SECONDS)


def few(took_seconds: float) -> PollAnswer:
    return make_page_of_tasks(3, page_bytes=2_000, took_seconds=took_seconds)


@pytest.fixture
def scheduler(clock: Clock) -> PollScheduler:
    """Long polls are on."""
    return PollScheduler(30.0, 1.0, 100, clock, HELD_SECONDS)


@pytest.fixture
def plain(clock: Clock) -> PollScheduler:
    """Long polls are off."""
    return PollScheduler(30.0, 1.0, 100, clock)


def poll(scheduler: PollScheduler, new: int, took_seconds: float, known: int = 0) -> None:
    scheduler.started(known, PollRequest(100, scheduler.long_poll_seconds), wanted=100)
    scheduler.found(new, full=False, answer=few(took_seconds))


def test_poll_that_was_held_is_followed_by_the_next_at_once(scheduler: PollScheduler) -> None:
    poll(scheduler, new=0, took_seconds=HELD_SECONDS)
    assert scheduler.due(Load())


def test_poll_that_brought_work_is_followed_by_the_next_once_nothing_is_known(
    scheduler: PollScheduler,
) -> None:
    poll(scheduler, new=3, took_seconds=QUICKLY)
    assert not scheduler.due(Load(known=3))
    assert scheduler.due(Load())


def test_api_that_answers_at_once_with_nothing_does_not_hold_polls(scheduler: PollScheduler) -> None:
    poll(scheduler, new=0, took_seconds=QUICKLY)
    assert not scheduler.due(Load())


def test_poll_that_our_own_tasks_ended_at_once_says_nothing_about_the_api(
    scheduler: PollScheduler, clock: Clock
) -> None:
    poll(scheduler, new=1, took_seconds=QUICKLY)
    clock.advance(1)
    assert scheduler.due(Load(known=1))
    poll(scheduler, new=0, took_seconds=QUICKLY, known=1)
    assert not scheduler.due(Load(known=1))
    assert scheduler.due(Load())


def test_api_that_fails_is_not_polled_at_once(scheduler: PollScheduler) -> None:
    scheduler.started(0, REQUEST, wanted=100)
    scheduler.failed(None)
    assert not scheduler.due(Load())


def test_api_that_holds_polls_again_is_noticed(scheduler: PollScheduler, clock: Clock) -> None:
    scheduler.started(0, REQUEST, wanted=100)
    scheduler.failed(None)
    clock.advance(1)
    poll(scheduler, new=0, took_seconds=HELD_SECONDS)
    assert scheduler.due(Load())


def test_slow_answer_is_no_held_poll_where_long_polls_are_off(plain: PollScheduler) -> None:
    poll(plain, new=0, took_seconds=25.0)
    assert not plain.due(Load())


def test_no_second_poll_is_due_while_one_is_known(scheduler: PollScheduler) -> None:
    scheduler.started(0, REQUEST, wanted=100)
    assert not scheduler.due(Load())


def test_bell_makes_a_poll_due_at_once(plain: PollScheduler, clock: Clock) -> None:
    poll(plain, new=0, took_seconds=QUICKLY)
    assert not plain.due(Load(known=1))
    plain.poll_now()
    assert plain.due(Load(known=1))
    assert plain.due_at(Load()) == clock()


@pytest.mark.parametrize("new", [0, 5])
def test_bell_during_a_poll_is_answered_by_another_poll(plain: PollScheduler, new: int) -> None:
    plain.started(0, REQUEST, wanted=100)
    plain.poll_now()
    assert not plain.due(Load(known=1))
    plain.found(new, full=False, answer=few(QUICKLY))
    assert plain.due(Load(known=1))


def test_one_bell_is_answered_once(plain: PollScheduler) -> None:
    plain.started(0, REQUEST, wanted=100)
    plain.poll_now()
    plain.found(0, full=False, answer=few(QUICKLY))
    poll(plain, new=0, took_seconds=QUICKLY)
    assert not plain.due(Load(known=1))


def test_bell_does_not_override_an_api_in_trouble(plain: PollScheduler) -> None:
    plain.started(0, REQUEST, wanted=100)
    plain.poll_now()
    plain.failed(10.0)
    assert not plain.due(Load(known=1))


def test_bell_asks_for_nothing_where_there_is_no_room(plain: PollScheduler) -> None:
    plain.poll_now()
    assert not plain.due(Load(waiting=100, known=100))


@pytest.mark.parametrize(
    ("took_seconds", "held"), [(HELD_SECONDS / 2, True), (HELD_SECONDS / 2 - 0.1, False)]
)
def test_poll_held_for_half_of_what_was_asked_counts_as_held(
    scheduler: PollScheduler, took_seconds: float, held: bool
) -> None:
    poll(scheduler, new=0, took_seconds=took_seconds)
    assert scheduler.due(Load()) == held
