"""Numbers and times as people read them."""

from datetime import UTC, datetime

from shared.plain_text import count
from supervisor.status.status import Bucket

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MANY_PER_SECOND = 10
FEW_SECONDS = 10
"""Below so many, a tenth matters."""
LEAST_SHOWN_SECONDS = 0.0005


def thousands(number: int) -> str:
    return f"{number:,}"


def duration(seconds: float) -> str:
    """At most two units: `0.21 s`, `12 s`, `3 min 5 s`, `2 h`, `3 d 4 h`."""
    if seconds < LEAST_SHOWN_SECONDS:
        return "0 s"
    if round(seconds, 3) < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < FEW_SECONDS:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, part, part_name in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // part
            return f"{whole // unit} {name}" + (f" {rest} {part_name}" if rest else "")
    return f"{whole} s"


def waits(number: int, noun: str = "task") -> str:
    """`1 task waits`, `1,203 tasks wait`."""
    return f"{count(number, noun)} wait{'s' if number == 1 else ''}"


def ago(seconds: float) -> str:
    """`just now`, `12 s ago`, `3 min ago`: one unit is enough for what is past."""
    if seconds < 1:
        return "just now"
    number, unit = duration(max(seconds, 1.0)).split(" ")[:2]
    return f"{number.split('.')[0]} {unit} ago"


def rate(per_second: float) -> str:
    """`41/s`, `0.4/s`, `6/min`."""
    if per_second >= MANY_PER_SECOND or per_second == 0:
        return f"{per_second:,.0f}/s"
    if round(per_second, 1) >= 1:
        return f"{per_second:.1f}/s"
    a_minute = per_second * MINUTE
    return f"{a_minute:.0f}/min" if a_minute >= 1 else f"{a_minute:.1f}/min"


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f} MB"


def clock_time(at_seconds: float) -> str:
    """Epoch seconds as the time of day in UTC, as the logs have it."""
    return datetime.fromtimestamp(at_seconds, UTC).strftime("%H:%M:%S")


def moment(at_seconds: float, now: float) -> str:
    """`14:03:12 UTC`; with the date where that was long ago."""
    then = datetime.fromtimestamp(at_seconds, UTC)
    return then.strftime("%H:%M:%S UTC" if now - at_seconds < DAY / 2 else "%Y-%m-%d %H:%M UTC")


def iso_time(at_seconds: float) -> str:
    return datetime.fromtimestamp(at_seconds, UTC).isoformat(timespec="seconds")


def finished(bucket: Bucket) -> str:
    """`300 tasks done, 12 failed`."""
    failed = f", {bucket.failed:,} failed" if bucket.failed else ""
    return f"{count(bucket.succeeded, 'task')} done{failed}"


def latency(bucket: Bucket) -> str:
    if bucket.median_seconds is None or bucket.p95_seconds is None:
        return "nothing done yet"
    return f"half within {duration(bucket.median_seconds)}, 95 % within {duration(bucket.p95_seconds)}"
