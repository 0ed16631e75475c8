"""Quantiles from counts by size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.status.latency import MAX_SECONDS, LatencyCounts


def counts(*seconds: float) -> LatencyCounts:
    made = LatencyCounts()
    for each in seconds:
        made.add(each)
    return made


def test_nothing_counted_has_no_quantile() -> None:
    assert counts().quantile(0.5) is None


@given(st.floats(0.001, MAX_SECONDS))
def test_one_duration_is_told_within_a_twentieth(seconds: float) -> None:
    assert counts(seconds).quantile(0.5) == pytest.approx(seconds, rel=0.05)


def test_quantiles_are_of_all_that_was_counted() -> None:
    made = counts(*[0.1] * 94, *[5.0] * 6)
    assert made.quantile(0.5) == pytest.approx(0.1, rel=0.05)
    assert made.quantile(0.95) == pytest.approx(5.0, rel=0.05)


def test_what_is_beyond_the_bounds_counts_as_the_bound() -> None:
    assert counts(0.0).quantile(0.5) == pytest.approx(0.001, rel=0.05)
    assert counts(1e9).quantile(0.5) == pytest.approx(MAX_SECONDS, rel=0.1)


def test_subtracting_undoes_merging() -> None:
    made, other = counts(0.1, 0.2), counts(9.0, 9.0, 9.0, 9.0)
    made.merge(other)
    assert made.quantile(0.5) == pytest.approx(9.0, rel=0.05)
    made.subtract(other)
    assert made.quantile(1.0) == pytest.approx(0.2, rel=0.05)
