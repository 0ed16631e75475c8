"""Finished tasks that the API has not yet been told of: which to report next, and when to try again."""

import heapq
import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from shared.retry import Backoff
from supervisor.task_record import Report


@dataclass(frozen=True, slots=True)
class Letter:
    """A report on its way. `since` is the monotonic time at which the task was finished."""

    report: Report
    since: float
    tries: int = 0


class Outbox:
    """Oldest first, a backoff for each report, and a slow start after trouble. Owned by the loop.

    At most `window` reports are under way at once. The window falls to one when a report fails for
    the API's sake and grows by one with each that is accepted, so that an API that has just come back
    is not met by the whole backlog at once.
    """

    def __init__(self, backoff: Backoff, window: int) -> None:
        self._backoff = backoff
        self._full_window = window
        self._window = window
        self._ready: deque[Letter] = deque()
        self._delayed: list[tuple[float, int, Letter]] = []
        self._under_way: dict[str, Letter] = {}
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._ready) + len(self._delayed) + len(self._under_way)

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    @property
    def next_due_at(self) -> float | None:
        """When the next report that waits for its backoff may be tried; None if none waits."""
        return self._delayed[0][0] if self._delayed else None

    def oldest_age_seconds(self, now: float) -> float:
        """How long the oldest report has waited; 0 if none does."""
        heads: list[Letter] = [*self._under_way.values(), *itertools.islice(self._ready, 1)]
        heads.extend(letter for _, _, letter in self._delayed)
        return max((now - letter.since for letter in heads), default=0.0)

    def add(self, report: Report, since: float) -> None:
        self._ready.append(Letter(report, since))

    def take(self, now: float, most: int | None = None) -> list[Report]:
        """The reports to send now. They are under way until `settle`, `postpone` or `recall`."""
        while self._delayed and self._delayed[0][0] <= now:
            self._ready.appendleft(heapq.heappop(self._delayed)[2])
        room = self._window - len(self._under_way)
        taken: list[Report] = []
        while self._ready and len(taken) < (room if most is None else min(room, most)):
            letter = self._ready.popleft()
            self._under_way[letter.report.task_id] = letter
            taken.append(letter.report)
        return taken

    def settle(self, task_id: str) -> Letter:
        """The API has answered for good."""
        self._window = min(self._window + 1, self._full_window)
        return self._under_way.pop(task_id)

    def postpone(self, task_id: str, now: float, retry_after_seconds: float | None) -> None:
        """Try again later."""
        letter = self._under_way.pop(task_id)
        letter = replace(letter, tries=letter.tries + 1)
        seconds = (
            retry_after_seconds if retry_after_seconds is not None else self._backoff.seconds(letter.tries)
        )
        self._window = 1
        heapq.heappush(self._delayed, (now + seconds, next(self._order), letter))

    def recall(self, task_ids: Iterable[str]) -> None:
        """These were handed over but not sent; they wait at the front again."""
        for task_id in reversed(list(task_ids)):
            self._ready.appendleft(self._under_way.pop(task_id))
