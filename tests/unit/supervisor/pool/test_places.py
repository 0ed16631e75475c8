"""Units are spread over the workers, and a suspect gets one for itself."""

from hypothesis import given
from hypothesis import strategies as st

from supervisor.pool.places import Free, Places


def places(*workers: tuple[int, int]) -> Places:
    """Room in workers that each hold so many units, and may be given so many more."""
    return Places([Free(slot, held, room) for slot, (held, room) in enumerate(workers)], max_suspects=1)


def test_workers_that_hold_fewest_units_get_the_next() -> None:
    room = places((2, 2), (0, 4), (1, 3))
    assert [room.take() for _ in range(len(room))] == [1, 1, 2, 0, 1, 2, 0, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=6))
def test_no_worker_is_given_more_than_it_has_room_for(workers: list[tuple[int, int]]) -> None:
    room = places(*workers)
    given = [room.take() for _ in range(len(room))]
    assert [given.count(slot) for slot in range(len(workers))] == [room for _, room in workers]


def test_suspect_gets_an_idle_worker_for_itself() -> None:
    room = places((1, 3), (0, 4), (0, 4))
    assert room.take_idle() == 1
    assert (len(room), room.has_idle) == (7, True)
    assert room.take_idle() == 2
    assert (len(room), room.has_idle) == (3, False)
    assert [room.take() for _ in range(len(room))] == [0, 0, 0]


def test_worker_that_is_to_come_to_hold_nothing_is_the_one_that_holds_fewest() -> None:
    room = places((3, 1), (1, 3), (2, 2))
    room.let_one_empty()
    assert sorted(room.take() for _ in range(len(room))) == [0, 2, 2]


def test_worker_that_has_no_room_can_be_the_one_that_comes_to_hold_nothing() -> None:
    room = places((4, 0), (5, 2))
    room.let_one_empty()
    assert len(room) == 2
