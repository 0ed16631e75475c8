"""Notices what a person did to the journal while the service runs, and acts on it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from shared.logs import LogEvent, get_logger
from supervisor.journal.journal import TaskJournal
from supervisor.tasks.completion import Completion

REFRESH_SECONDS = 1.0

log = get_logger("journal_watcher")


@dataclass(slots=True)
class JournalWatcher:
    """Owned by the loop; `clock` is monotonic."""

    journal: TaskJournal
    completion: Completion
    clock: Callable[[], float]
    _refreshed_at: float = field(init=False, default=float("-inf"))

    def look(self) -> None:
        """Send rejected reports that were put back, forget dropped ones. Call after a commit."""
        now = self.clock()
        if now - self._refreshed_at < REFRESH_SECONDS:
            return
        self._refreshed_at = now
        journal_watcher = self.journal.changed_by_others()
        for waiting in journal_watcher.retried:
            log.info(LogEvent.REJECTED_RETRIED, task_id=waiting.report.task_id)
            self.completion.restore(waiting)
        for task_id in journal_watcher.dropped:
            log.info(LogEvent.REJECTED_DROPPED, task_id=task_id)
