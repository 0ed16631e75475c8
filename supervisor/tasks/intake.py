"""What a page brings in: new tasks, tasks already known, and items that are no tasks."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from shared.log_events import LogEvent
from shared.logs import get_logger
from shared.metrics import SupervisorMetrics
from shared.models import Task
from shared.settings import UnknownTaskPolicy
from shared.text_length import MAX_TEXT_TOKENS, TextLength
from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import TaskRecord
from supervisor.task_api.answers import PollAnswer
from supervisor.task_api.wire_formats import Refusal, RefusalReason, TaskAddress
from supervisor.tasks.claims import Claims
from supervisor.tasks.completion import REMEMBER_SECONDS, UNKNOWN_TYPE_LABEL, Settlement

log = get_logger("intake")


@dataclass(frozen=True, slots=True)
class Shard:
    """Which ids are this replica's."""

    count: int = 1
    index: int = 0

    def owns(self, task_id: str) -> bool:
        """The same answer on every machine and in every run."""
        return self.count == 1 or zlib.crc32(task_id.encode()) % self.count == self.index


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one page."""

    new: int
    full: bool
    passed_over: int
    """Items that are neither new nor held: they will stand in the way of others in the next page too."""


@dataclass(slots=True)
class Intake:
    """Takes a page's new tasks into the journal, to be claimed or run. Owned by the loop; monotonic clock."""

    journal: TaskJournal
    claims: Claims
    settlement: Settlement
    metrics: SupervisorMetrics
    policy: UnknownTaskPolicy
    fail_long_texts: bool
    shard: Shard
    clock: Callable[[], float]

    def take(self, answer: PollAnswer, room: int) -> Taken:
        """Take up to `room` new tasks; what the API lists beyond that it will list again."""
        page = answer.page
        now = self.clock()
        if now - answer.began_at > REMEMBER_SECONDS:
            # We were stopped meanwhile, and no longer know what was reported since it was asked for.
            return Taken(new=0, full=False, passed_over=0)
        taken, known = 0, page.held
        refusals = list(page.refusals)
        for task in self.claims.order(page.tasks):
            if taken >= room:
                break
            if self.fail_long_texts and task.length is TextLength.OVER:
                refusals.append(_too_long(task))
            elif self._is_new(task.id, answer.began_at):
                record = TaskRecord(task, now)
                self.journal.note_ready((record,))
                self.claims.admit(record)
                taken += 1
            elif self.journal.holds(task.id):
                known += 1
        new = taken + sum(self._refuse(refusal, answer.began_at) for refusal in refusals)
        full = page.items >= answer.limit or taken >= room
        return Taken(new=new, full=full, passed_over=0 if taken >= room else page.items - new - known)

    def _is_new(self, task_id: str, requested_at: float) -> bool:
        return (
            self.shard.owns(task_id)
            and not self.journal.holds(task_id)
            and not self.settlement.stale(task_id, requested_at)
        )

    def _refuse(self, refusal: Refusal, requested_at: float) -> bool:
        """True if the item was failed, and so will be gone from a later page."""
        address = refusal.address
        if address is not None and not self._is_new(address.id, requested_at):
            return False
        self.metrics.rejected.labels(refusal.reason).inc()
        log.warning(
            LogEvent.TASK_REFUSED,
            task_id=address.id if address else None,
            task_type=UNKNOWN_TYPE_LABEL,
            correlation_id=address.correlation_id if address else None,
            reason=refusal.reason,
            detail=refusal.message,
        )
        leave = refusal.reason is RefusalReason.UNKNOWN_TYPE and self.policy is UnknownTaskPolicy.LEAVE
        if address is None or leave:
            return False
        self.settlement.refuse(address, refusal.message)
        return True


def _too_long(task: Task) -> Refusal:
    return Refusal(
        RefusalReason.TEXT_TOO_LONG,
        f"the text is longer than the {MAX_TEXT_TOKENS:,} tokens that {task.key.model} takes;"
        " shorten it, or let the service embed it in pieces (LONG_TEXT=mean)",
        TaskAddress(task.id, task.shape, task.correlation_id),
    )
