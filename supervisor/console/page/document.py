"""The status page: one document with style and script inside, and the policy that lets nothing else in."""

import base64
import hashlib
from pathlib import Path
from urllib.parse import quote

from supervisor.console.formatting import clock_time, duration
from supervisor.console.notices.bulletin import Bulletin, Tone
from supervisor.console.notices.summary import bulletins
from supervisor.console.page import charts, sections
from supervisor.console.page.markup import Html, el, join
from supervisor.status.status import Status

REFRESH_SECONDS = 2

_FOLDER = Path(__file__).parent
_STYLE = (_FOLDER / "page.css").read_text(encoding="utf-8")
_SCRIPT = (_FOLDER / "page.js").read_text(encoding="utf-8")
_LAMP_COLOURS = {
    Tone.GOOD: "#2a9d6b",
    Tone.CALM: "#5b7fc7",
    Tone.CAUTION: "#d18f1c",
    Tone.ALARM: "#d9483b",
}
_NOT_YET = Bulletin(Tone.CALM, "Starting", "The journal is being read. This page fills in a moment.")


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
_BUILD = hashlib.sha256((_STYLE + _SCRIPT).encode()).hexdigest()[:12]


def render_page(status: Status | None) -> bytes:
    """The whole page as UTF-8; without a status, that of a service which has only just started."""
    told = (_NOT_YET,) if status is None else bulletins(status)
    page = el("html", _head(told[0]), el("body", _top(status), _main(status, told), _foot()), lang="en")
    return b"<!doctype html>\n" + page.encode()


def _head(headline: Bulletin) -> Html:
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="build", content=_BUILD),
        el("title", f"{headline.title} | AI task processor"),
        el("link", rel="icon", href=_icon(headline.tone)),
        el("style", Html(_STYLE)),
        el("noscript", el("meta", http_equiv="refresh", content=REFRESH_SECONDS)),
        el("script", Html(_SCRIPT), type="module"),
    )


def _icon(tone: Tone) -> str:
    circle = f"<circle cx='8' cy='8' r='7' fill='{_LAMP_COLOURS[tone]}'/>"
    image = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>{circle}</svg>"
    return f"data:image/svg+xml,{quote(image)}"


def _top(status: Status | None) -> Html:
    facts = "" if status is None else f"version {status.version}, up {duration(status.uptime_seconds)}"
    return el(
        "header",
        el("strong", "AI task processor"),
        el("span", facts, class_="muted", data_live=True),
        el("p", "No answer: what stands here is old.", id="lost", hidden=True, role="alert"),
    )


def _main(status: Status | None, told: tuple[Bulletin, ...]) -> Html:
    if status is None:
        return el("main", sections.headline(told[0]), data_live=True)
    drawn = f"As of {clock_time(status.at_seconds)} UTC"
    return el(
        "main",
        sections.headline(told[0]),
        sections.notices(told[1:]),
        sections.figures(status),
        el(
            "div",
            charts.throughput_chart(status.activity),
            charts.latency_chart(status.activity),
            class_="pair",
        ),
        sections.workers(status),
        el(
            "div",
            sections.connections(status),
            el(
                "div",
                sections.tokens(status),
                sections.rate_limits(status),
                sections.learned(status),
                class_="stack",
            ),
            class_="pair",
        ),
        sections.troubles(status),
        sections.failures(status),
        sections.deaths(status),
        el("p", drawn, class_="muted drawn"),
        data_live=True,
    )


def _foot() -> Html:
    links = ("status", "metrics", "ready", "health")
    return el("footer", join(*(el("a", f"/{path}", href=path) for path in links)))
