"""The status in a terminal: the facts of the status page, in the same words and the same order."""

from collections.abc import Iterable

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shared.plain_text import visible
from supervisor.console.formatting import (
    ago,
    calls_of,
    clock_time,
    count,
    duration,
    failure_of,
    latency,
    learned_rows,
    megabytes,
    rate,
    tasks_of,
)
from supervisor.console.notices.notice import Notice, Severity
from supervisor.console.notices.summary import all_notices
from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.status.status import Activity, Status

COLOURS = {Severity.GOOD: "green", Severity.CALM: "blue", Severity.CAUTION: "yellow", Severity.ALARM: "red"}
BLOCKS = " ▁▂▃▄▅▆▇█"
COLUMNS_OF_CHART = 45


def render_status(status: Status) -> RenderableType:
    """All of it, for a console of any width."""
    headline, *others = all_notices(status)
    told = Group(_headline(headline, status), *(_notice(each) for each in others))
    tables = (
        _tokens(status),
        _rate_limits(status),
        _learned(status),
        _troubles(status),
        _failures(status),
        _deaths(status),
    )
    now = (_figures(status), _charts(status.activity), _workers(status), _connections(status))
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in (told, *now, *tables) if part is not None))


def _text(words: str, style: str = "") -> Text:
    return Text(visible(words), style=style)


def _headline(notice: Notice, status: Status) -> Panel:
    colour = COLOURS[notice.severity]
    inside = Text.assemble(("● ", colour), (visible(notice.title), f"bold {colour}"))
    if notice.text:
        inside.append(f"\n  {visible(notice.text)}")
    return Panel(
        inside,
        title=f"AI task processor {visible(status.version)}",
        title_align="left",
        subtitle=f"up {duration(status.uptime_seconds)}, as of {clock_time(status.at_seconds)} UTC",
        subtitle_align="right",
        box=ROUNDED,
        border_style=colour,
    )


def _notice(notice: Notice) -> Text:
    text = f": {visible(notice.text)}" if notice.text else ""
    return Text.assemble(("  ● ", COLOURS[notice.severity]), (visible(notice.title), "bold"), text)


def _figures(status: Status) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 3, 0, 1))
    outbox = f"{status.outbox:,}"
    if status.outbox:
        outbox += f" (oldest {duration(status.outbox_oldest_age_seconds)})"
    facts = {
        "finished": rate(status.activity.finished_per_second),
        "in flight": f"{status.in_flight:,}",
        "backlog": f"{status.backlog:,}",
        "outbox": outbox,
        "rejected": f"{status.rejected:,}",
    }
    for name in facts:
        table.add_column(name)
    table.add_row(*facts.values(), style="bold")
    return table


def _charts(activity: Activity) -> Table:
    total = activity.total
    done = f"{count(total.succeeded, 'task')} done, {total.failed:,} failed in 15 min"
    grid = Table.grid(padding=(0, 2, 0, 1))
    finished = [float(bucket.succeeded + bucket.failed) for bucket in activity.buckets]
    medians = [bucket.median_seconds or 0.0 for bucket in activity.buckets]
    grid.add_row("throughput", Text(_sparkline(finished), "green"), done)
    grid.add_row("latency", Text(_sparkline(medians), "blue"), latency(total))
    return grid


def _sparkline(values: list[float]) -> str:
    size = len(values) // COLUMNS_OF_CHART or 1
    sums = [max(values[start : start + size]) for start in range(0, len(values), size)]
    most = max(sums) or 1.0
    levels = len(BLOCKS) - 1
    return "".join(BLOCKS[min(levels, -int(-value * levels // most))] for value in sums)


def _workers(status: Status) -> Table:
    rows = (
        (
            str(row.slot),
            row.state,
            tasks_of(row),
            duration(row.seconds_in_state),
            f"{row.tasks_done:,}",
            f"{row.restarts:,}",
            megabytes(row.rss_bytes),
            str(row.pid or "-"),
        )
        for row in status.workers
    )
    return _table("Workers", ("slot", "state", "holds", "since", "done", "restarts", "memory", "pid"), rows)


def _connections(status: Status) -> Text:
    line = Text(" ")
    for row in status.breakers:
        severity = Severity.GOOD if row.state is BreakerState.CLOSED else Severity.ALARM
        line.append(f"breaker of {visible(row.service)} ").append(
            row.state.replace("_", "-"), COLOURS[severity]
        )
        line.append("; ")
    poll = status.poll
    success = poll.last_success_at_seconds
    line.append(f"last poll {visible(poll.last_result.replace('_', ' '))}, last good one ")
    line.append(ago(status.at_seconds - success) if success else "never")
    return line.append(
        ", next under way" if poll.under_way else f", next in {duration(poll.next_in_seconds)}"
    )


def _tokens(status: Status) -> Table | None:
    rows = [(row.model, f"{row.tasks:,}", f"{row.tokens:,}") for row in status.tokens]
    return _table("Tokens since the start", ("model", "tasks", "tokens"), rows) if rows else None


def _rate_limits(status: Status) -> Table | None:
    rows = [
        (row.model, f"{row.remaining:,} of {row.limit:,} {row.kind}", duration(row.resets_in_seconds or 0.0))
        for row in status.rate_limits
    ]
    return _table("Rate limits", ("model", "left", "more in"), rows) if rows else None


def _troubles(status: Status) -> Table | None:
    rows = [
        (
            _moment(row.since_seconds, status),
            failure_of(row),
            calls_of(row),
            row.setting or "-",
            f"{row.times:,}",
        )
        for row in status.troubles
    ]
    heads = ("since", "last failure", "what", "look at", "times")
    return _table("Failing now", heads, rows) if rows else None


def _learned(status: Status) -> Table | None:
    rows = learned_rows(status.learned)
    return _table("Learned limits", ("of", "limit"), rows) if rows else None


def _failures(status: Status) -> Table | None:
    rows = [
        (_moment(row.at_seconds, status), row.message, f"{row.count:,}", row.task_id)
        for row in status.failures
    ]
    return _table("Failed tasks", ("last", "reason", "tasks", "last task"), rows) if rows else None


def _deaths(status: Status) -> Table | None:
    rows = [
        (
            _moment(row.at_seconds, status),
            f"it {row.how}",
            f"{row.count:,}",
            str(row.slot),
            str(row.tasks_held),
        )
        for row in status.deaths
    ]
    return _table("Worker deaths", ("last", "how", "times", "slot", "tasks held"), rows) if rows else None


def _moment(at_seconds: float, status: Status) -> str:
    return f"{clock_time(at_seconds)} ({ago(status.at_seconds - at_seconds)})"


def _table(title: str, heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, show_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    return table
