"""The last 15 minutes as two small bar charts, stretched to whatever width the page has."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supervisor.console.formatting import duration, finished, latency, rate
from supervisor.status.status import Activity, Bucket

WIDTH = 900
HEIGHT = 100
GAP = 2
ROUND = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)

Span = tuple[str, float, float]
"""What a bar stands for, and the values from which and to which it reaches."""


@dataclass(frozen=True, slots=True)
class Bar:
    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """The bars of a stretch of time, and what they show in words."""

    words: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """`top` is the value at the upper edge; `legend` has kinds of bars and their names."""

    title: str
    summary: str
    top: str
    legend: tuple[tuple[str, str], ...]
    stretches: tuple[Stretch, ...]
    width: int = WIDTH
    height: int = HEIGHT


def throughput_chart(activity: Activity) -> Chart:
    """Tasks a second: a bar for each stretch, the failed ones on top."""

    def spans(bucket: Bucket) -> Sequence[Span]:
        done = bucket.succeeded / activity.bucket_seconds
        return ("done", 0, done), ("failed", done, done + bucket.failed / activity.bucket_seconds)

    legend = (("done", "done"), ("failed", "failed"))[: 2 if activity.total.failed else 1]
    ceiling, stretches = _draw(activity, spans, finished, 1 / 10)
    return Chart("Throughput", finished(activity.total), rate(ceiling), legend, stretches)


def latency_chart(activity: Activity) -> Chart:
    """From the poll to the result: the median before the 95th percentile."""

    def spans(bucket: Bucket) -> Sequence[Span]:
        return ("p95", 0, bucket.p95_seconds or 0), ("median", 0, bucket.median_seconds or 0)

    legend = (("median", "median"), ("p95", "95th percentile"))
    ceiling, stretches = _draw(activity, spans, latency, 0.01)
    return Chart("Latency", latency(activity.total), duration(ceiling), legend, stretches)


def _draw(
    activity: Activity,
    spans_of: Callable[[Bucket], Sequence[Span]],
    words_for: Callable[[Bucket], str],
    min_ceiling: float,
) -> tuple[float, tuple[Stretch, ...]]:
    """The value at the upper edge, and a stretch for each bucket in which something ran."""
    spans = [spans_of(bucket) for bucket in activity.buckets]
    highest = max((to for bars in spans for _, _, to in bars), default=0.0)
    ceiling = _next_round_number(max(highest, min_ceiling))
    scale, width = HEIGHT / ceiling, WIDTH / len(activity.buckets)
    stretches: list[Stretch] = []
    for number, (bucket, bars) in enumerate(zip(activity.buckets, spans, strict=True)):
        x = round(number * width + GAP / 2, 1)
        drawn = tuple(
            Bar(kind, x, round(HEIGHT - to * scale, 2), round(width - GAP, 1), round((to - start) * scale, 2))
            for kind, start, to in bars
            if to > start
        )
        if drawn:
            seconds = (len(spans) - 1 - number) * activity.bucket_seconds
            when = f"{duration(seconds)} ago" if seconds else "now"
            stretches.append(Stretch(f"{when}: {words_for(bucket)}", drawn))
    return ceiling, tuple(stretches)


def _next_round_number(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in ROUND if step * power >= value * 0.999)
