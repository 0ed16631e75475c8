"""One thing to know about the service, and the phrases that several notices share."""

from dataclasses import dataclass
from enum import StrEnum

from supervisor.console.formatting import duration, moment
from supervisor.runtime.trouble import Trouble
from supervisor.status.status import Status

API = "api"
JOURNAL = "journal"
WORKERS = "workers"
POLLS = "polls"
REPORTS = "reports"


class Severity(StrEnum):
    """How much a person should care: all is well, nothing to do, look at it, act."""

    GOOD = "good"
    CALM = "calm"
    CAUTION = "caution"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to know. `title` is a short sentence, `text` says why and what to do; it may be empty."""

    severity: Severity
    title: str
    text: str


def trouble_of(status: Status, service: str, calls: str = "") -> Trouble | None:
    """What has failed since the last success."""
    rows = (row for row in status.troubles if (row.service, row.calls) == (service, calls))
    return next(rows, None)


def cause(trouble: Trouble | None, status: Status) -> str:
    """Sentences, or nothing: `Cannot connect to api:8000: refused. 12 times since 14:03:12 UTC.`"""
    if trouble is None:
        return ""
    return " ".join((as_sentence(trouble.detail), where_and_when(trouble, status), *advice(trouble)))


def as_sentence(words: str) -> str:
    """Words from elsewhere, begun and ended as a sentence is."""
    end = "" if words.endswith((".", "!", "?", "…")) else "."
    return f"{words[:1].upper()}{words[1:]}{end}"


def where_and_when(trouble: Trouble, status: Status) -> str:
    where = f"at {trouble.address}, " if unsaid_address(trouble) else ""
    words = f"{where}{how_often(trouble.times, trouble.since_seconds, status.at_seconds)}."
    return f"{words[:1].upper()}{words[1:]}"


def how_often(times: int, since_seconds: float, now: float) -> str:
    """`12 times since 14:03:12 UTC`."""
    since = moment(since_seconds, now)
    return f"once, at {since}" if times == 1 else f"{times:,} times since {since}"


def advice(trouble: Trouble) -> tuple[str, ...]:
    """Which setting to look at, where the words do not say so."""
    if not trouble.setting or trouble.setting in trouble.detail:
        return ()
    return (f"Check {trouble.setting}.",)


def sentences(*parts: str) -> str:
    """Those that are not empty, as one text."""
    return " ".join(part for part in parts if part)


def next_try(seconds: float | None) -> str:
    return "A try is under way." if not seconds else f"The next try is in {duration(seconds)}."


def unsaid_address(trouble: Trouble) -> str:
    """The address, unless the words have it or its host."""
    host = trouble.address.partition("://")[2].partition("/")[0]
    return "" if trouble.address in trouble.detail or host in trouble.detail else trouble.address
