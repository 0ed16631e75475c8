from hypothesis import given
from hypothesis import strategies as st

from shared.models import Usage
from workers.processors.text_embedding import share, share_usage

weights = st.lists(st.integers(0, 300_000), min_size=1, max_size=200)


@given(st.integers(0, 10**9), weights)
def test_parts_add_up_exactly(total: int, shares: list[int]) -> None:
    parts = share(total, shares)
    assert sum(parts) == total
    assert len(parts) == len(shares)


@given(st.integers(0, 10**9), weights)
def test_no_part_is_a_token_off_its_proportion(total: int, shares: list[int]) -> None:
    whole = sum(shares)
    if whole:
        for part, weight in zip(share(total, shares), shares, strict=True):
            assert abs(part - total * weight / whole) < 1.000001


def test_the_largest_remainder_gets_the_odd_token() -> None:
    assert share(10, [1, 1, 1]) == [4, 3, 3]
    assert share(10, [14, 14, 72]) == [2, 1, 7]


def test_weights_of_zero_share_equally() -> None:
    assert share(4, [0, 0]) == [2, 2]


def test_both_counts_of_a_usage_are_shared() -> None:
    parts = share_usage(Usage(prompt_tokens=7, total_tokens=9), [1, 2])
    assert parts == [Usage(2, 3), Usage(5, 6)]
