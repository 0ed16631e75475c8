"""`run.py journal`: list, show, retry, drop."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.errors import ConfigurationError
from shared.plain_text import count, escaped_json, is_plain, visible
from supervisor.console.formatting import ago, iso_time
from supervisor.journal.admin import JournalAdmin, JournalEntry
from supervisor.journal.task_record import TaskState
from supervisor.runtime.process import ExitCode

COLUMNS = ("id", "state", "since", "type", "attempts", "deaths", "note")
MAX_IN_BULK = 1_000_000
SAFE_IN_IDS = "._:@+=,/"

Change = Callable[[JournalAdmin, Sequence[str]], None]


class JournalCommand:
    """One command on the journal at `path`. To a terminal it writes tables, else tab-separated lines."""

    def __init__(self, path: Path, console: Console | None = None) -> None:
        self._path = path
        self._console = console or Console(highlight=False)

    def list(self, state: str | None, most: int) -> ExitCode:
        """Up to `most` tasks, the oldest first; of one state or of all."""
        only = TaskState(state) if state else None
        with JournalAdmin(self._path) as admin:
            entries = admin.entries(only, most)
            counts = admin.counts()
        if not self._console.is_terminal:
            for entry in entries:
                self._line("\t".join(_row(entry, iso_time(entry.changed_at_seconds))))
            return ExitCode.DRAINED
        if entries:
            table = Table(box=SIMPLE_HEAD, show_edge=False)
            for column in COLUMNS:
                table.add_column(column, overflow="fold")
            for entry in entries:
                age = ago(max(0.0, time.time() - entry.changed_at_seconds)).removesuffix(" ago")
                table.add_row(*(Text(cell) for cell in _row(entry, age)))
            self._console.print(table)
        total = sum(counts.values()) if only is None else counts[only]
        if total > len(entries):
            self._line(f"... and {total - len(entries):,} more: see --limit")
        self._line(", ".join(f"{number:,} {name}" for name, number in counts.items()))
        return ExitCode.DRAINED

    def show(self, task_id: str, *, body: bool) -> ExitCode:
        """All about one task but its text and vector; with `body`, only the report that the API is to get."""
        task_id = unquote(task_id)
        with JournalAdmin(self._path) as admin:
            if body:
                sys.stdout.buffer.write(escaped_json(admin.body(task_id)) + b"\n")
                return ExitCode.DRAINED
            entry = admin.entry(task_id)
        for name, value in _facts(entry).items():
            if value:
                self._line(f"{name:<12} {visible(value)}")
        return ExitCode.DRAINED

    def retry(self, task_ids: Sequence[str], *, every: bool) -> ExitCode:
        """Send rejected reports once more: these, or all of them."""
        what_follows = "to be sent again: within a second, or when the service starts"
        return self._change(JournalAdmin.retry, task_ids, every=every, what_follows=what_follows)

    def drop(self, task_ids: Sequence[str], *, every: bool) -> ExitCode:
        """Forget rejected reports and their results."""
        what_follows = "dropped; a task that the API still lists as pending runs anew"
        return self._change(JournalAdmin.drop, task_ids, every=every, what_follows=what_follows)

    def _change(self, change: Change, task_ids: Sequence[str], *, every: bool, what_follows: str) -> ExitCode:
        with JournalAdmin(self._path) as admin:
            chosen = _chosen(admin, task_ids, every=every)
            change(admin, chosen)
        self._line(f"{count(len(chosen), 'report')} {what_follows}")
        return ExitCode.DRAINED

    def _line(self, text: str) -> None:
        self._console.file.write(f"{text}\n")  # as it is: the console would expand tabs and fold lines


def _chosen(admin: JournalAdmin, task_ids: Sequence[str], *, every: bool) -> list[str]:
    if every == bool(task_ids):
        raise ConfigurationError("give the ids of rejected reports, or --all")
    if not every:
        return list(dict.fromkeys(map(unquote, task_ids)))
    return [entry.task_id for entry in admin.entries(TaskState.REJECTED, MAX_IN_BULK)]


def quoted_id(task_id: str) -> str:
    """Percent-encoded where a shell, xargs or the options would take it for anything but one argument."""
    return "".join(
        character if _is_safe(character, first=number == 0) else _percent_encoded(character)
        for number, character in enumerate(task_id)
    )


def _is_safe(character: str, *, first: bool) -> bool:
    if character == "-":
        return not first
    return character in SAFE_IN_IDS or (character.isalnum() and is_plain(character))


def _percent_encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _row(entry: JournalEntry, since: str) -> tuple[str, ...]:
    note = entry.rejection or entry.outcome
    cells = (
        quoted_id(entry.task_id),
        entry.state,
        since,
        entry.task_type,
        str(entry.attempts),
        str(entry.crashes),
        note,
    )
    return tuple(visible(cell) for cell in cells)


def _facts(entry: JournalEntry) -> dict[str, str]:
    created = entry.created_at_seconds
    return {
        "id": quoted_id(entry.task_id),
        "state": entry.state,
        "since": iso_time(entry.changed_at_seconds),
        "type": entry.task_type,
        "model": entry.model,
        "correlation": entry.correlation_id,
        "created": iso_time(created) if created is not None else "",
        "attempts": str(entry.attempts),
        "deaths": str(entry.crashes),
        "claim": entry.claim,
        "outcome": entry.outcome,
        "tokens": str(entry.tokens) if entry.tokens else "",
        "report": f"{entry.body_bytes:,} bytes (--body prints it)" if entry.body_bytes else "",
        "rejected": entry.rejection,
    }
