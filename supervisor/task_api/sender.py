"""Sends one kind of message to the task API: which message, when, and what an answer means for the next."""

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from shared.retry import Backoff
from supervisor.task_api.gate import CallGate
from supervisor.task_api.report_pace import ReportPace
from supervisor.task_api.responses import Health, ReportAnswer, ReportOutcome, cause_of_report

NOT_TAKEN = frozenset({ReportOutcome.RETRY, ReportOutcome.FOREIGN})
MIN_WAIT_SECONDS = 0.1
DEFERRAL_STEP_SECONDS = 0.5
MAX_DEFERRAL_SECONDS = 30.0


class PatchMessage(Protocol):
    """Something to tell the API about one task."""

    @property
    def task_id(self) -> str: ...

    @property
    def correlation_id(self) -> str: ...

    @property
    def priority(self) -> int:
        """Those of a higher one go first."""

    @property
    def tells_output(self) -> bool:
        """Its body holds an output, which an API may repeat in its answer."""


M = TypeVar("M", bound=PatchMessage)


@dataclass(frozen=True, slots=True)
class OutboxEntry(Generic[M]):
    """A message on its way. `since` is the monotonic time from which it has waited."""

    message: M
    since: float
    tries: int = 0
    waits_out_trouble: bool = False
    """It waits only because the API was in trouble when it was sent."""


