"""Markdown, as far as the project's own documents use it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NOT_OURS = frozenset({"node_modules", "try", "state"})

_FENCE = re.compile(r"^```(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"""(?:\]\(|src(?:set)?=")([^)"\s]+)[)"]""")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: its cells as they are written."""

    cells: tuple[str, ...]

    def spans(self, cell: int) -> list[str]:
        """What stands in backticks in one cell."""
        return _SPAN.findall(self.cells[cell])

    @property
    def name(self) -> str:
        """What stands in the first backticks of the first cell, or all of the cell if it has none."""
        return (self.spans(0) or [self.cells[0]])[0]


@dataclass(frozen=True, slots=True)
class Document:
    path: Path
    text: str

    @classmethod
    def read(cls, name: str) -> "Document":
        """`name` is relative to the checkout."""
        return cls(ROOT / name, (ROOT / name).read_text(encoding="utf-8"))

    @property
    def prose(self) -> str:
        """All but the fenced blocks."""
        return _FENCE.sub("", self.text)

    def blocks(self, language: str) -> list[str]:
        """The fenced blocks of one language."""
        found = (block.partition("\n") for block in _FENCE.findall(self.text))
        return [body for marked, _, body in found if marked.strip() == language]

    def spans(self) -> list[str]:
        """What stands in backticks outside the fenced blocks."""
        return _SPAN.findall(self.prose)

    def code(self) -> list[str]:
        """Every line of code, in backticks or fenced."""
        fenced = (line for block in _FENCE.findall(self.text) for line in block.splitlines())
        return [*self.spans(), *fenced]

    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    def anchors(self) -> set[str]:
        """Of its headings, as GitHub makes them."""
        plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(self.prose))
        return {heading.strip().replace(" ", "-") for heading in plain}

    def rows(self, head: str) -> list[Row]:
        """The rows of every table whose first column is called `head`."""
        rows: list[Row] = []
        current: str | None = None
        for line in self.prose.splitlines():
            if not line.startswith("|"):
                current = None
                continue
            cells = tuple(cell.strip() for cell in _CELL.split(line)[1:-1])
            if current is None:
                current = cells[0]
            elif current == head and not set(cells[0]) <= set("-: "):
                rows.append(Row(cells))
        return rows

    def names(self, head: str) -> list[str]:
        return [row.name for row in self.rows(head)]


def documents() -> list[Document]:
    """Every document of the checkout."""
    found: list[Path] = []
    for folder, subfolders, files in os.walk(ROOT):
        # Pruned, not filtered: other tests make and remove folders of their own meanwhile.
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and name not in NOT_OURS]
        found += [Path(folder, name) for name in files if name.endswith(".md")]
    return [Document.read(str(path.relative_to(ROOT))) for path in sorted(found)]
