"""The status page: one document with style and script inside, and the policy that lets nothing else in."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from shared.plain_text import visible
from supervisor.console.formatting import ago, clock_time, duration, rate, thousands
from supervisor.console.notices.notice import Notice, Severity
from supervisor.console.notices.summary import all_notices
from supervisor.console.page.charts import latency_chart, throughput_chart
from supervisor.console.tables import (
    failure_tables,
    provider_table,
    task_type_table,
    usage_tables,
    worker_table,
)
from supervisor.status.status import Status

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
_FILTERS = (ago, clock_time, duration, rate, thousands)


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


def render_page(status: Status | None) -> bytes:
    """The whole page as UTF-8; without a status, that of a service which has only just started."""
    headline, *notices = (_NOT_YET,) if status is None else all_notices(status)
    page = _template().render(status=status, headline=headline, notices=notices)
    return page.encode()


def _icon(severity: Severity) -> str:
    circle = f"<circle cx='8' cy='8' r='7' fill='{_LAMP_COLOURS[severity]}'/>"
    image = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>{circle}</svg>"
    return f"data:image/svg+xml,{quote(image)}"


def _shown(value: object) -> object:
    """Text without invisible characters, which Jinja then escapes. Markup stays as it is."""
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
    environment.filters.update({each.__name__: each for each in _FILTERS}, icon=_icon)
    environment.globals.update(
        style=Markup(_STYLE),  # noqa: S704  our own
        script=Markup(_SCRIPT),  # noqa: S704  our own
        build=hashlib.sha256((_STYLE + _SCRIPT).encode()).hexdigest()[:12],
        refresh_seconds=REFRESH_SECONDS,
        throughput_chart=throughput_chart,
        latency_chart=latency_chart,
        worker_table=worker_table,
        task_type_table=task_type_table,
        provider_table=provider_table,
        usage_tables=usage_tables,
        failure_tables=failure_tables,
    )
    return environment.get_template("page.html")
