"""For several replicas: tells the API that a task is ours before work starts, and gives back what is left.

A claim is noted before it is sent. Where its answer was lost, a later 409 or 404 counts as our own claim: a
task run twice is better than a task that nobody runs. An API with leases knows whose a task is, and gives it
to its owner again: there a 409 means another replica.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from shared.logs import LogEvent, get_logger
from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import Claim, TaskRecord
from supervisor.task_api.responses import ReportAnswer, ReportOutcome
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

    @property
    def priority(self) -> int:
        return self.record.task.priority

    @property
    def tells_output(self) -> bool:
        return False

    @property
    def body(self) -> bytes:
        shape = self.record.task.shape
        return give_back_body(shape) if self.give_back else claim_body(shape)


@dataclass(slots=True)
class Claims:
    """Owned by the loop; `clock` is monotonic. Where `enabled` is false, tasks go straight to the backlog.

    At most `ahead` claimed tasks wait for the workers, so that one replica does not take all. `draw` is as in
    Backoff.
    """

    enabled: bool
    ahead: int
    journal: TaskJournal
    backlog: Backlog
    sender: Sender[ClaimMessage]
    knows_owners: Callable[[], bool]
    """Does the API know which replica has a task?"""
    clock: Callable[[], float]
    draw: Callable[[float, float], float]
    size_bytes: int = field(init=False, default=0)
    """Bytes of the inputs of the tasks that wait to be claimed or given back."""
    _planned: list[ClaimMessage] = field(init=False, default_factory=list)

    def __len__(self) -> int:
        return len(self.sender.outbox)

    def waiting(self, task_type: str) -> int:
        """How many tasks of the type wait to be claimed or to run."""
        unclaimed = sum(message.record.task.task_type == task_type for message in self.sender.outbox)
        to_run = sum(tasks for key, tasks in self.backlog.waiting.items() if key.task_type == task_type)
        return unclaimed + to_run

    def order(self, tasks: Sequence[T]) -> Sequence[T]:
        """In an order of our own: replicas see the same page, and would all claim the same tasks."""
        return sorted(tasks, key=lambda _: self.draw(0.0, 1.0)) if self.enabled else tasks

    def admit(self, record: TaskRecord) -> None:
        """A task that is new, or was left by an earlier run."""
        if not self.enabled or record.claim is Claim.HELD:
            self.backlog.add(record)
        else:
            self._add(ClaimMessage(record, unsure=record.claim is Claim.ASKED))

    def plan(self) -> None:
        """Choose what to tell the API now, and note it."""
        chosen = self.sender.take(self._room())
        self.journal.note_ready(message.record.with_claim(Claim.ASKED) for message in chosen)
        self._planned.extend(chosen)

    def act(self) -> None:
        """Send what was planned. Call after the commit: a claim that is sent must be on disk."""
        planned, self._planned = self._planned, []
        if not self.sender.gate.allows():
            # A full disk held them back, and the API has been in trouble since.
            self.sender.outbox.put_back(message.task_id for message in planned)
            return
        self.sender.send([(message, message.body) for message in planned])

    def answered(self, task_id: str, answer: ReportAnswer) -> None:
        """The API answered a claim or its return, or did not."""
        if _may_have_been_heard(answer):
            self.sender.outbox.change(replace(self.sender.outbox.sent(task_id), unsure=True))
        if not self.sender.answered(task_id, answer):
            return
        message = self.sender.outbox.settle(task_id).message
        self.size_bytes -= message.record.task.size_bytes
        is_conflict = answer.status == CONFLICT and self.knows_owners()
        ours = answer.outcome is ReportOutcome.DONE or (
            message.unsure and answer.outcome is ReportOutcome.GONE and not is_conflict
        )
        if ours and not message.give_back:
            record = message.record.with_claim(Claim.HELD)
            self.journal.note_ready((record,))
            self.backlog.add(record)
        else:
            self._let_go(message, answer)

    def give_back(self) -> None:
        """In a drain: give back the tasks that no worker has."""
        if not self.enabled:
            return
        for message in self.sender.outbox.take_back(lambda waiting: not waiting.give_back):
            self.size_bytes -= message.record.task.size_bytes
            if not message.unsure:
                self.journal.forget(message.task_id)
        for record in self.backlog.take_all():
            self._add(ClaimMessage(record, give_back=True))

    def next_at(self) -> float | None:
        """The next moment at which there may be something to send, unless an answer comes first."""
        return self.sender.next_at(self._room())

    def _add(self, message: ClaimMessage) -> None:
        self.size_bytes += message.record.task.size_bytes
        self.sender.outbox.add(message, self.clock())

    def _room(self) -> int:
        """How many more tasks may be claimed now."""
        return self.ahead - len(self.backlog) - self.sender.outbox.under_way

    def _let_go(self, message: ClaimMessage, answer: ReportAnswer) -> None:
        if message.give_back and answer.outcome is ReportOutcome.GONE and answer.status != CONFLICT:
            return  # a gateway may have said so: the task is still ours, and the next start takes it up
        self.journal.forget(message.task_id)
        if answer.outcome is ReportOutcome.REJECTED:
            log.error(LogEvent.CLAIM_REJECTED, task_id=message.task_id, detail=answer.detail)
        elif not message.give_back:
            log.info(LogEvent.CLAIM_LOST, task_id=message.task_id, detail=answer.detail)


def _may_have_been_heard(answer: ReportAnswer) -> bool:
    """The claim was not taken, but the API may have heard it: a gateway's answer does not say."""
    lost = answer.outcome is ReportOutcome.RETRY and (answer.status is None or answer.status >= SERVER_ERRORS)
    return lost or answer.outcome is ReportOutcome.FOREIGN
