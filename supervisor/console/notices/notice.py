"""One thing that a person should know about the service, in words."""

from dataclasses import dataclass
from enum import StrEnum


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
