"""For several replicas: tells the API that a task is ours before work starts; gives back what is not begun.

A claim is noted before it is sent. Where its answer was lost, be it by a restart, a later 409 or 404 is
read as our own claim: a task run twice is better than a task that nobody runs.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from shared.logs import LogEvent, get_logger
from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import Claim, TaskRecord
from supervisor.task_api.answers import Health, ReportAnswer, ReportOutcome
from supervisor.task_api.causes import cause_of_report
from supervisor.task_api.gate import GateSide
from supervisor.task_api.outbox import Outbox
from supervisor.task_api.report_pace import ReportPace
from supervisor.task_api.sender import Sender
from supervisor.task_api.wire_formats import claim_body, give_back_body
from supervisor.tasks.backlog import Backlog

CONFLICT = 409
SERVER_ERRORS = 500
T = TypeVar("T")

log = get_logger("claims")


@dataclass(frozen=True, slots=True)
class ClaimMessage:
    """A claim, or its return. `unsure`: an earlier one may have been heard."""

    record: TaskRecord
    unsure: bool = False
    give_back: bool = False

    @property
    def task_id(self) -> str:
        return self.record.task.id

    @property
    def correlation_id(self) -> str:
        return self.record.task.correlation_id


@dataclass(slots=True)
class Claims:
    """Owned by the loop; `clock` is monotonic. Where `enabled` is false, tasks go straight to the backlog.

    No more is claimed than `ahead` tasks before the workers, so that one replica does not take all.
    """

    enabled: bool
    ahead: int
    journal: TaskJournal
    backlog: Backlog
    outbox: Outbox[ClaimMessage]
    claim_sender: Sender
    gate: GateSide
    pace: ReportPace
    clock: Callable[[], float]
    size_bytes: int = field(init=False, default=0)
    """Bytes of the inputs of the tasks that wait to be claimed or given back."""
    _planned: list[ClaimMessage] = field(init=False, default_factory=list)

    def __len__(self) -> int:
        return len(self.outbox)

    def order(self, tasks: Sequence[T]) -> Sequence[T]:
        """Replicas see the same page; each begins elsewhere, or all would claim the same tasks."""
        return random.sample(tasks, len(tasks)) if self.enabled else tasks

    def admit(self, record: TaskRecord) -> None:
        """A task that is new, or was left by an earlier run."""
        if not self.enabled or record.claim is Claim.HELD:
            self.backlog.add(record)
        else:
            self._add(ClaimMessage(record, unsure=record.claim is Claim.ASKED))

    def plan(self) -> None:
        """Choose what to tell the API now, and note it."""
        if not len(self.outbox) or not self.gate.allows():
            return
        room = self._room()
        most = min(1, room) if self.gate.probing else room
        allowed = self.pace.allowed()
        most = most if allowed is None else min(most, allowed)
        if self.gate.refused and most > 0:
            chosen = self.outbox.take_least_tried(self.clock())
        else:
            chosen = self.outbox.take(self.clock(), most=max(0, most))
        self.pace.sent(len(chosen))
        self.journal.note_ready(message.record.with_claim(Claim.ASKED) for message in chosen)
        self._planned.extend(chosen)

    def act(self) -> None:
        """Send what was planned. Call after the commit: a claim that is sent must be on disk."""
        planned = [message.task_id for message in self._planned]
        if not self.gate.allows():
            # A full disk held them back, and the API has fallen ill meanwhile.
            self.outbox.recall(planned)
            self._planned.clear()
        for message in self._planned:
            shape = message.record.task.shape
            self.gate.begin()
            self.claim_sender.send(message, give_back_body(shape) if message.give_back else claim_body(shape))
        self._planned.clear()

    def answered(self, task_id: str, answer: ReportAnswer) -> None:
        """The API answered a claim or its return, or did not."""
        shed = self.pace.is_refusal_for_load(answer)
        self.pace.heard(answer)
        health = Health.UNKNOWN if shed else answer.health
        again = answer.outcome in (ReportOutcome.RETRY, ReportOutcome.FOREIGN)
        cause = cause_of_report(answer, tells_output=False) if again else None
        refused = answer.refuses_any_report
        self.gate.heard(health, answer.began_at, answer.retry_after_seconds, cause, refused=refused)
        if again:
            self._again(task_id, answer, shed=shed)
        else:
            message = self.outbox.settle(task_id).message
            self.size_bytes -= message.record.task.size_bytes
            ours = answer.outcome is ReportOutcome.DONE or (
                message.unsure and answer.outcome is ReportOutcome.GONE
            )
            if ours and not message.give_back:
                record = message.record.with_claim(Claim.HELD)
                self.journal.note_ready((record,))
                self.backlog.add(record)
            else:
                self._let_go(message, answer)
        if shed or not self.gate.allows():
            self.outbox.recall(self.claim_sender.recall())

    def give_back(self) -> None:
        """For the drain: what no worker has becomes anyone's again."""
        if not self.enabled:
            return
        for message in self.outbox.take_back(lambda waiting: not waiting.give_back):
            self.size_bytes -= message.record.task.size_bytes
            if not message.unsure:
                self.journal.forget(message.task_id)
        for record in self.backlog.take_all():
            self._add(ClaimMessage(record, give_back=True))

    def next_at(self) -> float | None:
        """The next moment at which there may be something to send, unless an answer comes first."""
        if not self.gate.allows():
            return self.gate.opens_at()
        moments = [self.outbox.next_due_at, self.pace.next_at() if self._may_send() else None]
        return min((moment for moment in moments if moment is not None), default=None)

    def _add(self, message: ClaimMessage) -> None:
        self.size_bytes += message.record.task.size_bytes
        self.outbox.add(message, self.clock())

    def _room(self) -> int:
        """How many more tasks may be claimed now."""
        return self.ahead - len(self.backlog) - self.outbox.under_way

    def _may_send(self) -> bool:
        return self.outbox.sendable and self._room() > 0

    def _again(self, task_id: str, answer: ReportAnswer, *, shed: bool) -> None:
        # A gateway's answer does not say whether the API behind it has heard the claim.
        foreign = answer.outcome is ReportOutcome.FOREIGN
        unheard = foreign or answer.status is None or answer.status >= SERVER_ERRORS
        put_off = self.outbox.defer if shed else self.outbox.postpone
        put_off(
            task_id,
            self.clock(),
            answer.retry_after_seconds,
            change=lambda message: replace(message, unsure=message.unsure or unheard),
        )

    def _let_go(self, message: ClaimMessage, answer: ReportAnswer) -> None:
        if message.give_back and answer.outcome is ReportOutcome.GONE and answer.status != CONFLICT:
            return  # a gateway may have said so: the task is still ours, and left to the next start
        self.journal.forget(message.task_id)
        if answer.outcome is ReportOutcome.REJECTED:
            log.error(LogEvent.CLAIM_REJECTED, task_id=message.task_id, detail=answer.detail)
        elif not message.give_back:
            log.info(LogEvent.CLAIM_LOST, task_id=message.task_id, detail=answer.detail)
