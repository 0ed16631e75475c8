"""The status page: one document with style and script inside, and the policy that lets nothing else in."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from shared.plain_text import visible
from supervisor.console import formatting
from supervisor.console.notices.learned import learned_rows
from supervisor.console.notices.notice import Notice, Severity
from supervisor.console.notices.summary import all_notices
from supervisor.console.notices.trouble import calls_of, failure_of
from supervisor.console.page.charts import latency_chart, throughput_chart
from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.status.status import BreakerStatus, PollStatus, Status, WorkerStatus

REFRESH_SECONDS = 2

_FOLDER = Path(__file__).parent
_STYLE = (_FOLDER / "page.css").read_text(encoding="utf-8")
_SCRIPT = (_FOLDER / "page.js").read_text(encoding="utf-8")
_LAMP_COLOURS = {
    Severity.GOOD: "#2a9d6b",
    Severity.CALM: "#5b7fc7",
    Severity.CAUTION: "#d18f1c",
    Severity.ALARM: "#d9483b",
}
_NOT_YET = Notice(Severity.CALM, "Starting", "The journal is being read. This page fills in a moment.")
_BREAKER_TONES = {
    BreakerState.CLOSED: Severity.GOOD,
    BreakerState.OPEN: Severity.ALARM,
    BreakerState.HALF_OPEN: Severity.CAUTION,
}
_BREAKER_WORDS = {BreakerState.HALF_OPEN: "trying"}
_POLL_WORDS = {"tasks": "brought tasks", "empty": "no task listed"}
_WORKER_TONES = {
    "busy": Severity.GOOD,
    "idle": Severity.CALM,
    "starting": Severity.CAUTION,
    "recycling": Severity.CAUTION,
}


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_hash(_STYLE)}",
        f"script-src {_hash(_SCRIPT)}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


class RateLimitRow(TypedDict):
    """What is left for one model."""

    model: str
    requests: str
    tokens: str


def render_page(status: Status | None) -> bytes:
    """The whole page as UTF-8; without a status, that of a service which has only just started."""
    headline, *notices = (_NOT_YET,) if status is None else all_notices(status)
    page = _template().render(
        headline=headline,
        notices=notices,
        icon=_icon(headline.severity),
        **({} if status is None else _facts(status)),
    )
    return page.encode()


def _facts(status: Status) -> Mapping[str, object]:
    return {
        "status": status,
        "throughput": throughput_chart(status.activity),
        "latency": latency_chart(status.activity),
        "rate_limits": _rate_limits(status),
        "learned": learned_rows(status.learned),
    }


def _icon(severity: Severity) -> str:
    circle = f"<circle cx='8' cy='8' r='7' fill='{_LAMP_COLOURS[severity]}'/>"
    image = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>{circle}</svg>"
    return f"data:image/svg+xml,{quote(image)}"


def _rate_limits(status: Status) -> list[RateLimitRow]:
    rows: dict[str, RateLimitRow] = {}
    for limit in status.rate_limits:
        row = rows.setdefault(limit.model, {"model": limit.model, "requests": "-", "tokens": "-"})
        row["requests" if limit.kind == "requests" else "tokens"] = f"{limit.remaining:,} of {limit.limit:,}"
    return list(rows.values())


def _held(worker: WorkerStatus) -> str:
    if not worker.tasks_held:
        return "-"
    return formatting.count(worker.tasks_held, "task") + (f" of {worker.model}" if worker.model else "")


def _worker_severity(worker: WorkerStatus) -> Severity:
    return _WORKER_TONES.get(worker.state, Severity.CALM)


def _breaker_severity(breaker: BreakerStatus) -> Severity:
    return _BREAKER_TONES[breaker.state]


def _word_of_breaker(breaker: BreakerStatus) -> str:
    return _BREAKER_WORDS.get(breaker.state, breaker.state)


def _result_of_poll(poll: PollStatus) -> str:
    return _POLL_WORDS.get(poll.last_result, poll.last_result.replace("_", " "))


def _thousands(number: int) -> str:
    return f"{number:,}"


def _shown(value: object) -> object:
    """Text is made visible here and escaped by Jinja. Markup stays as it is."""
    return value if isinstance(value, Markup) else visible(str(value))


@cache
def _template() -> Template:
    """Compiled when the page is first asked for: a start needs no page."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        {
            "ago": formatting.ago,
            "calls_of": calls_of,
            "clock_time": formatting.clock_time,
            "count": formatting.count,
            "duration": formatting.duration,
            "failure_of": failure_of,
            "held": _held,
            "iso_time": formatting.iso_time,
            "megabytes": formatting.megabytes,
            "rate": formatting.rate,
            "result_of_poll": _result_of_poll,
            "thousands": _thousands,
        }
    )
    environment.globals.update(
        status=None,
        style=Markup(_STYLE),  # noqa: S704  our own
        script=Markup(_SCRIPT),  # noqa: S704  our own
        build=hashlib.sha256((_STYLE + _SCRIPT).encode()).hexdigest()[:12],
        refresh_seconds=REFRESH_SECONDS,
        worker_severity=_worker_severity,
        breaker_severity=_breaker_severity,
        word_of_breaker=_word_of_breaker,
    )
    return environment.get_template("page.html")
