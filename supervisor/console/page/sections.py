"""The parts of the status page, from the sentence at its top downwards."""

from collections.abc import Iterable, Sequence

from supervisor.console.formatting import ago, clock_time, count, duration, iso_time, megabytes, rate
from supervisor.console.notices.bulletin import Bulletin
from supervisor.console.notices.learned import learned_rows
from supervisor.console.notices.trouble import calls_of, failure_of
from supervisor.console.page.markup import Html, el
from supervisor.status.status import BreakerPhase, BreakerStatus, PollStatus, Status, WorkerStatus

Row = tuple[str, ...]

NUMBERS = frozenset({"Done", "Restarts", "Memory", "PID", "Tasks", "Tokens", "Requests", "Times", "Held"})

_BREAKER_WORDS = {
    BreakerPhase.CLOSED: ("good", "closed"),
    BreakerPhase.OPEN: ("alarm", "open"),
    BreakerPhase.HALF_OPEN: ("caution", "trying"),
}
_POLL_WORDS = {"tasks": "brought tasks", "empty": "no task listed"}
_WORKER_TONES = {"busy": "good", "idle": "calm", "starting": "caution", "recycling": "caution"}


def headline(bulletin: Bulletin) -> Html:
    return el(
        "section",
        el("span", class_="lamp"),
        el("div", el("h1", bulletin.title), el("p", bulletin.text) if bulletin.text else None),
        class_=f"headline {bulletin.tone}",
        role="status",
    )


def notices(bulletins: Sequence[Bulletin]) -> Html | None:
    if not bulletins:
        return None
    items = (
        el(
            "li",
            el("strong", f"{each.title}:" if each.text else each.title),
            el("span", f" {each.text}", class_="muted") if each.text else None,
            class_=each.tone,
        )
        for each in bulletins
    )
    return el("ul", *items, class_="notices card")


def figures(status: Status) -> Html:
    age = status.outbox_oldest_age_seconds
    return el(
        "dl",
        _figure("Finished", rate(status.activity.finished_per_second), "over the last minute"),
        _figure("In flight", f"{status.in_flight:,}", "tasks in workers"),
        _figure("Backlog", f"{status.backlog:,}", "tasks that wait to run"),
        _figure(
            "Outbox",
            f"{status.outbox:,}",
            f"oldest waits {duration(age)}" if status.outbox else "all reported",
        ),
        _figure("Rejected", f"{status.rejected:,}", "reports to look at" if status.rejected else "no report"),
        class_="figures card",
    )


def workers(status: Status) -> Html:
    heads = ("Slot", "State", "Holds", "Since", "Done", "Restarts", "Memory", "PID")
    return table("Workers", heads, (_worker(row) for row in status.workers), "wide")


def connections(status: Status) -> Html:
    rows = [_breaker(row) for row in status.breakers]
    return el(
        "section",
        el("h2", "Connections"),
        el("dl", *rows, *_poll(status.poll, status.at_seconds), class_="facts"),
        class_="card",
    )


def troubles(status: Status) -> Html | None:
    if not status.troubles:
        return None
    rows = (
        (
            _moment(row.since_seconds, status),
            failure_of(row),
            calls_of(row),
            row.setting or "-",
            f"{row.times:,}",
        )
        for row in status.troubles
    )
    return table("Failing now", ("Since", "Last failure", "What", "Look at", "Times"), rows, "wide log")


def learned(status: Status) -> Html | None:
    rows = learned_rows(status.learned)
    return table("Learned limits", ("Of", "Limit"), rows) if rows else None


def rate_limits(status: Status) -> Html | None:
    if not status.rate_limits:
        return None
    left: dict[str, dict[str, str]] = {}
    for row in status.rate_limits:
        left.setdefault(row.model, {})[row.kind] = f"{row.remaining:,} of {row.limit:,}"
    rows = ((model, kinds.get("requests", "-"), kinds.get("tokens", "-")) for model, kinds in left.items())
    return table("Left of the rate limits", ("Model", "Requests", "Tokens"), rows)


