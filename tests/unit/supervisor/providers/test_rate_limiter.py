"""What goes to the provider within a minute stays within the limit, and uses it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages import RateLimits
from supervisor.providers.rate_limiter import MAX_TOKENS_A_CALL, RateLimiter
from tests.fakes.clock import Clock

MODEL = "m"


def send(limiter: RateLimiter, unit_id: int, size_bytes: int, tokens: int | None = None) -> None:
    """A unit goes out and is answered at once."""
    limiter.reserve(MODEL, unit_id, size_bytes)
    limiter.answered(MODEL, unit_id, size_bytes, size_bytes if tokens is None else tokens, None)


def test_without_limits_a_unit_is_as_large_as_one_call_may_be(clock: Clock) -> None:
    limiter = RateLimiter(0, 0, clock)
    for unit_id in range(50):
        assert limiter.max_bytes(MODEL) == MAX_TOKENS_A_CALL
        send(limiter, unit_id, 300_000)
    assert limiter.opens_at() is None
    assert limiter.rates() == ()


def test_requests_a_minute_are_not_exceeded(clock: Clock) -> None:
    limiter = RateLimiter(3, 0, clock)
    for unit_id in range(3):
        assert limiter.max_bytes(MODEL) > 0
        send(limiter, unit_id, 10)
    assert limiter.max_bytes(MODEL) == 0
    opens_at = limiter.opens_at()
    assert opens_at is not None
    assert 60.0 <= opens_at - clock() <= 61.0
    clock.seconds = opens_at + 0.001
    assert limiter.max_bytes(MODEL) > 0


def test_what_is_out_counts_before_its_answer_comes(clock: Clock) -> None:
    limiter = RateLimiter(2, 0, clock)
    limiter.reserve(MODEL, 1, 10)
    limiter.reserve(MODEL, 2, 10)
    clock.advance(1000)
    assert limiter.max_bytes(MODEL) == 0


def test_unit_is_no_larger_than_what_is_left_of_the_tokens(clock: Clock) -> None:
    limiter = RateLimiter(0, 600, clock)
    assert limiter.max_bytes(MODEL) == 600
    send(limiter, 1, 400)
    assert limiter.max_bytes(MODEL) == 200


def test_crumbs_are_left_until_they_are_worth_a_request(clock: Clock) -> None:
    limiter = RateLimiter(0, 600, clock)
    send(limiter, 1, 595)
    assert limiter.max_bytes(MODEL) == 0


def test_models_have_limits_apart(clock: Clock) -> None:
    limiter = RateLimiter(1, 0, clock)
    send(limiter, 1, 10)
    assert limiter.max_bytes(MODEL) == 0
    assert limiter.max_bytes("other") > 0


def test_what_is_billed_teaches_how_many_bytes_a_token_has(clock: Clock) -> None:
    limiter = RateLimiter(0, 100_000, clock)
    for unit_id in range(30):
        send(limiter, unit_id, 400, tokens=100)
    clock.advance(100)
    assert limiter.max_bytes(MODEL) > 300_000


def test_unit_that_was_lost_counts_as_it_was_estimated(clock: Clock) -> None:
    limiter = RateLimiter(0, 600, clock)
    limiter.reserve(MODEL, 1, 400)
    limiter.lost(MODEL, 1)
    assert limiter.max_bytes(MODEL) == 200


def test_limits_that_the_provider_names_are_kept_to(clock: Clock) -> None:
    limiter = RateLimiter(0, 0, clock)
    limiter.reserve(MODEL, 1, 100)
    limiter.answered(MODEL, 1, 100, 100, RateLimits(limit_requests=10, limit_tokens=1000))
    assert limiter.max_bytes(MODEL) <= 900 * 1.1
    kinds = {(rate.kind, rate.limit, rate.remaining) for rate in limiter.rates()}
    assert kinds == {("requests", 10, 9), ("tokens", 1000, 900)}


def test_own_ceiling_is_kept_to_where_the_provider_allows_more(clock: Clock) -> None:
    limiter = RateLimiter(1, 0, clock)
    limiter.reserve(MODEL, 1, 100)
    limiter.answered(MODEL, 1, 100, 100, RateLimits(limit_requests=500))
    assert limiter.max_bytes(MODEL) == 0


def test_what_others_use_up_with_the_same_key_is_not_ours_to_send(clock: Clock) -> None:
    limiter = RateLimiter(0, 0, clock)
    limiter.reserve(MODEL, 1, 100)
    seen = RateLimits(limit_requests=10, remaining_requests=0, reset_requests_seconds=30.0)
    limiter.answered(MODEL, 1, 100, 100, seen)
    assert limiter.max_bytes(MODEL) == 0
    clock.advance(30)
    assert limiter.max_bytes(MODEL) > 0


def answered(limiter: RateLimiter, seen: RateLimits, unit_id: int = 1) -> None:
    limiter.reserve(MODEL, unit_id, 10)
    limiter.answered(MODEL, unit_id, 10, 10, seen)


def remaining(limiter: RateLimiter) -> dict[str, int]:
    return {rate.kind: rate.remaining for rate in limiter.rates()}


def test_requests_and_tokens_are_full_again_each_in_its_own_time(clock: Clock) -> None:
    limiter = RateLimiter(0, 0, clock)
    answered(limiter, RateLimits(100, 1000, 0, 0, 10.0, 200.0))
    clock.advance(10.0)
    assert remaining(limiter) == {"requests": 100, "tokens": 50}


def test_a_reset_is_when_all_is_back_and_not_when_something_is(clock: Clock) -> None:
    limiter = RateLimiter(0, 0, clock)
    answered(limiter, RateLimits(limit_tokens=150_000, remaining_tokens=0, reset_tokens_seconds=360.0))
    assert limiter.max_bytes(MODEL) == 0
    opens_at = limiter.opens_at()
    assert opens_at is not None
    assert opens_at - clock() < 7.0
    clock.seconds = opens_at
    assert limiter.max_bytes(MODEL) >= 2500


def test_a_limit_of_a_day_is_none_of_a_minute(clock: Clock) -> None:
    limiter = RateLimiter(0, 0, clock)
    answered(limiter, RateLimits(limit_requests=10, reset_requests_seconds=8000.0))
    for unit_id in range(2, 50):
        assert limiter.max_bytes(MODEL) > 0
        send(limiter, unit_id, 10)


def test_a_limit_of_half_a_second_holds_nothing_back_for_a_minute(clock: Clock) -> None:
    limiter = RateLimiter(0, 0, clock)
    answered(limiter, RateLimits(limit_requests=2, remaining_requests=0, reset_requests_seconds=0.5))
    assert limiter.max_bytes(MODEL) == 0
    clock.advance(0.5)
    assert limiter.max_bytes(MODEL) > 0


def test_an_answer_that_was_long_on_its_way_does_not_undo_what_later_ones_said(clock: Clock) -> None:
    limiter = RateLimiter(0, 0, clock)
    limiter.reserve(MODEL, 1, 10)
    clock.advance(1.0)
    limiter.reserve(MODEL, 2, 10)
    clock.advance(1.0)
    late = RateLimits(limit_requests=10, remaining_requests=9, reset_requests_seconds=60.0)
    limiter.answered(
        MODEL, 2, 10, 10, RateLimits(limit_requests=10, remaining_requests=1, reset_requests_seconds=60.0)
    )
    limiter.answered(MODEL, 1, 10, 10, late)
    assert remaining(limiter) == {"requests": 1}


def test_a_setting_holds_whatever_the_headers_say_is_left(clock: Clock) -> None:
    limiter = RateLimiter(2, 0, clock)
    for unit_id in range(2):
        answered(limiter, RateLimits(500, None, 499, None, 0.1, None), unit_id)
    clock.advance(1.0)
    assert limiter.max_bytes(MODEL) == 0


def test_text_larger_than_the_whole_limit_is_tried_when_nothing_else_is_out(clock: Clock) -> None:
    limiter = RateLimiter(0, 100, clock)
    limiter.reserve(MODEL, 1, 5000)
    limiter.answered(MODEL, 1, 5000, 0, None)
    clock.advance(61)
    assert limiter.max_bytes(MODEL) > 0


STEPS = st.tuples(st.integers(1, 500), st.integers(0, 40), st.booleans())


@given(steps=st.lists(STEPS, max_size=60), requests=st.integers(1, 10), tokens=st.integers(100, 2000))
def test_no_minute_ever_holds_more_than_the_limits(
    steps: list[tuple[int, int, bool]], requests: int, tokens: int
) -> None:
    clock = Clock()
    limiter = RateLimiter(requests, tokens, clock)
    sent: list[tuple[float, int]] = []
    for unit_id, (wanted_bytes, seconds, lost) in enumerate(steps):
        size_bytes = min(wanted_bytes, limiter.max_bytes(MODEL))
        if size_bytes:
            limiter.reserve(MODEL, unit_id, size_bytes)
            clock.advance(seconds / 8)
            sent.append((clock(), size_bytes))
            if lost:
                limiter.lost(MODEL, unit_id)
            else:
                limiter.answered(MODEL, unit_id, size_bytes, size_bytes, None)
        clock.advance(seconds)
        within = [count for moment, count in sent if moment > clock() - 60.0]
        assert len(within) <= requests
        assert sum(within) <= tokens
    opens_at = limiter.opens_at()
    assert opens_at is None or opens_at > clock()


def test_what_was_sent_counts_for_a_minute_and_not_much_longer(clock: Clock) -> None:
    limiter = RateLimiter(1, 0, clock)
    send(limiter, 1, 10)
    clock.advance(60.0)
    assert limiter.max_bytes(MODEL) == 0
    clock.advance(0.2)
    assert limiter.max_bytes(MODEL) > 0


def test_what_is_out_and_what_was_spent_count_together(clock: Clock) -> None:
    limiter = RateLimiter(0, 600, clock)
    send(limiter, 1, 100)
    limiter.reserve(MODEL, 2, 200)
    assert limiter.max_bytes(MODEL) == 300


def test_tokens_that_others_use_up_with_the_same_key_are_not_ours_to_send(clock: Clock) -> None:
    limiter = RateLimiter(0, 0, clock)
    limiter.reserve(MODEL, 1, 100)
    seen = RateLimits(limit_tokens=1000, remaining_tokens=400, reset_tokens_seconds=30.0)
    limiter.answered(MODEL, 1, 100, 100, seen)
    assert [rate.remaining for rate in limiter.rates()] == [400]
    assert [rate.resets_in_seconds for rate in limiter.rates()] == [30.0]
    assert limiter.opens_at() == clock() + 30.0
    clock.advance(15.0)
    assert [rate.remaining for rate in limiter.rates()] == [700]
    clock.advance(15.0)
    assert [rate.remaining for rate in limiter.rates()] == [1000]


def test_bytes_a_token_are_learned_from_the_bill(clock: Clock) -> None:
    limiter = RateLimiter(0, 10_000, clock)
    for unit_id in range(100):
        send(limiter, unit_id, 400, tokens=100)
        clock.advance(61.0)
    # A quarter of a token a byte, and a tenth more to be safe.
    assert limiter.max_bytes(MODEL) == pytest.approx(10_000 / (0.25 * 1.1), rel=0.01)


def test_dearer_text_is_learned_at_once(clock: Clock) -> None:
    limiter = RateLimiter(0, 10_000, clock)
    for unit_id in range(100):
        send(limiter, unit_id, 400, tokens=100)
        clock.advance(61.0)
    send(limiter, 1000, 400, tokens=400)
    clock.advance(61.0)
    assert limiter.max_bytes(MODEL) == 10_000


def test_models_without_number_take_no_room_without_bound(clock: Clock) -> None:
    limiter = RateLimiter(5, 0, clock)
    for number in range(400):
        limiter.reserve(f"m{number}", number, 10)
        limiter.answered(f"m{number}", number, 10, 10, None)
        clock.advance(1.0)
        limiter.rates()
    assert len(limiter) <= 201
