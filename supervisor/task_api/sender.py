"""Sends one kind of message to the task API: which message, when, and what an answer means for the next."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol

from supervisor.task_api.answers import Health, ReportAnswer, ReportOutcome
from supervisor.task_api.causes import cause_of_report
from supervisor.task_api.gate import GateSide
from supervisor.task_api.outbox import M, Message, Outbox
from supervisor.task_api.report_pace import ReportPace

NOT_TAKEN = frozenset({ReportOutcome.RETRY, ReportOutcome.FOREIGN})


class PatchQueue(Protocol):
    """PATCHes on their way to the API, in order, a few at once. Each answer comes back as an event."""

    def put(self, message: Message, body: bytes) -> None: ...

    def take_back(self) -> list[str]:
        """Take back what is not begun: the ids of those tasks, in order."""


@dataclass(slots=True)
class Sender(Generic[M]):
    """One for reports and one for claims; both share the gate and the pace. Owned by the loop.

    `clock` is monotonic.
    """

    outbox: Outbox[M]
    queue: PatchQueue
    gate: GateSide
    pace: ReportPace
    clock: Callable[[], float]

    def take(self, room: float = math.inf) -> list[M]:
        """The messages to send now, at most `room`. Pass each to `send`, or give it back to the outbox."""
        if not self.gate.allows():
            return []
        most = min(room, 1 if self.gate.probing else self.pace.allowed())
        if self.gate.refused:
            taken = self.outbox.take_least_tried(self.clock()) if most > 0 else []
        else:
            taken = self.outbox.take(self.clock(), most)
        self.pace.sent(len(taken))
        return taken

    def send(self, message: M, body: bytes) -> None:
        """Hand over a message that was taken. Call after the commit: what is sent must be on disk."""
        self.gate.begin()
        self.queue.put(message, body)

    def answered(self, task_id: str, answer: ReportAnswer) -> bool:
        """The API answered a message, or did not. False: the message waits to be sent again.

        If True, the caller settles the message or sets it aside.
        """
        shed = self.pace.is_refusal_for_load(answer)
        self.pace.heard(answer)
        taken = answer.outcome not in NOT_TAKEN
        tells_output = self.outbox.sent(task_id).tells_output
        self.gate.heard(
            Health.UNKNOWN if shed else answer.health,
            answer.began_at,
            answer.retry_after_seconds,
            None if taken else cause_of_report(answer, tells_output=tells_output),
            refused=answer.refuses_any_report,
        )
        if not taken:
            put_off = self.outbox.defer if shed else self.outbox.postpone
            put_off(task_id, self.clock(), answer.retry_after_seconds)
        if shed or not self.gate.allows():
            self.outbox.put_back(self.queue.take_back())
        return taken

    def resume(self) -> None:
        """The API accepts messages again: nothing waits for its trouble any longer."""
        self.outbox.hasten()
        self.pace.reset()

    def next_at(self, room: float = math.inf) -> float | None:
        """The next moment at which there may be something to send, unless an answer comes first."""
        if not self.gate.allows():
            return self.gate.opens_at()
        sendable = self.outbox.sendable and room > 0
        moments = [self.outbox.next_due_at, self.pace.next_at() if sendable else None]
        return min((moment for moment in moments if moment is not None), default=None)
