"""Polls follow each other quickly while work comes, slowly while none does, never two at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.task_api.poll_scheduler import MAX_AHEAD, MAX_AHEAD_BYTES, MAX_PAGE_BYTES, Load, PollScheduler
from supervisor.task_api.responses import PollAnswer, PollRequest
from tests.builders import make_page_of_tasks
from tests.fakes.clock import Clock

CAPACITY = 100
LONGEST = 30.0
SHORTEST = 1.0
REQUEST = PollRequest(CAPACITY)


def few(took_seconds: float) -> PollAnswer:
    return make_page_of_tasks(3, page_bytes=2_000, took_seconds=took_seconds)


@pytest.fixture
def scheduler(clock: Clock) -> PollScheduler:
    return PollScheduler(LONGEST, SHORTEST, CAPACITY, clock)


def poll(scheduler: PollScheduler, new: int = 0, *, full: bool = False) -> None:
    scheduler.started(0, REQUEST, wanted=100)
    scheduler.learn_item_size(few(0.01))
    scheduler.found(new, full=full, answer=few(0.01))


def due(scheduler: PollScheduler, backlog: int) -> bool:
    """Is a poll due while something is held?"""
    return scheduler.due(Load(waiting=backlog, known=backlog + 1))


def wait_of(scheduler: PollScheduler, clock: Clock) -> float:
    return scheduler.next_at - clock()


def test_first_poll_is_due_at_once(scheduler: PollScheduler) -> None:
    assert due(scheduler, 0)


def test_no_poll_is_due_while_one_is_under_way(scheduler: PollScheduler, clock: Clock) -> None:
    scheduler.started(0, REQUEST, wanted=100)
    clock.advance(1000)
    assert scheduler.polling
    assert not due(scheduler, 0)
    assert scheduler.due_at(Load()) is None


def test_poll_that_found_work_is_followed_by_another_soon(scheduler: PollScheduler, clock: Clock) -> None:
    poll(scheduler, new=3)
    assert not scheduler.polling
    assert not due(scheduler, 0)
    assert scheduler.due_at(Load()) == clock() + SHORTEST
    clock.advance(SHORTEST)
    assert due(scheduler, 0)


def test_full_page_is_followed_by_a_poll_as_soon_as_there_is_room(scheduler: PollScheduler) -> None:
    poll(scheduler, new=CAPACITY, full=True)
    assert not due(scheduler, CAPACITY)
    assert not due(scheduler, CAPACITY // 2 + 1)
    assert due(scheduler, CAPACITY // 2)


def test_after_a_full_page_some_room_is_enough_once_the_shortest_wait_is_over(
    scheduler: PollScheduler, clock: Clock
) -> None:
    poll(scheduler, new=CAPACITY, full=True)
    clock.advance(SHORTEST)
    assert due(scheduler, CAPACITY - 1)
    assert not due(scheduler, CAPACITY)


def test_wait_doubles_to_the_longest_while_nothing_comes(scheduler: PollScheduler, clock: Clock) -> None:
    waits = []
    for _ in range(7):
        poll(scheduler)
        waits.append(wait_of(scheduler, clock))
        clock.advance(waits[-1])
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_work_brings_the_wait_back_to_the_shortest(scheduler: PollScheduler, clock: Clock) -> None:
    for _ in range(5):
        poll(scheduler)
    poll(scheduler, new=1)
    assert wait_of(scheduler, clock) == SHORTEST
    poll(scheduler)
    assert wait_of(scheduler, clock) == SHORTEST


def test_full_page_of_known_tasks_is_no_reason_to_hurry(scheduler: PollScheduler) -> None:
    poll(scheduler, new=0, full=True)
    assert not due(scheduler, 0)


def test_failures_slow_polling_down(scheduler: PollScheduler, clock: Clock) -> None:
    waits = []
    for _ in range(3):
        scheduler.started(0, REQUEST, wanted=100)
        scheduler.failed(None)
        waits.append(wait_of(scheduler, clock))
    assert waits == [1, 2, 4]
    assert not scheduler.polling


def test_api_that_names_a_wait_gets_it(scheduler: PollScheduler, clock: Clock) -> None:
    scheduler.started(0, REQUEST, wanted=100)
    scheduler.failed(120.0)
    assert scheduler.due_at(Load()) == clock() + 120.0


def test_api_that_names_no_wait_at_all_is_not_polled_without_a_pause(
    scheduler: PollScheduler, clock: Clock
) -> None:
    scheduler.started(0, REQUEST, wanted=100)
    scheduler.failed(0.0)
    assert not due(scheduler, 0)
    assert wait_of(scheduler, clock) >= SHORTEST


@pytest.mark.parametrize(("backlog", "room"), [(0, 100), (40, 60), (100, 0), (150, 0)])
def test_room_is_what_the_backlog_may_still_take(scheduler: PollScheduler, backlog: int, room: int) -> None:
    assert scheduler.room(Load(waiting=backlog)) == room
    assert (scheduler.due_at(Load(waiting=backlog)) is None) == (room == 0)


@pytest.mark.parametrize(("owed", "depth"), [(50, 100), (101, 101), (5000, 5000), (50_000, MAX_AHEAD)])
def test_much_that_is_owed_makes_polls_larger_and_fewer(
    scheduler: PollScheduler, owed: int, depth: int
) -> None:
    poll(scheduler, new=1, full=True)
    assert scheduler.room(Load(owed=owed)) == depth
    assert scheduler.due(Load(waiting=depth // 2, owed=owed, known=owed))
    assert not scheduler.due(Load(waiting=depth // 2 + 1, owed=owed, known=owed))


@pytest.mark.parametrize(
    ("item_bytes", "backlog_bytes", "room"),
    [
        (30_000, 0, 1119),
        (2**20, 0, 32),
        (2**20, 30 * 2**20, 2),
        (100, 32 * 2**20, 0),
        (2 * MAX_AHEAD_BYTES, 0, 1),
    ],
)
def test_long_texts_are_not_taken_far_ahead(
    scheduler: PollScheduler, item_bytes: int, backlog_bytes: int, room: int
) -> None:
    scheduler.learn_item_size(make_page_of_tasks(10, page_bytes=10 * item_bytes, took_seconds=0.01))
    assert scheduler.room(Load(owed=50_000, waiting_bytes=backlog_bytes)) == room
    assert (scheduler.due_at(Load(owed=50_000, waiting_bytes=backlog_bytes)) is None) == (room == 0)


def test_after_a_full_page_of_long_texts_half_of_the_bytes_must_be_gone(scheduler: PollScheduler) -> None:
    poll(scheduler, new=1, full=True)
    assert not scheduler.due(Load(waiting=1, known=2, waiting_bytes=MAX_AHEAD_BYTES // 2 + 1))
    assert scheduler.due(Load(waiting=1, known=2, waiting_bytes=MAX_AHEAD_BYTES // 2))


def test_no_page_is_asked_for_that_would_be_refused_for_its_size(scheduler: PollScheduler) -> None:
    assert scheduler.limit(2000) == 2000
    scheduler.learn_item_size(make_page_of_tasks(10, page_bytes=10 * 2**20, took_seconds=0.01))
    assert scheduler.limit(2000) == MAX_PAGE_BYTES // 2**20
    scheduler.learn_item_size(make_page_of_tasks(0, page_bytes=2, took_seconds=0.01))
    assert scheduler.limit(2000) == MAX_PAGE_BYTES // 2**20


@pytest.mark.parametrize("new", [0, 1])
def test_long_pages_are_asked_for_less_often(scheduler: PollScheduler, clock: Clock, new: int) -> None:
    scheduler.started(0, REQUEST, wanted=100)
    scheduler.found(new, full=False, answer=make_page_of_tasks(50_000, 40_000_000, took_seconds=0.01))
    assert wait_of(scheduler, clock) == pytest.approx(5.0)


ANSWERS = st.tuples(st.sampled_from(["new", "full", "none", "failed", "asked"]), st.integers(1, 100))


@given(answers=st.lists(ANSWERS, max_size=30), backlog=st.integers(0, CAPACITY - 1))
def test_next_poll_comes_within_the_longest_wait_and_never_without_one(
    answers: list[tuple[str, int]], backlog: int
) -> None:
    clock = Clock()
    scheduler = PollScheduler(LONGEST, SHORTEST, CAPACITY, clock)
    for answer, seconds in answers:
        scheduler.started(0, REQUEST, wanted=100)
        if answer in ("failed", "asked"):
            scheduler.failed(seconds if answer == "asked" else None)
        else:
            new = 0 if answer == "none" else 5
            scheduler.found(new, full=answer == "full", answer=few(0.01))
        wait = wait_of(scheduler, clock)
        assert SHORTEST <= wait <= LONGEST or answer == "asked"
        assert due(scheduler, CAPACITY // 2) == (answer == "full")
        clock.advance(max(wait, 0.0))
        assert due(scheduler, backlog)
