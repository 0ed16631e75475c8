"""Notices what a person did to the journal while the service runs, and acts on it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from shared.logs import LogEvent, get_logger
from supervisor.journal.journal import TaskJournal
from supervisor.tasks.completion import Settlement

LOOK_EVERY_SECONDS = 1.0

log = get_logger("amendments")


@dataclass(slots=True)
class AmendmentWatch:
    """Owned by the loop; `clock` is monotonic."""

    journal: TaskJournal
    settlement: Settlement
    clock: Callable[[], float]
    _looked_at: float = field(init=False, default=float("-inf"))

    def look(self) -> None:
        """Send rejected reports that were put back, forget dropped ones. Call after a commit."""
        now = self.clock()
        if now - self._looked_at < LOOK_EVERY_SECONDS:
            return
        self._looked_at = now
        amendments = self.journal.changed_by_others()
        for waiting in amendments.retried:
            log.info(LogEvent.REJECTED_RETRIED, task_id=waiting.report.task_id)
            self.settlement.restore(waiting)
        for task_id in amendments.dropped:
            log.info(LogEvent.REJECTED_DROPPED, task_id=task_id)
