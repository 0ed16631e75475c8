"""The last 15 minutes as two small charts: SVG that stretches to whatever width it has."""

import math
from collections.abc import Callable, Sequence

from supervisor.console.formatting import count, duration, rate
from supervisor.console.page.markup import Html, el
from supervisor.status.status import Activity, Bucket

WIDTH = 900
HEIGHT = 100
GAP = 2
ROUND = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)


def throughput_chart(activity: Activity) -> Html:
    """Tasks a second: a bar for each stretch, the failed ones on top."""
    per_second = 1 / activity.bucket_seconds
    most = max((bucket.succeeded + bucket.failed for bucket in activity.buckets), default=0) * per_second
    ceiling = _ceiling(most, 1 / 10)
    total = activity.total
    bars = []
    for number, bucket in enumerate(activity.buckets):
        done = HEIGHT * bucket.succeeded * per_second / ceiling
        failed = HEIGHT * bucket.failed * per_second / ceiling
        if done or failed:
            said = f"{count(bucket.succeeded, 'task')} done" + (
                f", {bucket.failed:,} failed" if failed else ""
            )
            bars.append(
                el(
                    "g",
                    el("title", f"{_when(activity, number)}: {said}"),
                    _bar(activity, number, HEIGHT - done, done, "done") if done else None,
                    _bar(activity, number, HEIGHT - done - failed, failed, "failed") if failed else None,
                )
            )
    summary = f"{count(total.succeeded, 'task')} done" + (
        f", {total.failed:,} failed" if total.failed else ""
    )
    legend = (("done", "done"), ("failed", "failed")) if total.failed else (("done", "done"),)
    return _chart("Throughput", summary, bars, rate(ceiling), legend)


def latency_chart(activity: Activity) -> Html:
    """From the poll to the result: the median as a line, the 95th percentile as a shade behind it."""
    slowest = max((bucket.p95_seconds or 0.0 for bucket in activity.buckets), default=0.0)
    ceiling = _ceiling(slowest, 0.01)
    total = activity.total
    parts = [
        el("path", d=_area(activity.buckets, ceiling), class_="p95"),
        el(
            "path", d=_steps(activity.buckets, lambda bucket: bucket.median_seconds, ceiling), class_="median"
        ),
    ]
    parts.extend(
        el(
            "rect",
            el("title", f"{_when(activity, number)}: {_latency(bucket)}"),
            x=round(number * WIDTH / len(activity.buckets), 1),
            y=0,
            width=round(WIDTH / len(activity.buckets), 1),
            height=HEIGHT,
            class_="hover",
        )
        for number, bucket in enumerate(activity.buckets)
        if bucket.median_seconds is not None
    )
    return _chart(
        "Latency",
        _latency(total),
        parts,
        duration(ceiling),
        (("median", "median"), ("p95", "95th percentile")),
    )


def _chart(
    title: str, summary: str, parts: Sequence[Html], top: str, legend: Sequence[tuple[str, str]]
) -> Html:
    keys = [el("span", el("i", class_=f"key {name}"), text, class_="legend") for name, text in legend]
    drawing = el(
        "svg",
        el("path", d=f"M0 {HEIGHT / 2}H{WIDTH}", class_="grid"),
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{title} over the last 15 minutes: {summary}",
    )
    return el(
        "figure",
        el("figcaption", el("h2", title), el("span", summary, class_="muted")),
        el("div", el("span", top, class_="top"), drawing, class_="plot"),
        el("div", el("span", "15 min ago"), el("span", *keys), el("span", "now"), class_="axis"),
        class_="card chart",
    )


def _bar(activity: Activity, number: int, y: float, height: float, kind: str) -> Html:
    wide = WIDTH / len(activity.buckets)
    return el(
        "rect",
        x=round(number * wide + GAP / 2, 1),
        y=round(y, 2),
        width=round(wide - GAP, 1),
        height=round(height, 2),
        class_=kind,
    )


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


def _latency(bucket: Bucket) -> str:
    if bucket.median_seconds is None or bucket.p95_seconds is None:
        return "nothing done yet"
    return f"half within {duration(bucket.median_seconds)}, 95 % within {duration(bucket.p95_seconds)}"
