"""What may run next: ready tasks, pieces of split units, suspects, and those that wait for something."""

import heapq
import itertools
from bisect import insort_left, insort_right
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.messages import Failure
from shared.models import BatchKey, TextLength
from supervisor.journal.task_record import MAX_BYTES_IN_MEMORY, TaskRecord
from supervisor.pool.places import Places
from supervisor.tasks.groups import Group
from supervisor.tasks.ready_tasks import Allow, Asker, Candidate, ReadyTasks

_NONE_RUNNING: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class SetAside:
    """Tasks that failed in one unit and wait until it is known whose fault that was."""

    group: Group
    failure: Failure
    began_at: float
    provider: str
    """The one that it went to."""

    @property
    def asks_about(self) -> tuple[str, str]:
        """The provider and the model about which more must be known."""
        return self.provider, self.group[0].task.key.model


class Backlog:
    """Owned by the loop. All times are monotonic.

    ReadyTasks says in which order tasks go. Suspects, tasks that met a retry and pieces of split units have
    their place by priority as well: none goes before a task of a higher one that may go.

    Of the inputs, `max_bytes_in_memory` at most are kept: a task that comes when there is no room for its
    input is given out without it.
    """

    def __init__(self, max_bytes_in_memory: int = MAX_BYTES_IN_MEMORY) -> None:
        self._max_bytes_in_memory = max_bytes_in_memory
        self._bytes_in_memory = 0
        self._size_bytes = 0
        self._ready = ReadyTasks()
        self._suspects: list[TaskRecord] = []
        """Of higher priority first."""
        self._exclusive: list[TaskRecord] = []
        self._delayed: list[tuple[float, int, Group]] = []
        self._aside: dict[tuple[str, str], list[SetAside]] = {}
        self._keys: Counter[BatchKey] = Counter()
        self._order = itertools.count()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def size_bytes(self) -> int:
        """Bytes of all inputs that wait, be they in memory or not."""
        return self._size_bytes

    @property
    def next_due_at(self) -> float | None:
        """When the next delayed task becomes ready."""
        return self._delayed[0][0] if self._delayed else None

    @property
    def waiting(self) -> Mapping[BatchKey, int]:
        """How many tasks wait, for whatever reason, by key."""
        return self._keys

    def ready_keys(self) -> Iterable[BatchKey]:
        """The keys, some of them more than once, of tasks that wait for neither a time nor an answer."""
        suspects = (record.task.key for record in (*self._exclusive, *self._suspects))
        return itertools.chain(self.batch_keys(), suspects)

    def batch_keys(self) -> Iterable[BatchKey]:
        """Those of them that no crash is known of."""
        return self._ready.batch_keys()

    @property
    def delayed(self) -> int:
        """How many of the tasks wait for a time or an answer rather than for a worker."""
        return sum(len(group) for _, _, group in self._delayed) + self.set_aside

    @property
    def set_aside(self) -> int:
        """How many of the tasks wait until it is known whose fault their failure was."""
        return sum(len(each.group) for aside in self._aside.values() for each in aside)

    def records(self) -> Iterable[TaskRecord]:
        """Everything that waits, in no particular order."""
        yield from self._ready.records()
        yield from self._exclusive
        yield from self._suspects
        yield from itertools.chain.from_iterable(group for _, _, group in self._delayed)
        for aside in self._aside.values():
            yield from itertools.chain.from_iterable(each.group for each in aside)

    def take_all(self) -> list[TaskRecord]:
        """Empty it."""
        records = list(self.records())
        self._let_go(records)
        for kept in (self._ready, self._suspects, self._exclusive, self._delayed, self._aside):
            kept.clear()
        return records

    def remove(self, task_ids: Container[str]) -> list[TaskRecord]:
        """Take out those of the tasks that wait, for whatever reason. It takes as long as all that wait."""
        removed = [record for record in self.records() if record.task.id in task_ids]
        if not removed:
            return removed

        def kept(records: Iterable[TaskRecord]) -> Group:
            return tuple(record for record in records if record.task.id not in task_ids)

        self._ready.keep(kept)
        self._suspects = list(kept(self._suspects))
        self._exclusive = list(kept(self._exclusive))
        delayed = ((due_at, order, kept(group)) for due_at, order, group in self._delayed)
        self._delayed = [row for row in delayed if row[2]]
        heapq.heapify(self._delayed)
        for asks_about, aside in list(self._aside.items()):
            left = [replace(each, group=kept(each.group)) for each in aside]
            self._aside[asks_about] = [each for each in left if each.group]
            if not self._aside[asks_about]:
                del self._aside[asks_about]
        self._let_go(removed)
        return removed

    def add(self, record: TaskRecord) -> None:
        """The task may run now, after those that came before it."""
        self._admit(self._kept(record), at_front=False)

    def put_back(self, records: Iterable[TaskRecord]) -> None:
        """The tasks were taken but did not get their turn: they go to the front, in their order.

        Those that met a failure together stay together, so that the next one can be compared with it.
        """
        group = self._kept_group(records)
        if len(group) > 1 and any(record.setbacks for record in group):
            self._ready.add_piece(group, at_front=True)
            return
        for record in reversed(group):
            self._admit(record, at_front=True)

    def add_later(self, group: Group, due_at: float) -> None:
        """The tasks may run from `due_at` on, together."""
        heapq.heappush(self._delayed, (due_at, next(self._order), self._kept_group(group)))

    def add_split(self, group: Group) -> None:
        """A piece of a split unit: to run as it is, joined with nothing else."""
        self._ready.add_piece(self._kept_group(group))

    def add_aside(self, aside: SetAside) -> None:
        """The tasks wait, and with them all that would go to the same model there, until `take_aside`."""
        aside = replace(aside, group=self._kept_group(aside.group))
        self._aside.setdefault(aside.asks_about, []).append(aside)

    def take_aside(self, provider: str, model: str) -> list[SetAside]:
        """What waits for an answer about the provider's model; its tasks may run again."""
        aside = self._aside.pop((provider, model), [])
        for each in aside:
            self._let_go(each.group)
        return aside

    def awaited(self) -> tuple[tuple[str, str], ...]:
        """The providers and models about which an answer is awaited."""
        return tuple(self._aside)

    def aside(self, provider: str, model: str) -> Sequence[SetAside]:
        """What waits for that answer."""
        return self._aside.get((provider, model), ())

    def waits_for_answer(self, provider: str, model: str) -> bool:
        return (provider, model) in self._aside

    def wake(self, now: float) -> None:
        """Delayed tasks whose time has come become ready, ahead of younger ones."""
        due: list[Group] = []
        while self._delayed and self._delayed[0][0] <= now:
            due.append(heapq.heappop(self._delayed)[2])
        for group in reversed(due):
            self._let_go(group)
            self.put_back(group)

    def next_exclusive(self, allow: Allow) -> TaskRecord | None:
        """The task that is to run now, with nothing beside it; none while one of higher priority may go."""
        asker = Asker(allow)
        may_go = (record for record in self._exclusive if asker(record.task.key).inputs)
        record = max(may_go, key=lambda each: each.task.priority, default=None)
        if record is None:
            return None
        suspect = self._first_suspect(asker)
        candidate = self._ready.next(asker, _NONE_RUNNING)
        others = [] if suspect is None else [suspect.task.priority]
        others += [] if candidate is None else [candidate.priority]
        return record if record.task.priority >= max(others, default=record.task.priority) else None

    def take_exclusive(self, record: TaskRecord) -> None:
        """The task begins to run."""
        self._exclusive.remove(record)
        self._let_go((record,))

    def take(
        self, places: Places, allow: Allow, running: Mapping[str, int] = _NONE_RUNNING
    ) -> Iterator[tuple[int, Group]]:
        """Groups for the places that there are, each formed when asked for, and the slot that it goes to.

        Suspects run alone, and before others of their priority; while others wait only so many. The rest is
        spread over the places evenly. `allow` is asked for each group; what it does not let through waits,
        and the next is served. A group holds one task in any case. `running` is read for each group.
        """
        asker = Asker(allow)
        max_suspects = places.max_suspects if self._ready else len(places)
        suspect = self._first_suspect(asker)
        if max_suspects and not places.has_idle and _goes_first(suspect, self._ready.next(asker, running)):
            places.let_one_empty()
        while places:
            # Once there is none that may go, there is none for the rest of the turn.
            suspect = self._first_suspect(asker) if suspect is not None and places.has_idle else None
            candidate = self._ready.next(asker, running)
            if suspect is not None and (
                candidate is None or (max_suspects > 0 and _goes_first(suspect, candidate))
            ):
                max_suspects -= 1
                self._suspects.remove(suspect)
                self._ready.note_turn(suspect.task.task_type)
                self._let_go((suspect,))
                yield places.take_idle(), (suspect,)
            elif candidate is not None:
                group = self._ready.take(candidate, len(places), asker)
                self._let_go(group)
                yield places.take(), group
            else:
                return

    def _first_suspect(self, asker: Asker) -> TaskRecord | None:
        return next((record for record in self._suspects if asker(record.task.key).inputs), None)

    def _admit(self, record: TaskRecord, *, at_front: bool) -> None:
        if record.exclusive:
            self._exclusive.append(record)
        elif record.suspect:
            insort = insort_left if at_front else insort_right
            insort(self._suspects, record, key=lambda each: -each.task.priority)
        elif record.task.length is not TextLength.FITS:
            # It may be refused: then the others need no split.
            self._ready.add_piece((record,), at_front=at_front)
        else:
            self._ready.add(record, at_front=at_front)

    def _kept_group(self, records: Iterable[TaskRecord]) -> Group:
        return tuple(self._kept(record) for record in records)

    def _kept(self, record: TaskRecord) -> TaskRecord:
        """Count the task in; without its input, if there is no room for that in memory."""
        size_bytes = record.task.size_bytes
        self._size += 1
        self._keys[record.task.key] += 1
        self._size_bytes += size_bytes
        if record.has_input:
            if self._bytes_in_memory + size_bytes > self._max_bytes_in_memory:
                return record.without_input()
            self._bytes_in_memory += size_bytes
        return record

    def _let_go(self, records: Sequence[TaskRecord]) -> None:
        """Count the tasks out."""
        self._size -= len(records)
        for record in records:
            key = record.task.key
            self._keys[key] -= 1
            if not self._keys[key]:
                del self._keys[key]
            self._size_bytes -= record.task.size_bytes
            self._bytes_in_memory -= record.task.size_bytes if record.has_input else 0


def _goes_first(suspect: TaskRecord | None, candidate: Candidate | None) -> bool:
    """Suspects run before others of their priority: what they are suspected of is to be known soon."""
    if suspect is None:
        return False
    return candidate is None or suspect.task.priority >= candidate.priority
