"""Medians, ratios and tables of runs."""

from collections.abc import Callable, Sequence
from math import ceil
from statistics import median
from typing import TypeVar

Run = TypeVar("Run")
Cell = float | int | str | None


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of all do not exceed. ValueError if there are none."""
    if not values:
        raise ValueError("no values to take a percentile of")
    ranked = sorted(values)
    return ranked[max(0, ceil(share * len(ranked)) - 1)]


def median_of(runs: Sequence[Run], figure: Callable[[Run], float]) -> float:
    """The median of one figure. StatisticsError if there are no runs."""
    return median(figure(run) for run in runs)


def median_ratio(
    runs: Sequence[Run], references: Sequence[Run], figure: Callable[[Run], float]
) -> float | None:
    """The median of the ratios of each repeat: its runs saw the same machine. None: no reference."""
    pairs = [(figure(run), figure(other)) for run, other in zip(runs, references, strict=False)]
    ratios = [ours / theirs for ours, theirs in pairs if theirs]
    return median(ratios) if ratios else None


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Columns are aligned, so that it reads in a terminal as well. Numbers stand at the right."""
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(head), *texts]) for column in range(len(head))]
    numeric = [all(not isinstance(row[column], str) for row in rows) for column in range(len(head))]
    rule = [
        ("-" * (width - 1) + ":") if right else "-" * width
        for width, right in zip(widths, numeric, strict=True)
    ]
    return "\n".join(_line(line, widths, numeric) for line in [list(head), rule, *texts])


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    )
    return f"| {' | '.join(padded)} |"


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    if not isinstance(cell, float):
        return str(cell)
    if abs(cell) >= 100:
        return f"{cell:.0f}"
    return f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"
