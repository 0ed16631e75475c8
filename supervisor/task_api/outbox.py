"""What the API has yet to be told: which message goes next, and when to try again."""

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from shared.retry import Backoff

MIN_WAIT_SECONDS = 0.1
DEFERRAL_STEP_SECONDS = 0.5
MAX_DEFERRAL_SECONDS = 30.0


class Message(Protocol):
    """Something to tell the API about one task."""

    @property
    def task_id(self) -> str: ...

    @property
    def correlation_id(self) -> str: ...


M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class OutboxEntry(Generic[M]):
    """A message on its way. `since` is the monotonic time from which it has waited."""

    message: M
    since: float
    tries: int = 0
    waits_out_trouble: bool = False
    """It waits only because the API was in trouble when it was sent."""


class Outbox(Generic[M]):
    """Oldest first, a backoff for each message, and a slow start after trouble. Owned by the loop.

    At most `window` messages are under way at once. The window falls to one when a message fails for
    the API's sake and grows by one with each that is accepted, so that an API that has just come back
    is not met by the whole backlog at once.
    """

    def __init__(self, backoff: Backoff, window: int) -> None:
        self._backoff = backoff
        self._full_window = window
        self._window = window
        self._ready: list[tuple[float, int, OutboxEntry[M]]] = []
        self._delayed: list[tuple[float, int, OutboxEntry[M]]] = []
        self._under_way: dict[str, OutboxEntry[M]] = {}
        self._aside: dict[str, OutboxEntry[M]] = {}
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._ready) + len(self._delayed) + len(self._under_way) + len(self._aside)

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
        """How long the oldest message has waited; 0 if none does."""
        heads = [letter.since for letter in (*self._under_way.values(), *self._aside.values())]
        heads += [since for since, _, _ in self._ready[:1]]
        heads += [letter.since for _, _, letter in self._delayed]
        return now - min(heads, default=now)

    def add(self, message: M, since: float) -> None:
        self._put(OutboxEntry(message, since))

    @property
    def sendable(self) -> bool:
        """A message is ready to be sent, and the window has room for it."""
        return bool(self._ready) and len(self._under_way) < self._window

    def take(self, now: float, most: int | None = None) -> list[M]:
        """The messages to send now. They are under way until `settle`, `postpone`, `defer` or `recall`."""
        self._look_for_due(now)
        room = self._window - len(self._under_way)
        taken: list[M] = []
        while self._ready and len(taken) < (room if most is None else min(room, most)):
            taken.append(self._begin(heapq.heappop(self._ready)[2]))
        return taken

    def take_least_tried(self, now: float) -> list[M]:
        """One message, to find out if the API takes any. One that is always refused is not the first."""
        self._look_for_due(now)
        if not self.sendable:
            return []
        row = min(self._ready, key=lambda row: (row[2].tries, row[0], row[1]))
        self._ready.remove(row)
        heapq.heapify(self._ready)
        return [self._begin(row[2])]

    def sent(self, task_id: str) -> M:
        """The message about this task that is under way."""
        return self._under_way[task_id].message

    def settle(self, task_id: str) -> OutboxEntry[M]:
        """The API has answered for good."""
        if task_id in self._aside:
            return self._aside.pop(task_id)
        self._window = min(self._window + 1, self._full_window)
        return self._under_way.pop(task_id)

    def set_aside(self, task_id: str) -> OutboxEntry[M]:
        """Keep it unsent until `settle` or `send_again`."""
        letter = self._under_way.pop(task_id)
        letter = self._aside[task_id] = replace(letter, tries=letter.tries + 1)
        return letter

    def send_again(self, task_id: str, due_at: float) -> None:
        """What was set aside is to be sent."""
        heapq.heappush(self._delayed, (due_at, next(self._order), self._aside.pop(task_id)))

    def postpone(
        self,
        task_id: str,
        now: float,
        retry_after_seconds: float | None,
        change: Callable[[M], M] = lambda message: message,
    ) -> OutboxEntry[M]:
        """The API is in trouble. Try again later, with the message as `change` makes it."""
        self._window = 1
        return self._delay(task_id, now, retry_after_seconds, retry_after_seconds is None, change)

    def defer(
        self,
        task_id: str,
        now: float,
        seconds: float | None = None,
        change: Callable[[M], M] = lambda message: message,
    ) -> OutboxEntry[M]:
        """Let the others go first; the window stays as it is. Not said, the wait grows with each try."""
        if seconds is None:
            tries = self._under_way[task_id].tries + 1
            seconds = min(tries * DEFERRAL_STEP_SECONDS, MAX_DEFERRAL_SECONDS)
        return self._delay(task_id, now, seconds, False, change)

    def hasten(self) -> None:
        """The API's trouble is over: what waited only because of it is due now."""
        due = [row for row in self._delayed if row[2].waits_out_trouble]
        self._delayed = [row for row in self._delayed if not row[2].waits_out_trouble]
        heapq.heapify(self._delayed)
        for _, _, letter in due:
            self._put(letter)

    def recall(self, task_ids: Iterable[str]) -> None:
        """These were handed over but not sent; they wait again."""
        for task_id in task_ids:
            self._put(self._under_way.pop(task_id))

    def take_back(self, which: Callable[[M], bool]) -> list[M]:
        """Give up those of `which` that are not under way."""
        taken = [row[2].message for row in itertools.chain(self._ready, self._delayed)]
        self._ready = [row for row in self._ready if not which(row[2].message)]
        self._delayed = [row for row in self._delayed if not which(row[2].message)]
        heapq.heapify(self._ready)
        heapq.heapify(self._delayed)
        return [message for message in taken if which(message)]

    def _delay(
        self,
        task_id: str,
        now: float,
        seconds: float | None,
        waits_out_trouble: bool,
        change: Callable[[M], M],
    ) -> OutboxEntry[M]:
        letter = self._under_way.pop(task_id)
        letter = replace(
            letter,
            message=change(letter.message),
            tries=letter.tries + 1,
            waits_out_trouble=waits_out_trouble,
        )
        if seconds is None:
            seconds = self._backoff.seconds(letter.tries)
        heapq.heappush(self._delayed, (now + max(seconds, MIN_WAIT_SECONDS), next(self._order), letter))
        return letter

    def _look_for_due(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            self._put(heapq.heappop(self._delayed)[2])

    def _begin(self, letter: OutboxEntry[M]) -> M:
        self._under_way[letter.message.task_id] = letter
        return letter.message

    def _put(self, letter: OutboxEntry[M]) -> None:
        heapq.heappush(self._ready, (letter.since, next(self._order), letter))
