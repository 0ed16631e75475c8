"""The limit that the other side has is found in few tries, kept, and forgotten when it is gone."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.runtime.learned_limit import LearnedLimit
from tests.fakes.clock import Clock

FIRST_RETRY_SECONDS = 30.0
MAX_RETRY_SECONDS = 240.0


@pytest.fixture
def learned(clock: Clock) -> LearnedLimit:
    return LearnedLimit(clock, FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS)


def ask(learned: LearnedLimit, wanted: int, takes: int) -> int:
    """One request to a side that takes so much at most; the amount that was asked for."""
    amount = learned.limit(wanted)
    learned.began(amount)
    (learned.worked if amount <= takes else learned.failed)(amount)
    return amount


def amounts(learned: LearnedLimit, wanted: int, takes: int, times: int) -> list[int]:
    return [ask(learned, wanted, takes) for _ in range(times)]


def test_there_is_no_limit_before_a_failure(learned: LearnedLimit) -> None:
    assert amounts(learned, 10, takes=5000, times=2) == [10, 10]
    assert learned.limit(5000) == 5000
    assert not learned.found


def test_failure_halves_the_amount(learned: LearnedLimit) -> None:
    assert amounts(learned, 100, takes=10, times=4) == [100, 50, 25, 12]
    assert learned.limit(100) == 6
    assert not learned.found


def test_limit_is_found_between_what_works_and_what_fails(learned: LearnedLimit) -> None:
    asked = amounts(learned, 100, takes=10, times=12)
    assert asked == [100, 50, 25, 12, 6, 9, 10, 11, 10, 10, 10, 10]
    assert learned.found
    assert (learned.works_up_to, learned.fails_from) == (10, 11)


def test_search_for_a_large_limit_ends_within_an_eighth_of_it(learned: LearnedLimit) -> None:
    asked = amounts(learned, 1562, takes=1000, times=20)
    assert asked[-1] >= 875
    assert sum(amount > 1000 for amount in asked) <= 4


def test_less_than_the_limit_is_asked_for_as_it_is(learned: LearnedLimit) -> None:
    amounts(learned, 100, takes=10, times=12)
    assert learned.limit(3) == 3


def test_more_is_tried_again_only_after_a_while(learned: LearnedLimit, clock: Clock) -> None:
    amounts(learned, 100, takes=10, times=12)
    clock.advance(FIRST_RETRY_SECONDS - 1)
    assert learned.limit(100) == 10
    clock.advance(1)
    assert learned.limit(100) == 11


def test_one_larger_request_at_a_time(learned: LearnedLimit, clock: Clock) -> None:
    amounts(learned, 100, takes=10, times=12)
    clock.advance(FIRST_RETRY_SECONDS)
    learned.began(learned.limit(100))
    assert learned.limit(100) == 10
    learned.undecided()
    assert learned.limit(100) == 11


def test_fixed_limit_is_tried_beyond_ever_more_seldom(learned: LearnedLimit, clock: Clock) -> None:
    amounts(learned, 100, takes=10, times=12)
    failures_at = []
    for second in range(1000):
        if ask(learned, 100, takes=10) > 10:
            failures_at.append(second)
        clock.advance(1)
    assert failures_at == [30, 90, 210, 450, 690, 930]


def test_old_failures_of_larger_requests_make_the_wait_no_longer(learned: LearnedLimit, clock: Clock) -> None:
    for _ in range(5):
        learned.failed(100)
    learned.worked(50)
    clock.advance(FIRST_RETRY_SECONDS)
    assert learned.limit(100) == 100


def test_passing_trouble_is_soon_forgotten(learned: LearnedLimit, clock: Clock) -> None:
    assert amounts(learned, 400, takes=0, times=4) == [400, 200, 100, 50]
    assert amounts(learned, 400, takes=400, times=10)[-1] == 46
    clock.advance(FIRST_RETRY_SECONDS)
    assert amounts(learned, 400, takes=400, times=4) == [50, 100, 200, 400]
    assert learned.limit(5000) == 5000


def test_amount_grows_at_once_after_one_alone_failed(learned: LearnedLimit) -> None:
    assert amounts(learned, 8, takes=0, times=5) == [8, 4, 2, 1, 1]
    assert amounts(learned, 8, takes=8, times=5) == [1, 2, 4, 8, 8]


def test_amount_that_worked_and_now_fails_is_halved(learned: LearnedLimit) -> None:
    amounts(learned, 100, takes=100, times=3)
    assert amounts(learned, 100, takes=60, times=3) == [100, 50, 75]


def test_failure_of_one_alone_leaves_one(learned: LearnedLimit) -> None:
    amounts(learned, 4, takes=0, times=5)
    assert learned.limit(4) == 1
    assert learned.found


@pytest.mark.parametrize("wanted", [0, 1, 7])
def test_at_least_one_is_asked_for(learned: LearnedLimit, wanted: int) -> None:
    assert learned.limit(wanted) == max(1, wanted)


@given(takes=st.integers(1, 5000), wanted=st.integers(1, 5000))
def test_any_limit_is_found_with_few_failures(takes: int, wanted: int) -> None:
    clock = Clock()
    learned = LearnedLimit(clock)
    asked = amounts(learned, wanted, takes, times=40)
    assert asked[-1] <= takes
    assert asked[-1] >= min(wanted, takes * 7 // 8)
    assert sum(amount > takes for amount in asked) <= 16


@given(outcomes=st.lists(st.tuples(st.booleans(), st.integers(1, 200), st.floats(0, 100)), max_size=40))
def test_limit_stays_within_what_is_wanted_in_any_order_of_answers(
    outcomes: list[tuple[bool, int, float]],
) -> None:
    clock = Clock()
    learned = LearnedLimit(clock)
    for worked, amount, seconds in outcomes:
        tell: Callable[[int], None] = learned.worked if worked else learned.failed
        tell(amount)
        clock.advance(seconds)
        assert 1 <= learned.limit(100) <= 100
        assert learned.fails_from is None or learned.works_up_to < learned.fails_from
