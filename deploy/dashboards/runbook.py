"""The sections of the runbook for alerts, and their places on a dashboard of their own."""

import re
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
RUNBOOK = CHECKOUT / "docs" / "alerts.md"
RUNBOOK_UID = "ai-task-processor-runbook"


@dataclass(frozen=True, slots=True)
class Section:
    """`anchor` is what follows the # in a link to it."""

    title: str
    text: str

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z0-9 -]", "", self.title.lower()).replace(" ", "-")


def read_sections(file: Path = RUNBOOK) -> tuple[Section, ...]:
    """The introduction, under the file's own title, and one section an alert."""
    parts = re.split(r"^##? +(.+)\n", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return tuple(Section(title, text.strip()) for title, text in zip(parts[1::2], parts[2::2], strict=True))


def links(sections: tuple[Section, ...]) -> dict[str, str]:
    """Where Grafana shows each section, by its anchor. Panels are numbered from 1."""
    return {
        section.anchor: f"/d/{RUNBOOK_UID}?viewPanel={number}"
        for number, section in enumerate(sections, start=1)
    }
