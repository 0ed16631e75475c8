"""The two charts of the status page."""

from dataclasses import replace

import pytest

from supervisor.console.page.charts import HEIGHT, latency_chart, throughput_chart
from supervisor.status.history import BUCKETS, EMPTY_BUCKET
from supervisor.status.status import Activity, Bucket
from tests.unit.supervisor.page.test_markup import Found

EMPTY = Activity(10.0, 0.0, EMPTY_BUCKET, (EMPTY_BUCKET,) * BUCKETS)
FULL = Bucket(succeeded=300, failed=100, median_seconds=1.0, p95_seconds=2.0)


def with_buckets(**buckets: Bucket) -> Activity:
    """`b3=...` puts a bucket third from the end."""
    places = list(EMPTY.buckets)
    for place, bucket in buckets.items():
        places[-int(place[1:])] = bucket
    return replace(EMPTY, total=next(iter(buckets.values())), buckets=tuple(places))


def test_charts_of_a_service_that_has_done_nothing_are_empty_and_say_so() -> None:
    assert "rect" not in Found(throughput_chart(EMPTY)).tags
    assert "nothing done yet" in latency_chart(EMPTY)


def test_bar_is_as_high_as_what_finished_with_the_failed_on_top() -> None:
    chart = throughput_chart(with_buckets(b1=FULL))
    assert "40/s" in chart
    assert f'y="{HEIGHT * 0.25:.1f}"' in chart
    assert f'height="{HEIGHT * 0.75:.1f}" class="done"' in chart
    assert f'height="{HEIGHT * 0.25:.1f}" class="failed"' in chart


def test_bars_say_in_words_what_they_show() -> None:
    assert "<title>20 s ago: 300 tasks done, 100 failed</title>" in throughput_chart(with_buckets(b3=FULL))


def test_latency_line_breaks_where_nothing_ran() -> None:
    chart = latency_chart(with_buckets(b1=FULL, b2=FULL, b4=FULL))
    line = chart.split('" class="median"')[0].rsplit('d="', 1)[1]
    assert line.count("M") == 2
    assert line.count("L") == 1


def test_nothing_is_drawn_outside_the_chart() -> None:
    for peak in range(1, 2000, 37):
        chart = throughput_chart(with_buckets(b1=replace(FULL, succeeded=peak, failed=0)))
        y = float(chart.split('y="')[1].split('"')[0])
        assert 0 <= y < HEIGHT


@pytest.mark.parametrize(
    ("finished", "top"),
    [(0, "6/min"), (10, "1.0/s"), (11, "1.5/s"), (155, "20/s"), (990, "100/s"), (5900, "600/s")],
)
def test_scale_is_the_next_round_number(finished: int, top: str) -> None:
    chart = throughput_chart(with_buckets(b1=replace(FULL, succeeded=finished, failed=0)))
    assert f'<span class="top">{top}</span>' in chart
