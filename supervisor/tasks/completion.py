"""The end of a task's work: its outcome is written down and owed to the API as a report."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.metrics import SupervisorMetrics
from shared.models import NOTHING_BILLED, Output, TaskStatus, Usage
from shared.plain_text import one_line
from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import Report, TaskRecord
from supervisor.status.history import History
from supervisor.task_api.sender import Outbox
from supervisor.task_api.wire_formats import TaskAddress, failure_body, success_body

MAX_SHOWN_CHARACTERS = 300


@dataclass(slots=True)
class Completion:
    """From an outcome to a finished task in journal and outbox. Owned by the loop; `clock` is monotonic."""

    journal: TaskJournal
    outbox: Outbox[Report]
    metrics: SupervisorMetrics
    history: History
    clock: Callable[[], float]

    def succeed(self, record: TaskRecord, output: Output, started_at: float) -> None:
        report = self._report(record, TaskStatus.SUCCEEDED, started_at, output.usage)
        self._finish(report, success_body(record.task.shape, output))
        seconds = report.queue_seconds + report.run_seconds
        self.history.succeeded(record.task.key.model, seconds, report.tokens)

    def fail(
        self,
        record: TaskRecord,
        message: str,
        started_at: float,
        shown: str = "",
        usage: Usage = NOTHING_BILLED,
    ) -> None:
        """`message` goes to the API. Where it may quote a task's text, `shown` are the words for logs."""
        report = self._report(record, TaskStatus.FAILED, started_at, usage)
        self._finish_failed(report, failure_body(record.task.shape, message), shown or message)

    def refuse(self, address: TaskAddress, message: str, shown: str) -> None:
        """Fail an item of a page that never became a task. `shown` are the words for logs."""
        report = Report(address.id, address.task_type, address.correlation_id, TaskStatus.FAILED)
        self._finish_failed(report, failure_body(address.shape, message), shown)

    def _report(
        self, record: TaskRecord, status: TaskStatus, started_at: float, usage: Usage = NOTHING_BILLED
    ) -> Report:
        task = record.task
        return Report(
            task_id=task.id,
            task_type=task.task_type,
            correlation_id=task.correlation_id,
            status=status,
            attempts=record.attempts,
            tokens=usage.total_tokens,
            tokens_by_kind=usage.by_kind if usage.completion_tokens else {},
            created_at_seconds=task.created_at_seconds,
            queue_seconds=started_at - record.received_at,
            run_seconds=self.clock() - started_at,
        )

    def _finish_failed(self, report: Report, body: bytes, shown: str) -> None:
        report = replace(report, message=one_line(shown, MAX_SHOWN_CHARACTERS))
        self._finish(report, body)
        self.history.failed(report.task_id, report.task_type, report.message)

    def _finish(self, report: Report, body: bytes) -> None:
        self.journal.note_finished(report, body)
        self.outbox.add(report, self.clock())
        self.metrics.processed.labels(report.task_type, report.status).inc()
