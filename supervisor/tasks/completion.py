"""A task's outcome is settled here: written down, put in the outbox, and told in one log line at its end."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from shared.logs import LogEvent, get_logger
from shared.metrics import SupervisorMetrics
from shared.models import Output, TaskStatus
from shared.plain_text import one_line
from supervisor.journal.journal import TaskJournal, Waiting
from supervisor.journal.task_record import Report, TaskRecord
from supervisor.status.history import History
from supervisor.task_api.responses import PollAnswer, ReportAnswer, ReportOutcome, loggable_detail
from supervisor.task_api.sender import OutboxEntry, Sender
from supervisor.task_api.wire_formats import TaskAddress, failure_body, success_body
from supervisor.tasks.gone_reports import GoneReports, Verdict
from supervisor.tasks.recently_finished import RecentlyFinished

REMEMBER_SECONDS = 600.0
GONE_SECONDS = 3600.0
UNKNOWN_TYPE_LABEL = "unknown"
MAX_SHOWN_CHARACTERS = 300

log = get_logger("completion")


@dataclass(slots=True)
class Completion:
    """From an outcome to an accepted report. Owned by the loop; `clock` is monotonic."""

    journal: TaskJournal
    sender: Sender[Report]
    gone_reports: GoneReports
    metrics: SupervisorMetrics
    history: History
    clock: Callable[[], float]
    _reported: RecentlyFinished = field(
        init=False, default_factory=lambda: RecentlyFinished(REMEMBER_SECONDS)
    )
    _gone: RecentlyFinished = field(init=False, default_factory=lambda: RecentlyFinished(GONE_SECONDS))

    def succeed(self, record: TaskRecord, output: Output, started_at: float) -> None:
        report = self._report(record, TaskStatus.SUCCEEDED, started_at, output.usage.total_tokens)
        self._finish(report, success_body(record.task.shape, output))
        seconds = report.queue_seconds + report.run_seconds
        self.history.succeeded(record.task.key.model, seconds, report.tokens)

    def fail(self, record: TaskRecord, message: str, started_at: float, shown: str = "") -> None:
        """`message` reaches the API: it says what happened and what to do. Where it may quote a text, `shown`
        are the words for the log.
        """
        task = record.task
        shown = one_line(shown or message, MAX_SHOWN_CHARACTERS)
        report = replace(self._report(record, TaskStatus.FAILED, started_at), message=shown)
        self._finish(report, failure_body(task.shape, message))
        self.history.failed(report.task_id, report.task_type, report.message)

    def refuse(self, address: TaskAddress, message: str) -> None:
        """Fail an item of a page that never became a task."""
        report = Report(
            address.id,
            UNKNOWN_TYPE_LABEL,
            address.correlation_id,
            TaskStatus.FAILED,
            message=one_line(message, MAX_SHOWN_CHARACTERS),
        )
        self._finish(report, failure_body(address.shape, message))
        self.history.failed(report.task_id, report.task_type, report.message)

    def restore(self, waiting: Waiting) -> None:
        """Take up a report that an earlier run still owed."""
        age_seconds = max(0.0, time.time() - waiting.finished_at_seconds)
        self.sender.outbox.add(waiting.report, self.clock() - age_seconds)

    def send_reports(self) -> None:
        """Hand over what may be reported now. Call after the commit: what is sent must be on disk."""
        for report in self.sender.take():
            try:
                body = self.journal.body(report.task_id)
            except OSError as error:
                # Its disk has a bad spot, or the process no file to spare: the others need not suffer.
                log.error(LogEvent.REPORT_UNREADABLE, task_id=report.task_id, detail=str(error))
                self.sender.outbox.defer(report.task_id, self.clock())
            else:
                self.sender.send(report, body)

    def answered(self, task_id: str, answer: ReportAnswer) -> None:
        """The API answered a report, or did not."""
        report = self.sender.outbox.sent(task_id)
        taken = self.sender.answered(task_id, answer)
        if taken and answer.outcome is not ReportOutcome.GONE:
            self._end(task_id, answer)
            return
        self.metrics.reports.labels(ReportOutcome.RETRY if taken else answer.outcome).inc()
        log.warning(LogEvent.REPORT_FAILED, **_about(report, answer))
        if taken:
            self.gone_reports.add(task_id, answer)
            self.sender.outbox.set_aside(task_id)

    def paged(self, answer: PollAnswer) -> None:
        """A page came: it decides about the reports that were answered as if their tasks were gone."""
        for decision in self.gone_reports.decide(answer):
            said = decision.answer
            match decision.verdict:
                case Verdict.GONE:
                    self._end(decision.task_id, said)
                case Verdict.REJECTED:
                    detail = f"{said.detail} (yet the task API lists the task as pending)"
                    self._end(decision.task_id, replace(said, outcome=ReportOutcome.REJECTED, detail=detail))
                case Verdict.SEND_AGAIN:
                    self.sender.outbox.send_again(decision.task_id, self.clock() + decision.wait_seconds)

    def stale(self, task_id: str, requested_at: float) -> bool:
        """Is a page asked for at `requested_at` wrong to list the task as pending?

        It is where the task was reported since. It is too where the API lately said that the task is
        gone or another's: to run it again at each poll would be to pay for it at each poll.
        """
        now = self.clock()
        reported_at = self._reported.settled_at(task_id, now)
        if reported_at is not None and reported_at >= requested_at:
            return True
        return self._gone.settled_at(task_id, now) is not None

    def remembers_since(self, moment: float) -> bool:
        """Is every report known that was accepted at `moment` or later?"""
        return self._reported.is_complete_since(moment, self.clock())

    def _report(self, record: TaskRecord, status: TaskStatus, started_at: float, tokens: int = 0) -> Report:
        task = record.task
        return Report(
            task_id=task.id,
            task_type=task.task_type,
            correlation_id=task.correlation_id,
            status=status,
            attempts=record.attempts,
            tokens=tokens,
            created_at_seconds=task.created_at_seconds,
            queue_seconds=started_at - record.received_at,
            run_seconds=self.clock() - started_at,
        )

    def _finish(self, report: Report, body: bytes) -> None:
        self.journal.note_finished(report, body)
        self.sender.outbox.add(report, self.clock())
        self.metrics.processed.labels(report.task_type, report.status).inc()

    def _end(self, task_id: str, answer: ReportAnswer) -> None:
        """Nothing more is sent: the report was accepted, its task is gone, or a person must look at it."""
        self.metrics.reports.labels(answer.outcome).inc()
        self.gone_reports.forget(task_id)
        entry = self.sender.outbox.settle(task_id)
        if answer.outcome is ReportOutcome.REJECTED:
            log.error(LogEvent.REPORT_REJECTED, **_about(entry.message, answer))
            self.journal.note_rejected(task_id, answer.detail)
        else:
            self.journal.forget(task_id)
            kept = self._gone if answer.outcome is ReportOutcome.GONE else self._reported
            kept.note(task_id, self.clock())
        self._conclude(entry, answer)

    def _conclude(self, entry: OutboxEntry[Report], answer: ReportAnswer) -> None:
        report = entry.message
        created = report.created_at_seconds
        total = max(0.0, time.time() - created) if created is not None else None  # clocks differ
        if total is not None and answer.outcome is ReportOutcome.DONE:
            self.metrics.end_to_end.labels(report.task_type).observe(total)
        log.info(
            LogEvent.TASK_FINISHED,
            task_id=report.task_id,
            task_type=report.task_type,
            correlation_id=report.correlation_id,
            status=report.status,
            outcome=answer.outcome,
            attempts=report.attempts,
            tokens=report.tokens,
            reports=entry.tries + 1,
            queue_seconds=round(report.queue_seconds, 4),
            run_seconds=round(report.run_seconds, 4),
            report_seconds=round(self.clock() - entry.since, 4),
            end_to_end_seconds=None if total is None else round(total, 3),
            **({"message": report.message} if report.message else {}),
        )


def _about(report: Report, answer: ReportAnswer) -> dict[str, object]:
    return {
        "task_id": report.task_id,
        "task_type": report.task_type,
        "correlation_id": report.correlation_id,
        "status_code": answer.status,
        "outcome": answer.outcome,
        "detail": loggable_detail(answer, tells_output=report.tells_output),
    }
