"""The tables of the status, which the page and the terminal show alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.plain_text import count
from supervisor.console.formatting import ago, clock_time, duration, megabytes, rate
from supervisor.console.notices.notice import JOURNAL, unsaid_address
from supervisor.runtime.trouble import Trouble
from supervisor.status.status import Idle, LearnedAboutModel, LearnedStatus, Status, WorkerStatus

_CLOSED: Mapping[Idle | None, str] = {
    Idle.PROVIDER_HOLD: "no: on hold",
    Idle.PROVIDER_CIRCUIT_OPEN: "no: its breaker is open",
    Idle.RATE_LIMITED: "no: rate-limited",
}


@dataclass(frozen=True, slots=True)
class Table:
    """The page says `empty` where there are no rows. A table with neither is left out."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    empty: str = ""


def worker_table(status: Status) -> Table:
    columns = ("Slot", "State", "Holds", "Since", "Done", "Restarts", "Memory", "PID")
    rows = [
        (
            str(row.slot),
            row.state,
            _tasks_of(row),
            duration(row.seconds_in_state),
            f"{row.tasks_done:,}",
            f"{row.restarts:,}",
            megabytes(row.rss_bytes) if row.rss_bytes else "-",
            str(row.pid or "-"),
        )
        for row in status.workers
    ]
    return Table("Workers", columns, rows)


def task_type_table(status: Status) -> Table:
    columns = ("Task type", "Tasks waiting", "Units running", "Limit")
    rows = [
        (
            row.task_type,
            f"{row.waiting:,}",
            f"{row.running:,}",
            "-" if row.limit is None else f"{row.limit:,}",
        )
        for row in status.task_types
    ]
    return Table("Task types", columns, rows)


def provider_table(status: Status) -> Table:
    """Left out where there is only one: the rest of the page is about it."""
    columns = ("Provider", "Open", "Tasks waiting", "In flight", "May open in")
    rows = [
        (
            row.name,
            _CLOSED.get(row.blocked, "yes"),
            f"{row.waiting:,}",
            f"{row.in_flight:,}",
            duration(row.opens_in_seconds) if row.blocked and row.opens_in_seconds else "-",
        )
        for row in status.providers
    ]
    return Table("Providers", columns, rows if len(rows) > 1 else ())


def usage_tables(status: Status) -> tuple[Table, ...]:
    """What was used of the providers, and how much the other sides take."""
    tokens = [(row.model, f"{row.tasks:,}", f"{row.tokens:,}") for row in status.tokens]
    left = [
        (
            _at(status, row.model, row.provider),
            f"{row.remaining:,} of {row.limit:,} {row.kind}",
            duration(row.resets_in_seconds or 0.0),
        )
        for row in status.rate_limits
    ]
    return (
        Table("Tokens since the start", ("Model", "Tasks", "Tokens"), tokens, "No task has succeeded yet."),
        Table("Rate limits", ("Model", "Left", "All back in"), left),
        Table("Learned limits", ("Of", "Limit"), _learned_rows(status)),
    )


def failure_tables(status: Status) -> tuple[Table, ...]:
    """What fails now, and which tasks and workers have failed."""

    def moment(at_seconds: float) -> str:
        return f"{clock_time(at_seconds)} ({ago(status.at_seconds - at_seconds)})"

    troubles = [
        (moment(row.since_seconds), _failure_of(row), _calls_of(row), row.setting or "-", f"{row.times:,}")
        for row in status.troubles
    ]
    failures = [
        (moment(row.at_seconds), row.message, row.task_id, row.task_type, f"{row.count:,}")
        for row in status.failures
    ]
    deaths = [
        (moment(row.at_seconds), f"it {row.how}", str(row.slot), f"{row.count:,}", f"{row.tasks_held:,}")
        for row in status.deaths
    ]
    none = "None since the start."
    return (
        Table("Failing now", ("Since", "Last failure", "What", "Look at", "Times"), troubles),
        Table("Failed tasks", ("Last", "Reason", "Last task", "Type", "Tasks"), failures, none),
        Table("Worker deaths", ("Last", "How", "Slot", "Times", "Tasks held"), deaths, none),
    )


def _tasks_of(worker: WorkerStatus) -> str:
    if not worker.tasks_held:
        return "-"
    return count(worker.tasks_held, "task") + (f" of {worker.model}" if worker.model else "")


def _failure_of(trouble: Trouble) -> str:
    address = unsaid_address(trouble)
    return f"{trouble.detail} (at {address})" if address else trouble.detail


def _calls_of(trouble: Trouble) -> str:
    """`polls`, `reports`, `calls to openai`."""
    if trouble.service == JOURNAL:
        return "writes to the journal"
    return trouble.calls or f"calls to {trouble.service}"


def _at(status: Status, model: str, provider: str) -> str:
    """The model, with its provider where there are several."""
    return f"{model} at {provider}" if len(status.providers) > 1 else model


def _learned_rows(status: Status) -> list[tuple[str, str]]:
    rows = [("the task API", limit) for limit in _api_limits(status.learned)]
    for model in status.learned.models:
        limits = ", ".join(_model_limits(model))
        if limits:
            pace = "" if model.seconds_an_input is None else f", {duration(model.seconds_an_input)} a text"
            rows.append((f"model {_at(status, model.model, model.provider)}", limits + pace))
    return rows


def _api_limits(learned: LearnedStatus) -> Iterator[str]:
    if learned.tasks_a_page is not None:
        yield f"{_up_to(learned.tasks_a_page, 'task')} a page"
    if learned.poll_wait_seconds is not None:
        yield f"a poll waits {duration(learned.poll_wait_seconds)} at most"
    if learned.reports_per_second is not None:
        yield f"reports at {rate(learned.reports_per_second)}"


def _model_limits(model: LearnedAboutModel) -> Iterator[str]:
    if model.inputs_a_call is not None:
        yield f"{_up_to(model.inputs_a_call, 'text')} a call"
    if model.bytes_a_call is not None:
        yield f"{_up_to(model.bytes_a_call, 'byte')} a call"
    if model.calls_at_once is not None:
        yield f"{count(model.calls_at_once, 'call')} at once"


def _up_to(number: int, noun: str) -> str:
    """At 0 nothing has worked yet: smaller amounts are being tried."""
    return count(number, noun) if number else f"fewer {noun}s"