class Outbox(Generic[M]):
    """Highest priority first, then oldest; a backoff for each, and a slow start after trouble.

    Owned by the loop.

    At most `window` messages are under way at once. The window falls to one when a message fails for
    the API's sake and grows by one with each that is accepted, so that an API that has just come back
    is not met by the whole backlog at once.
    """

    def __init__(self, backoff: Backoff, window: int) -> None:
        self._backoff = backoff
        self._full_window = window
        self._window = window
        self._ready: list[tuple[int, float, int, OutboxEntry[M]]] = []
        self._delayed: list[tuple[float, int, OutboxEntry[M]]] = []
        self._under_way: dict[str, OutboxEntry[M]] = {}
        self._aside: dict[str, OutboxEntry[M]] = {}
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._ready) + len(self._delayed) + len(self._under_way) + len(self._aside)

    def __iter__(self) -> Iterator[M]:
        """The messages, in no particular order."""
        others = itertools.chain(self._under_way.values(), self._aside.values())
        return (entry.message for entry in itertools.chain(self._waiting(), others))

    @property
    def to_send(self) -> int:
        """How many are under way or wait to be sent: all but those set aside."""
        return len(self) - len(self._aside)

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    @property
    def next_due_at(self) -> float | None:
        """When the next message that waits for its backoff may be tried; None if none waits."""
        return self._delayed[0][0] if self._delayed else None

    def oldest_age_seconds(self, now: float) -> float:
        """How long the oldest message has waited; 0 if none does. Asked of messages of one priority."""
        heads = [entry.since for entry in (*self._under_way.values(), *self._aside.values())]
        heads += [since for _, since, _, _ in self._ready[:1]]
        heads += [entry.since for _, _, entry in self._delayed]
        return now - min(heads, default=now)

    def add(self, message: M, since: float) -> None:
        self._put(OutboxEntry(message, since))

    @property
    def sendable(self) -> bool:
        """A message is ready to be sent, and the window has room for it."""
        return bool(self._ready) and len(self._under_way) < self._window

    def take(self, now: float, most: float = math.inf) -> list[M]:
        """The messages to send now. They are under way until `settle`, `postpone`, `defer` or `put_back`."""
        self._look_for_due(now)
        room = min(most, self._window - len(self._under_way))
        taken: list[M] = []
        while self._ready and len(taken) < room:
            taken.append(self._begin(heapq.heappop(self._ready)[3]))
        return taken

    def take_least_tried(self, now: float) -> list[M]:
        """One message, to find out if the API takes any. One that is always refused is not the first."""
        self._look_for_due(now)
        if not self.sendable:
            return []
        row = min(self._ready, key=lambda row: (row[3].tries, row[:3]))
        self._ready.remove(row)
        heapq.heapify(self._ready)
        return [self._begin(row[3])]

    def sent(self, task_id: str) -> M:
        """The message about this task that is under way."""
        return self._under_way[task_id].message

    def change(self, message: M) -> None:
        """Put this message in the place of the one about the same task that is under way."""
        entry = self._under_way[message.task_id]
        self._under_way[message.task_id] = replace(entry, message=message)

    def settle(self, task_id: str) -> OutboxEntry[M]:
        """The API has answered for good."""
        if task_id in self._aside:
            return self._aside.pop(task_id)
        self._window = min(self._window + 1, self._full_window)
        return self._under_way.pop(task_id)

    def set_aside(self, task_id: str) -> None:
        """Keep it unsent until `settle` or `send_again`."""
        entry = self._under_way.pop(task_id)
        self._aside[task_id] = replace(entry, tries=entry.tries + 1)

    def send_again(self, task_id: str, due_at: float) -> None:
        """What was set aside is to be sent."""
        heapq.heappush(self._delayed, (due_at, next(self._order), self._aside.pop(task_id)))

    def postpone(self, task_id: str, now: float, retry_after_seconds: float | None) -> None:
        """The API is in trouble: try again later, with a narrow window."""
        self._window = 1
        seconds = retry_after_seconds
        if seconds is None:
            seconds = self._backoff.seconds(self._under_way[task_id].tries + 1)
        self._delay(task_id, now, seconds, waits_out_trouble=retry_after_seconds is None)

    def defer(self, task_id: str, now: float, seconds: float | None = None) -> None:
        """Let the others go first. Without `seconds` the wait grows with each try; the window stays."""
        if seconds is None:
            tries = self._under_way[task_id].tries + 1
            seconds = min(tries * DEFERRAL_STEP_SECONDS, MAX_DEFERRAL_SECONDS)
        self._delay(task_id, now, seconds, waits_out_trouble=False)

    def retry_now(self) -> None:
        """The API's trouble is over: what waited only because of it is due now."""
        due = [row for row in self._delayed if row[2].waits_out_trouble]
        self._delayed = [row for row in self._delayed if not row[2].waits_out_trouble]
        heapq.heapify(self._delayed)
        for _, _, entry in due:
            self._put(entry)

    def put_back(self, task_ids: Iterable[str]) -> None:
        """These were taken but not sent; they wait again."""
        for task_id in task_ids:
            self._put(self._under_way.pop(task_id))

    def take_back(self, which: Callable[[M], bool]) -> list[M]:
        """Give up those of `which` that are not under way."""
        taken = [entry.message for entry in self._waiting()]
        self._ready = [row for row in self._ready if not which(row[3].message)]
        self._delayed = [row for row in self._delayed if not which(row[2].message)]
        heapq.heapify(self._ready)
        heapq.heapify(self._delayed)
        return [message for message in taken if which(message)]

    def _delay(self, task_id: str, now: float, seconds: float, *, waits_out_trouble: bool) -> None:
        entry = self._under_way.pop(task_id)
        entry = replace(entry, tries=entry.tries + 1, waits_out_trouble=waits_out_trouble)
        heapq.heappush(self._delayed, (now + max(seconds, MIN_WAIT_SECONDS), next(self._order), entry))

    def _look_for_due(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            self._put(heapq.heappop(self._delayed)[2])

    def _begin(self, entry: OutboxEntry[M]) -> M:
        self._under_way[entry.message.task_id] = entry
        return entry.message

    def _waiting(self) -> Iterator[OutboxEntry[M]]:
        ready, delayed = (row[3] for row in self._ready), (row[2] for row in self._delayed)
        return itertools.chain(ready, delayed)

    def _put(self, entry: OutboxEntry[M]) -> None:
        place = (-entry.message.priority, entry.since, next(self._order))
        heapq.heappush(self._ready, (*place, entry))


Entry = tuple[PatchMessage, bytes]
"""A message and the body that it is sent with."""


class PatchQueue(Protocol):
    """PATCHes on their way to the API, in order, a few at once. Each answer comes back as an event."""

    def put(self, entries: Sequence[Entry]) -> None: ...

    def take_back(self) -> list[str]:
        """Take back what is not begun: the ids of those tasks, in order."""


@dataclass(slots=True)
class Sender(Generic[M]):
    """One for reports and one for claims; both share the gate and the pace, which counts calls.

    Owned by the loop; `clock` is monotonic.
    """

    outbox: Outbox[M]
    queue: PatchQueue
    gate: CallGate
    pace: ReportPace
    clock: Callable[[], float]
    messages_a_call: Callable[[], int] = lambda: 1
    """How many messages the queue may put into one call."""

    def take(self, room: float = math.inf) -> list[M]:
        """The messages to send now, at most `room`. Pass each to `send`, or give it back to the outbox."""
        if not self.gate.allows():
            return []
        a_call = self.messages_a_call()
        most = min(room, 1 if self.gate.probing else self.pace.allowed() * a_call)
        if self.gate.refused:
            taken = self.outbox.take_least_tried(self.clock()) if most > 0 else []
        else:
            taken = self.outbox.take(self.clock(), most)
        self.pace.sent(math.ceil(len(taken) / a_call))
        return taken

    def send(self, entries: Sequence[tuple[M, bytes]]) -> None:
        """Hand over messages that were taken. Call after the commit: what is sent must be on disk."""
        if entries:
            self.gate.begin()
            self.queue.put(entries)

    def answered(self, task_id: str, answer: ReportAnswer, *, in_bulk: bool = False) -> bool:
        """The API answered a message, or did not. False: the message waits to be sent again.

        If True, the caller settles the message or sets it aside. What was sent `in_bulk` is answered
        together: `call_answered` tells gate and pace of it once.
        """
        shed = self.pace.is_refusal_for_load(answer)
        taken = answer.outcome not in NOT_TAKEN
        if not in_bulk:
            self.pace.on_response(answer)
            self._tell_gate(answer, shed=shed, tells_output=self.outbox.sent(task_id).tells_output)
        if not taken:
            put_off = self.outbox.defer if shed else self.outbox.postpone
            put_off(task_id, self.clock(), answer.retry_after_seconds)
        if shed or not self.gate.allows():
            self.outbox.put_back(self.queue.take_back())
        return taken

    def call_answered(self, answer: ReportAnswer, *, refused: bool) -> None:
        """A call with several messages was answered, or not. Call before its messages are answered.

        Where it was `refused` for being such a call, that says nothing of others.
        """
        if refused:
            self.gate.on_response(Health.UNKNOWN, answer.began_at, None)
        else:
            shed = self.pace.is_refusal_for_load(answer)
            self.pace.on_response(answer)
            self._tell_gate(answer, shed=shed, tells_output=True)

    def resume(self) -> None:
        """The API accepts messages again: nothing waits for its trouble any longer."""
        self.outbox.retry_now()
        self.pace.reset()

    def next_at(self, room: float = math.inf) -> float | None:
        """The next moment at which there may be something to send, unless an answer comes first."""
        if not self.gate.allows():
            return self.gate.opens_at()
        sendable = self.outbox.sendable and room > 0
        moments = [self.outbox.next_due_at, self.pace.next_at() if sendable else None]
        return min((moment for moment in moments if moment is not None), default=None)

    def _tell_gate(self, answer: ReportAnswer, *, shed: bool, tells_output: bool) -> None:
        taken = answer.outcome not in NOT_TAKEN
        self.gate.on_response(
            Health.UNKNOWN if shed else answer.health,
            answer.began_at,
            answer.retry_after_seconds,
            None if taken else cause_of_report(answer, tells_output=tells_output),
            refused=answer.is_refusal_of_all,
        )
