"""The status in a terminal: the facts of the status page, in the same words and the same order."""

import rich.table
from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from shared.plain_text import count, visible
from supervisor.console.formatting import ago, clock_time, duration, latency, rate
from supervisor.console.notices.notice import Notice, Severity
from supervisor.console.notices.summary import all_notices
from supervisor.console.tables import (
    Table,
    failure_tables,
    provider_table,
    task_type_table,
    usage_tables,
    worker_table,
)
from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.status.status import Activity, Status

COLOURS = {Severity.GOOD: "green", Severity.CALM: "blue", Severity.CAUTION: "yellow", Severity.ALARM: "red"}
BLOCKS = " ▁▂▃▄▅▆▇█"
COLUMNS_OF_CHART = 45


def render_status(status: Status) -> RenderableType:
    """All of it, for a console of any width."""
    headline, *notices = all_notices(status)
    tables = (*usage_tables(status), *failure_tables(status))
    parts: tuple[RenderableType, ...] = (
        Group(_headline(headline, status), *(_notice(notice) for notice in notices)),
        _figures(status),
        _charts(status.activity),
        _table(worker_table(status)),
        *(_table(table) for table in (task_type_table(status), provider_table(status)) if table.rows),
        _connections(status),
        *(_table(table) for table in tables if table.rows),
    )
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in parts))


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


def _figures(status: Status) -> rich.table.Table:
    table = rich.table.Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 3, 0, 1))
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


def _charts(activity: Activity) -> rich.table.Table:
    total = activity.total
    done = f"{count(total.succeeded, 'task')} done, {total.failed:,} failed in 15 min"
    grid = rich.table.Table.grid(padding=(0, 2, 0, 1))
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


def _table(table: Table) -> rich.table.Table:
    drawn = rich.table.Table(
        title=table.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, show_edge=False
    )
    for column in table.columns:
        drawn.add_column(column, overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(visible(cell)) for cell in row))
    return drawn
