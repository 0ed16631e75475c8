"""What the preflight says of one thing that it looked at."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from shared.errors import ConfigurationError
from shared.plain_text import visible


class Mark(StrEnum):
    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and what the service would do about it."""

    mark: Mark
    subject: str
    text: str

    def __str__(self) -> str:
        return visible(f"{self.mark:8} {self.subject}: {self.text}")


def faults_of(error: ConfigurationError) -> Iterator[Finding]:
    """A finding for each fault that would keep the service from starting."""
    for fault in error.faults:
        subject, _, text = fault.partition(": ")
        yield Finding(Mark.FAILED, subject, text)
