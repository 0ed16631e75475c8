"""From a finished task to a report that the API accepted, and one log line at its end."""

import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.logs import LogEvent, get_logger
from shared.metrics import SupervisorMetrics
from supervisor.journal.journal import TaskJournal, Waiting
from supervisor.journal.task_record import Report
from supervisor.task_api.bulk import BulkQueue, BulkReportDone
from supervisor.task_api.responses import PollAnswer, ReportAnswer, ReportOutcome, loggable_detail
from supervisor.task_api.sender import OutboxEntry, Sender
from supervisor.tasks.gone_reports import GoneReports

REMEMBER_SECONDS = 600.0
REMEMBER_GONE_SECONDS = 3600.0
JOURNAL_CHECK_SECONDS = 1.0
MAX_ENTRIES = 100_000
MAX_BYTES = 32 * 2**20
BYTES_AN_ENTRY = 200
"""What an ordered dictionary takes for an entry, beside the id."""
NEVER = float("-inf")

log = get_logger("reports")


class RecentIds:
    """When each id was last noted, kept for so many seconds. Owned by the loop; times are monotonic.

    Where there are too many ids, or they are too long, the oldest are forgotten before their time.
    """

    def __init__(
        self, keep_seconds: float, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES
    ) -> None:
        self._keep_seconds = keep_seconds
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        # A plain dict that is emptied from the front looks for its first entry longer each time.
        self._noted_at: OrderedDict[str, float] = OrderedDict()
        self.size_bytes = 0
        self._forgot_until = NEVER

    def __len__(self) -> int:
        return len(self._noted_at)

    def note(self, task_id: str, now: float) -> None:
        if task_id in self._noted_at:
            self._noted_at.move_to_end(task_id)
        else:
            self.size_bytes += _entry_bytes(task_id)
        self._noted_at[task_id] = now
        while len(self) > self._max_entries or self.size_bytes > self._max_bytes:
            self._forgot_until = max(self._forgot_until, self._forget_oldest())
        while now - next(iter(self._noted_at.values()), now) > self._keep_seconds:
            self._forget_oldest()

    def noted_at(self, task_id: str, now: float) -> float | None:
        """When the id was noted; None if it was not, or too long ago."""
        moment = self._noted_at.get(task_id)
        return moment if moment is not None and now - moment <= self._keep_seconds else None

    def is_complete_since(self, moment: float, now: float) -> bool:
        """Is every id known that was noted at `moment` or later?"""
        return now - moment <= self._keep_seconds and moment > self._forgot_until

    def _forget_oldest(self) -> float:
        task_id, moment = self._noted_at.popitem(last=False)
        self.size_bytes -= _entry_bytes(task_id)
        return moment


def _entry_bytes(task_id: str) -> int:
    return sys.getsizeof(task_id) + BYTES_AN_ENTRY


@dataclass(slots=True)
class Reports:
    """Owned by the loop; `clock` is monotonic, `wall` gives epoch seconds."""

    journal: TaskJournal
    sender: Sender[Report]
    gone_reports: GoneReports
    metrics: SupervisorMetrics
    clock: Callable[[], float]
    wall: Callable[[], float]
    bulk: BulkQueue | None = None
    """Where reports go out several at once."""
    accepted: RecentIds = field(default_factory=lambda: RecentIds(REMEMBER_SECONDS))
    gone: RecentIds = field(default_factory=lambda: RecentIds(REMEMBER_GONE_SECONDS))
    _journal_checked_at: float = field(init=False, default=NEVER)

    def restore(self, waiting: Waiting) -> None:
        """Take up a report that an earlier run still owed, or that a person wants sent once more."""
        age_seconds = max(0.0, self.wall() - waiting.finished_at_seconds)
        self.sender.outbox.add(waiting.report, self.clock() - age_seconds)

    def check_journal(self) -> None:
        """Send rejected reports that a person retried, forget those dropped. Call after a commit."""
        now = self.clock()
        if now - self._journal_checked_at < JOURNAL_CHECK_SECONDS:
            return
        self._journal_checked_at = now
        changes = self.journal.changed_by_others()
        for waiting in changes.retried:
            log.info(LogEvent.REJECTED_RETRIED, task_id=waiting.report.task_id)
            self.restore(waiting)
        for task_id in changes.dropped:
            log.info(LogEvent.REJECTED_DROPPED, task_id=task_id)

    def send(self) -> None:
        """Hand over what may be reported now. Call after the commit: what is sent must be on disk."""
        readable: list[tuple[Report, bytes]] = []
        for report in self.sender.take():
            try:
                readable.append((report, self.journal.body(report.task_id)))
            except OSError as error:
                # Its disk has a bad spot, or no file can be opened: the other reports go out.
                log.error(LogEvent.REPORT_UNREADABLE, task_id=report.task_id, detail=str(error))
                self.sender.outbox.defer(report.task_id, self.clock())
        self.sender.send(readable)

    def bulk_answered(self, done: BulkReportDone) -> None:
        """The API answered a call with several reports, or did not."""
        answer = done.answer
        refused = self.bulk is not None and self.bulk.is_refused(answer)
        self.sender.call_answered(answer.call, refused=refused)
        left_out = [task_id for task_id in done.task_ids if task_id not in answer.each]
        if refused:
            self.sender.outbox.put_back(left_out)
            left_out = []
        for task_id, said in (*answer.each.items(), *((task_id, answer.call) for task_id in left_out)):
            self.answered(task_id, said, in_bulk=True)

    def answered(self, task_id: str, answer: ReportAnswer, *, in_bulk: bool = False) -> None:
        """The API answered a report, or did not."""
        report = self.sender.outbox.sent(task_id)
        taken = self.sender.answered(task_id, answer, in_bulk=in_bulk)
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
        for decision in self.gone_reports.decide(answer, self.journal.rejected):
            if decision.send_again_seconds is None:
                self._end(decision.task_id, decision.answer)
            else:
                due_at = self.clock() + decision.send_again_seconds
                self.sender.outbox.send_again(decision.task_id, due_at)

    def is_stale(self, task_id: str, requested_at: float) -> bool:
        """Is a page that was asked for at `requested_at` wrong to list the task as pending?

        It is if the task was reported since. It is too if the API lately said that the task is gone or
        another's: otherwise each poll would run it, and pay for it, once more.
        """
        now = self.clock()
        accepted_at = self.accepted.noted_at(task_id, now)
        if accepted_at is not None and accepted_at >= requested_at:
            return True
        return self.gone.noted_at(task_id, now) is not None

    def remembers_since(self, moment: float) -> bool:
        """Is every report known that was accepted at `moment` or later?"""
        return self.accepted.is_complete_since(moment, self.clock())

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
            kept = self.gone if answer.outcome is ReportOutcome.GONE else self.accepted
            kept.note(task_id, self.clock())
        self._log_end(entry, answer)

    def _log_end(self, entry: OutboxEntry[Report], answer: ReportAnswer) -> None:
        report = entry.message
        created = report.created_at_seconds
        total = max(0.0, self.wall() - created) if created is not None else None  # clocks differ
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
            **{f"{kind}_tokens": tokens for kind, tokens in report.tokens_by_kind.items()},
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
