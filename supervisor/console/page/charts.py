"""The last 15 minutes as two small charts: what SVG draws, stretched to whatever width it has."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supervisor.console.formatting import count, duration, rate
from supervisor.status.status import Activity, Bucket

WIDTH = 900
HEIGHT = 100
GAP = 2
ROUND = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)


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
class Path:
    kind: str
    line: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`top` is the value at the upper edge; `legend` has kinds and their names."""

    title: str
    summary: str
    top: str
    legend: tuple[tuple[str, str], ...]
    stretches: tuple[Stretch, ...]
    paths: tuple[Path, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT


def throughput_chart(activity: Activity) -> Chart:
    """Tasks a second: a bar for each stretch, the failed ones on top."""
    per_second = 1 / activity.bucket_seconds
    most = max((bucket.succeeded + bucket.failed for bucket in activity.buckets), default=0) * per_second
    ceiling = _ceiling(most, 1 / 10)
    scale = HEIGHT * per_second / ceiling
    return Chart(
        "Throughput",
        _finished(activity.total),
        rate(ceiling),
        (("done", "done"), ("failed", "failed")) if activity.total.failed else (("done", "done"),),
        tuple(
            Stretch(
                f"{_when(activity, number)}: {_finished(bucket)}",
                tuple(_bars(activity, number, bucket, scale)),
            )
            for number, bucket in enumerate(activity.buckets)
            if bucket.succeeded or bucket.failed
        ),
    )


def latency_chart(activity: Activity) -> Chart:
    """From the poll to the result: the median as a line, the 95th percentile as a shade behind it."""
    buckets = activity.buckets
    ceiling = _ceiling(max((bucket.p95_seconds or 0.0 for bucket in buckets), default=0.0), 0.01)
    wide = WIDTH / len(buckets)
    return Chart(
        "Latency",
        _latency(activity.total),
        duration(ceiling),
        (("median", "median"), ("p95", "95th percentile")),
        tuple(
            Stretch(
                f"{_when(activity, number)}: {_latency(bucket)}",
                (Bar("hover", round(number * wide, 1), 0, round(wide, 1), HEIGHT),),
            )
            for number, bucket in enumerate(buckets)
            if bucket.median_seconds is not None
        ),
        (
            Path("p95", _area(buckets, ceiling)),
            Path("median", _steps(buckets, lambda bucket: bucket.median_seconds, ceiling)),
        ),
    )


def _bars(activity: Activity, number: int, bucket: Bucket, scale: float) -> tuple[Bar, ...]:
    wide = WIDTH / len(activity.buckets)
    top = float(HEIGHT)
    bars: list[Bar] = []
    for kind, tasks in (("done", bucket.succeeded), ("failed", bucket.failed)):
        if tasks:
            top -= tasks * scale
            x, width = round(number * wide + GAP / 2, 1), round(wide - GAP, 1)
            bars.append(Bar(kind, x, round(top, 2), width, round(tasks * scale, 2)))
    return tuple(bars)


def _steps(buckets: Sequence[Bucket], of: Callable[[Bucket], float | None], ceiling: float) -> str:
    """A line that is level within a stretch and broken where nothing ran."""
    wide = WIDTH / len(buckets)
    path: list[str] = []
    joined = False
    for number, bucket in enumerate(buckets):
        value = of(bucket)
        if value is None:
            joined = False
            continue
        y = _height(value, ceiling)
        path.append(f"{'L' if joined else 'M'}{number * wide:.1f} {y:.1f}H{(number + 1) * wide:.1f}")
        joined = True
    return "".join(path)


def _area(buckets: Sequence[Bucket], ceiling: float) -> str:
    wide = WIDTH / len(buckets)
    return "".join(
        f"M{number * wide:.1f} {HEIGHT}V{_height(bucket.p95_seconds, ceiling):.1f}h{wide:.1f}V{HEIGHT}z"
        for number, bucket in enumerate(buckets)
        if bucket.p95_seconds is not None
    )


def _height(value: float, ceiling: float) -> float:
    return HEIGHT * (1 - min(value / ceiling, 1.0))


def _ceiling(most: float, least: float) -> float:
    """The next round number."""
    most = max(most, least)
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in ROUND if step * power >= most * 0.999)


def _when(activity: Activity, number: int) -> str:
    seconds = (len(activity.buckets) - 1 - number) * activity.bucket_seconds
    return f"{duration(seconds)} ago" if seconds else "now"


def _finished(bucket: Bucket) -> str:
    return f"{count(bucket.succeeded, 'task')} done" + (
        f", {bucket.failed:,} failed" if bucket.failed else ""
    )


def _latency(bucket: Bucket) -> str:
    if bucket.median_seconds is None or bucket.p95_seconds is None:
        return "nothing done yet"
    return f"half within {duration(bucket.median_seconds)}, 95 % within {duration(bucket.p95_seconds)}"
