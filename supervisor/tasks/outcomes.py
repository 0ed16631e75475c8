"""What becomes of a unit's tasks when its worker answers or dies: done, again, split, or failed."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.errors import HOLD_REASONS, Blame, RetryReason
from shared.log_events import LogEvent
from shared.logs import get_logger
from shared.messages import Failure, UnitDone
from shared.metrics import SupervisorMetrics
from shared.models import Output
from shared.retry import Backoff
from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import TaskRecord
from supervisor.pool.slot_table import Assignment
from supervisor.providers.gate import ProviderGate
from supervisor.tasks.backlog import Backlog
from supervisor.tasks.completion import Settlement

UNCOUNTED_REASONS = HOLD_REASONS | {RetryReason.RATE_LIMIT}
NO_OUTCOME = Failure("the processor gave no outcome for this task")

log = get_logger("verdicts")


@dataclass(slots=True)
class Verdicts:
    """Owned by the loop; `clock` is monotonic."""

    journal: TaskJournal
    backlog: Backlog
    settlement: Settlement
    gate: ProviderGate
    backoff: Backoff
    metrics: SupervisorMetrics
    max_retries: int
    crash_limit: int
    clock: Callable[[], float]

    def answered(self, assignment: Assignment, done: UnitDone) -> None:
        """The worker answered for the unit as a whole, or for each of its tasks."""
        if done.failure is not None:
            self._unit_failed(assignment, done.failure)
            return
        retries: dict[RetryReason, tuple[Failure, list[TaskRecord]]] = {}
        for record in assignment.records:
            outcome = done.outcomes.get(record.task.id, NO_OUTCOME)
            if isinstance(outcome, Output):
                self.settlement.succeed(record, outcome, assignment.started_at)
            elif outcome.retry is None:
                self.settlement.fail(record, outcome.message, assignment.started_at)
            else:
                retries.setdefault(outcome.retry, (outcome, []))[1].append(record)
        if sum(len(records) for _, records in retries.values()) < len(assignment.records):
            self.gate.succeeded()
        for reason, (failure, records) in retries.items():
            self._retry(records, reason, failure, assignment.started_at)

    def worker_died(self, assignment: Assignment, how: str) -> None:
        """The tasks run again, each alone; one that saw too many deaths, the last alone, is FAILED."""
        self.gate.undecided()
        alone = len(assignment.records) == 1
        for before in assignment.records:
            record = before.after_crash()
            if alone and record.crashes >= self.crash_limit:
                message = (
                    f"the worker process died {record.crashes} times on this task; the last time it {how}"
                )
                self.settlement.fail(record, message, assignment.started_at)
            else:
                self._note_retry(record, RetryReason.CRASH)
                self.backlog.add(record)

    def undone(self, assignment: Assignment) -> None:
        """The unit never reached a worker."""
        self.gate.undecided()
        self.journal.note_ready(assignment.records)
        self.backlog.put_back(assignment.records)

    def _unit_failed(self, assignment: Assignment, failure: Failure) -> None:
        records = assignment.records
        log.warning(
            LogEvent.UNIT_FAILED,
            unit_id=assignment.unit.id,
            tasks=len(records),
            reason=failure.retry or failure.blame,
            # A refusal may quote a task's text, which is never logged; the API is told.
            detail=failure.message if failure.retry else None,
        )
        if failure.retry is not None:
            self._retry(records, failure.retry, failure, assignment.started_at)
            return
        self.gate.succeeded()
        if failure.blame is Blame.WHOLE_UNIT or len(records) == 1:
            for record in records:
                self.settlement.fail(record, failure.message, assignment.started_at)
            return
        log.info(LogEvent.UNIT_SPLIT, unit_id=assignment.unit.id, tasks=len(records))
        middle = len(records) // 2
        self.journal.note_ready(records)
        self.backlog.add_fragment(records[:middle])
        self.backlog.add_fragment(records[middle:])

    def _retry(
        self, records: Sequence[TaskRecord], reason: RetryReason, failure: Failure, started_at: float
    ) -> None:
        counted = self.gate.counts_attempts and reason not in UNCOUNTED_REASONS
        self.gate.failed(reason, failure)
        if counted:
            self._retry_later(records, reason, failure, started_at)
            return
        for record in records:
            self._note_retry(record, reason)
        self.backlog.put_back(records)

    def _retry_later(
        self, records: Sequence[TaskRecord], reason: RetryReason, failure: Failure, started_at: float
    ) -> None:
        # One draw for all that failed together, so that what was one batched call becomes one again.
        delays: dict[int, float] = {}
        for before in records:
            record = before.after_attempt()
            if record.attempts > self.max_retries:
                message = f"{failure.message} (gave up after {record.attempts} attempts)"
                self.settlement.fail(record, message, started_at)
                continue
            if record.attempts not in delays:
                asked = failure.retry_after_seconds
                delays[record.attempts] = self.backoff.seconds(record.attempts) if asked is None else asked
            self._note_retry(record, reason)
            self.backlog.add_later(record, self.clock() + delays[record.attempts])

    def _note_retry(self, record: TaskRecord, reason: RetryReason) -> None:
        task = record.task
        self.journal.note_ready((record,))
        self.metrics.retries.labels(task.task_type, reason).inc()
        log.info(
            LogEvent.TASK_RETRIED,
            task_id=task.id,
            task_type=task.task_type,
            correlation_id=task.correlation_id,
            reason=reason,
            attempts=record.attempts,
            crashes=record.crashes,
        )


def describe_death(exit_code: int | None, *, timed_out_after_seconds: float | None, rss_bytes: int) -> str:
    """How a worker ended, as the second half of a sentence: "was killed by SIGSEGV"."""
    memory = f", holding {rss_bytes / 2**20:.0f} MB of memory" if rss_bytes else ""
    if timed_out_after_seconds is not None:
        return f"ran longer than TASK_TIMEOUT_SECONDS ({timed_out_after_seconds:g} s) and was killed{memory}"
    if exit_code is None:
        return "could not be started"
    if exit_code < 0:
        return f"was killed by {_signal_name(-exit_code)}{memory}"
    return f"exited with code {exit_code}{memory}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
