"""Brings reports from the outbox to the API, as far as the API lets us."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.logs import LogEvent, get_logger
from shared.models import TaskStatus
from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import Report
from supervisor.runtime.events import ReportDone
from supervisor.runtime.trouble import Cause
from supervisor.task_api.answers import Health, ReportOutcome
from supervisor.task_api.causes import cause_of_report
from supervisor.task_api.gate import GateSide
from supervisor.task_api.outbox import Outbox
from supervisor.task_api.report_pace import ReportPace
from supervisor.task_api.sender import Sender
from supervisor.tasks.completion import Completion

TROUBLE = frozenset({ReportOutcome.RETRY, ReportOutcome.FOREIGN})

log = get_logger("delivery")


@dataclass(slots=True)
class Delivery:
    """Owned by the loop; `clock` is monotonic."""

    outbox: Outbox[Report]
    journal: TaskJournal
    report_sender: Sender
    gate: GateSide
    pace: ReportPace
    completion: Completion
    clock: Callable[[], float]

    def send(self) -> None:
        """Hand over what may be reported now. Call after the commit: what is sent must be on disk."""
        if not self.gate.allows():
            return
        for report in self._reports_to_send():
            self.pace.sent(1)
            try:
                body = self.journal.body(report.task_id)
            except OSError as error:
                # Its disk has a bad spot, or the process no file to spare: the others need not suffer.
                log.error(LogEvent.REPORT_UNREADABLE, task_id=report.task_id, detail=str(error))
                self.outbox.defer(report.task_id, self.clock())
                continue
            self.gate.begin()
            self.report_sender.send(report, body)

    def answered(self, event: ReportDone) -> None:
        """The API answered a report, or did not."""
        answer = event.answer
        shed = self.pace.is_refusal_for_load(answer)
        self.pace.heard(answer)
        health = Health.UNKNOWN if shed else answer.health
        cause, refused = self._cause(event), answer.refuses_any_report
        self.gate.heard(health, answer.began_at, answer.retry_after_seconds, cause, refused=refused)
        self.completion.answered(event.task_id, answer, shed=shed)
        if shed or not self.gate.allows():
            self.outbox.recall(self.report_sender.recall())

    def _reports_to_send(self) -> list[Report]:
        allowed = self.pace.allowed()
        if self.gate.refused and allowed != 0:
            return self.outbox.take_least_tried(self.clock())
        return self.outbox.take(self.clock(), most=1 if self.gate.probing else allowed)

    def _cause(self, event: ReportDone) -> Cause | None:
        """Why the report was not taken, if the API or the way to it is in trouble."""
        if event.answer.outcome not in TROUBLE:
            return None
        tells_output = self.outbox.sent(event.task_id).status is TaskStatus.SUCCEEDED
        return cause_of_report(event.answer, tells_output=tells_output)

    def next_at(self) -> float | None:
        """The next moment at which there may be something to send, unless an answer comes first."""
        if not self.gate.allows():
            return self.gate.opens_at()
        moments = [self.outbox.next_due_at, self.pace.next_at() if self.outbox.sendable else None]
        return min((moment for moment in moments if moment is not None), default=None)
