"""The two charts of the status page."""

from dataclasses import replace

import pytest

from supervisor.console.page.charts import HEIGHT, latency_chart, throughput_chart
from supervisor.status.history import BUCKETS, EMPTY_BUCKET
from supervisor.status.status import Activity, Bucket

EMPTY = Activity(10.0, 0.0, EMPTY_BUCKET, (EMPTY_BUCKET,) * BUCKETS)
FULL = Bucket(succeeded=300, failed=100, median_seconds=1.0, p95_seconds=2.0)


def with_buckets(**buckets: Bucket) -> Activity:
    """`b3=...` puts a bucket third from the end."""
    places = list(EMPTY.buckets)
    for place, bucket in buckets.items():
        places[-int(place[1:])] = bucket
    return replace(EMPTY, total=next(iter(buckets.values())), buckets=tuple(places))


def test_charts_of_a_service_that_has_done_nothing_are_empty_and_say_so() -> None:
    assert not throughput_chart(EMPTY).stretches
    assert not latency_chart(EMPTY).stretches
    assert latency_chart(EMPTY).summary == "nothing done yet"


def test_bar_is_as_high_as_what_finished_with_the_failed_on_top() -> None:
    chart = throughput_chart(with_buckets(b1=FULL))
    assert chart.top == "40/s"
    done, failed = (bar for stretch in chart.stretches for bar in stretch.bars)
    assert (done.kind, done.y, done.height) == ("done", HEIGHT * 0.25, HEIGHT * 0.75)
    assert (failed.kind, failed.y, failed.height) == ("failed", 0.0, HEIGHT * 0.25)


def test_bars_say_in_words_what_they_show() -> None:
    (stretch,) = throughput_chart(with_buckets(b3=FULL)).stretches
    assert stretch.words == "20 s ago: 300 tasks done, 100 failed"


def test_latency_has_the_median_before_the_95th_percentile_and_nothing_where_nothing_ran() -> None:
    chart = latency_chart(with_buckets(b1=FULL, b3=FULL))
    assert [stretch.words.partition(":")[0] for stretch in chart.stretches] == ["20 s ago", "now"]
    p95, median = chart.stretches[0].bars
    assert (p95.kind, p95.y, p95.height) == ("p95", 0.0, HEIGHT)
    assert (median.kind, median.y, median.height) == ("median", HEIGHT * 0.5, HEIGHT * 0.5)


def test_nothing_is_drawn_outside_the_chart() -> None:
    for peak in range(1, 2000, 37):
        (stretch,) = throughput_chart(with_buckets(b1=replace(FULL, succeeded=peak, failed=0))).stretches
        (bar,) = stretch.bars
        assert 0 <= bar.y < HEIGHT


@pytest.mark.parametrize(
    ("finished", "top"),
    [(0, "6/min"), (10, "1.0/s"), (11, "1.5/s"), (155, "20/s"), (990, "100/s"), (5900, "600/s")],
)
def test_scale_is_the_next_round_number(finished: int, top: str) -> None:
    chart = throughput_chart(with_buckets(b1=replace(FULL, succeeded=finished, failed=0)))
    assert chart.top == top
