"""What may run next: ready tasks, pieces of split units, suspects, and those that wait for something."""

import heapq
import itertools
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.messages import Failure
from shared.models import BatchKey, TextLength
from supervisor.journal.task_record import MAX_BYTES_IN_MEMORY, TaskRecord
from supervisor.pool.places import Places
from supervisor.providers.model_limits import Allowance

Group = tuple[TaskRecord, ...]
Allow = Callable[[BatchKey], Allowance]
"""How large a unit of this key may be at this moment; nothing of it may go out at 0 inputs."""
Duplicates = list[TaskRecord]
"""Tasks that ask the same: one place in a batch, one text paid for, each reported."""
MAX_DUPLICATES = 250
"""Of one text, and in a unit beside its inputs: each has a result, and a unit's are written in one turn."""


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

    Of the inputs, `max_bytes_in_memory` at most are kept: a task that comes when there is no room for its
    input is given out without it.
    """

    def __init__(self, max_bytes_in_memory: int = MAX_BYTES_IN_MEMORY) -> None:
        self._max_bytes_in_memory = max_bytes_in_memory
        self._bytes_in_memory = 0
        self._size_bytes = 0
        self._ready: OrderedDict[BatchKey, deque[Duplicates]] = OrderedDict()
        self._duplicates: dict[tuple[BatchKey, str], Duplicates] = {}
        self._split: deque[Group] = deque()
        self._suspects: deque[TaskRecord] = deque()
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
        return itertools.chain(
            self.batch_keys(), (record.task.key for record in (*self._exclusive, *self._suspects))
        )

    def batch_keys(self) -> Iterable[BatchKey]:
        """Those of them that no crash is known of."""
        return itertools.chain(self._ready, (group[0].task.key for group in self._split))

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
        for queue in self._ready.values():
            yield from itertools.chain.from_iterable(queue)
        yield from itertools.chain.from_iterable(self._split)
        yield from self._exclusive
        yield from self._suspects
        yield from itertools.chain.from_iterable(group for _, _, group in self._delayed)
        for aside in self._aside.values():
            yield from itertools.chain.from_iterable(each.group for each in aside)

    def take_all(self) -> list[TaskRecord]:
        """Empty it."""
        records = list(self.records())
        self._let_go(records)
        for kept in (
            self._ready,
            self._duplicates,
            self._split,
            self._suspects,
            self._exclusive,
            self._delayed,
            self._aside,
        ):
            kept.clear()
        return records

    def add(self, record: TaskRecord) -> None:
        """The task may run now, after those that came before it."""
        record = self._kept(record)
        if record.exclusive:
            self._exclusive.append(record)
        elif record.suspect:
            self._suspects.append(record)
        elif record.task.length is not TextLength.FITS:
            self._split.append((record,))  # it may be refused: then the others need no split
        elif not self._joined_duplicates(record):
            self._queue(record.task.key).append(self._duplicates_of(record))

    def put_back(self, records: Iterable[TaskRecord]) -> None:
        """The tasks were taken but did not get their turn: they go to the front, in their order.

        Those that met a failure together stay together, so that the next one can be compared with it.
        """
        group = self._kept_group(records)
        if len(group) > 1 and any(record.setbacks for record in group):
            self._split.appendleft(group)
            return
        for record in reversed(group):
            if record.exclusive:
                self._exclusive.append(record)
            elif record.suspect:
                self._suspects.appendleft(record)
            elif record.task.length is not TextLength.FITS:
                self._split.appendleft((record,))
            elif not self._joined_duplicates(record):
                self._queue(record.task.key).appendleft(self._duplicates_of(record))

    def add_later(self, group: Group, due_at: float) -> None:
        """The tasks may run from `due_at` on, together."""
        heapq.heappush(self._delayed, (due_at, next(self._order), self._kept_group(group)))

    def add_split(self, group: Group) -> None:
        """A piece of a split unit: to run as it is, joined with nothing else."""
        self._split.append(self._kept_group(group))

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
        """The task that is to run now, with nothing beside it."""
        return next((record for record in self._exclusive if allow(record.task.key).inputs), None)

    def take_exclusive(self, record: TaskRecord) -> None:
        """The task begins to run."""
        self._exclusive.remove(record)
        self._let_go((record,))

    def take(self, places: Places, allow: Allow) -> Iterator[tuple[int, Group]]:
        """Groups for the places that there are, each formed when asked for, and the slot that it goes to.

        Suspects run alone, while others wait too only so many. The rest is spread over the places evenly,
        batch keys in turn. `allow` is asked for each group; what it does not let through waits, and the next
        is served. A group holds one task in any case.
        """
        others = bool(self._split or self._ready)
        if others and places.max_suspects and not places.has_idle and self._find_suspect(allow) is not None:
            places.let_one_empty()
        first = min(len(self._suspects), places.max_suspects) if others else 0
        sources = itertools.chain(
            itertools.repeat(self._next_suspect, first),
            itertools.repeat(self._next_split, len(places)),
            itertools.repeat(self._next_batch, len(places)),
            itertools.repeat(self._next_suspect, len(places)),
        )
        empty = None
        for source in sources:
            if not places:
                return
            is_alone = source == self._next_suspect
            # What a source may not give now it may not give to the next slot either.
            if source == empty or (is_alone and not places.has_idle):
                continue
            group = source(len(places), allow)
            if not group:
                empty = source
            else:
                self._let_go(group)
                yield places.take_idle() if is_alone else places.take(), group

    def _next_suspect(self, _places: int, allow: Allow) -> Group:
        position = self._find_suspect(allow)
        if position is None:
            return ()
        record = self._suspects[position]
        del self._suspects[position]
        return (record,)

    def _find_suspect(self, allow: Allow) -> int | None:
        """Where the first suspect is that may run now."""
        refused: set[BatchKey] = set()
        for position, record in enumerate(self._suspects):
            key = record.task.key
            if key in refused:
                continue
            if allow(key).inputs:
                return position
            refused.add(key)
        return None

    def _next_split(self, _places: int, allow: Allow) -> Group:
        refused: set[BatchKey] = set()
        for place, group in enumerate(self._split):
            key = group[0].task.key
            if key in refused:
                continue
            allowed = allow(key)
            if not allowed.inputs:
                refused.add(key)
            else:
                del self._split[place]
                inputs = inputs_of(group)
                size = _fitting(inputs, allowed)
                if rest := joined(inputs[size:]):
                    self._split.appendleft(rest)
                return joined(inputs[:size])
        return ()

    def _next_batch(self, places: int, allow: Allow) -> Group:
        may_go = ((key, allowed) for key in self._ready if (allowed := allow(key)).inputs)
        first = next(may_go, None)
        if first is None:
            return ()
        keys = 1 + sum(1 for _ in itertools.islice(may_go, places))
        return self._batch(*first, places_a_key=max(1, places // keys))

    def _batch(self, key: BatchKey, allowed: Allowance, places_a_key: int) -> Group:
        queue = self._ready[key]
        share = -(-len(queue) // places_a_key)
        inputs = min(allowed.inputs, share)
        size = _fitting(queue, replace(allowed, inputs=inputs))
        chosen = [queue.popleft() for _ in range(size)]
        for duplicates in chosen:
            self._duplicates.pop((key, duplicates[0].task.question), None)
        if queue:
            self._ready.move_to_end(key)
        else:
            del self._ready[key]
        return tuple(itertools.chain.from_iterable(chosen))

    def _joined_duplicates(self, record: TaskRecord) -> bool:
        duplicates = self._duplicates.get((record.task.key, record.task.question))
        if duplicates is None or len(duplicates) >= MAX_DUPLICATES:
            return False
        duplicates.append(record)
        return True

    def _duplicates_of(self, record: TaskRecord) -> Duplicates:
        duplicates = self._duplicates[record.task.key, record.task.question] = [record]
        return duplicates

    def _queue(self, key: BatchKey) -> deque[Duplicates]:
        queue = self._ready.get(key)
        if queue is None:
            queue = self._ready[key] = deque()
        return queue

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


def halves(group: Group) -> tuple[Group, Group]:
    """The group in two, tasks that ask the same together."""
    inputs = inputs_of(group)
    middle = len(inputs) // 2
    return joined(inputs[:middle]), joined(inputs[middle:])


def inputs_of(group: Group) -> list[list[TaskRecord]]:
    """The different inputs of the group, each with the tasks that ask it."""
    inputs: dict[str, list[TaskRecord]] = {}
    for record in group:
        inputs.setdefault(record.task.question, []).append(record)
    return list(inputs.values())


def joined(inputs: Iterable[list[TaskRecord]]) -> Group:
    return tuple(itertools.chain.from_iterable(inputs))


def _fitting(inputs: Iterable[Duplicates], allowed: Allowance) -> int:
    """How many of the first inputs make a unit: at least one."""
    size_bytes = tasks = size = 0
    for duplicates in itertools.islice(inputs, allowed.inputs):
        size_bytes += duplicates[0].task.size_bytes
        tasks += len(duplicates)
        too_many = tasks > size + 1 + MAX_DUPLICATES
        if size and (size_bytes > allowed.size_bytes or too_many):
            break
        size += 1
    return size
