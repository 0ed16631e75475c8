"""Medians, ratios and tables."""

import pytest

from benchmarks.figures import markdown_table, median_of, median_ratio, percentile


def test_median_is_of_the_chosen_figure() -> None:
    assert median_of(["a", "bbb", "cccccccc"], len) == 3


def test_ratio_is_taken_within_each_repeat() -> None:
    slow_then_fast, same_machine = [10.0, 100.0, 30.0], [5.0, 50.0, 15.0]
    assert median_ratio(slow_then_fast, same_machine, float) == 2.0


def test_ratio_without_a_reference_is_none() -> None:
    assert median_ratio([1.0], [], float) is None
    assert median_ratio([1.0], [0.0], float) is None


def test_percentile_is_a_value_that_occurred() -> None:
    values = [float(value) for value in range(20, 0, -1)]
    assert percentile(values, 0.5) == 10.0
    assert percentile(values, 0.95) == 19.0
    assert percentile(values, 1.0) == 20.0
    assert percentile([7.0], 0.5) == 7.0


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_table_is_aligned_with_numbers_at_the_right() -> None:
    table = markdown_table(("who", "ms"), [["service", 0.456], ["floor", 1234.5], ["other", None]])
    assert table.splitlines() == [
        "| who     |   ms |",
        "| ------- | ---: |",
        "| service | 0.46 |",
        "| floor   | 1234 |",
        "| other   |    - |",
    ]