def tokens(status: Status) -> Html:
    heads = ("Model", "Tasks", "Tokens")
    rows = ((row.model, f"{row.tasks:,}", f"{row.tokens:,}") for row in status.tokens)
    return table("Tokens since the start", heads, rows, empty="No task has succeeded yet.")


def failures(status: Status) -> Html:
    rows = (
        (_moment(row.at_seconds, status), row.message, row.task_id, row.task_type, f"{row.count:,}")
        for row in status.failures
    )
    heads = ("Last", "Reason", "Last task", "Type", "Tasks")
    return table("Failed tasks", heads, rows, "wide log", "None since the start.")


def deaths(status: Status) -> Html:
    rows = (
        (
            _moment(row.at_seconds, status),
            f"it {row.how}",
            str(row.slot),
            f"{row.count:,}",
            count(row.tasks_held, "task"),
        )
        for row in status.deaths
    )
    heads = ("Last", "How", "Slot", "Times", "Held")
    return table("Worker deaths", heads, rows, "wide log", "None since the start.")


def table(title: str, heads: Row, rows: Iterable[Row], shape: str = "", empty: str = "") -> Html:
    """A table that becomes a list of cards on a narrow screen."""
    kinds = ["number" if head in NUMBERS else None for head in heads]
    names = (el("th", head, scope="col", class_=kind) for head, kind in zip(heads, kinds, strict=True))
    body = [
        el(
            "tr",
            *(
                el("td", el("span", cell), data_label=head, class_=kind)
                for head, cell, kind in zip(heads, row, kinds, strict=True)
            ),
        )
        for row in rows
    ]
    inside = (
        el("table", el("thead", el("tr", *names)), el("tbody", *body))
        if body
        else el("p", empty, class_="muted")
    )
    return el("section", el("h2", title), inside, class_=f"card {shape}".rstrip())


def pill(tone: str, text: str) -> Html:
    return el("b", text, class_=f"pill {tone}")


def _worker(row: WorkerStatus) -> Row:
    held = (
        count(row.tasks_held, "task") + (f" of {row.model}" if row.model else "") if row.tasks_held else "-"
    )
    return (
        str(row.slot),
        pill(_WORKER_TONES.get(row.state, "calm"), row.state),
        held,
        duration(row.seconds_in_state),
        f"{row.tasks_done:,}",
        f"{row.restarts:,}",
        megabytes(row.rss_bytes) if row.rss_bytes else "-",
        str(row.pid) if row.pid else "-",
    )


def _figure(name: str, value: str, note: str) -> Html:
    return el("div", el("dt", name), el("dd", value), el("dd", note, class_="muted"))


def _fact(name: str, *value: str) -> Html:
    return el("div", el("dt", name), el("dd", *value))


def _breaker(row: BreakerStatus) -> Html:
    tone, word = _BREAKER_WORDS[row.state]
    probe = f" next try in {duration(row.probe_in_seconds)}" if row.probe_in_seconds else ""
    name = "Task API breaker" if row.service == "api" else f"Breaker of {row.service}"
    return _fact(name, pill(tone, word), probe)


def _poll(poll: PollStatus, now: float) -> Iterable[Html]:
    yield _fact("Last poll", _POLL_WORDS.get(poll.last_result, poll.last_result.replace("_", " ")))
    success = poll.last_success_at_seconds
    yield _fact("Last good poll", ago(now - success) if success else "none yet")
    yield _fact("Next poll", "under way" if poll.under_way else f"in {duration(poll.next_in_seconds)}")


def _moment(at_seconds: float, status: Status) -> Html:
    age = ago(status.at_seconds - at_seconds)
    return el("time", clock_time(at_seconds), el("small", f" {age}"), datetime=iso_time(at_seconds))
