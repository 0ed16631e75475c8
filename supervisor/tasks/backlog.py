"""What may run next: ready tasks, pieces of split units, suspects, and those that wait for a time."""

import heapq
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator

from shared.models import BatchKey
from shared.task_inputs import content_of
from shared.text_length import TextLength
from supervisor.journal.task_record import TaskRecord

Group = tuple[TaskRecord, ...]
Twins = list[TaskRecord]
"""Tasks that ask the same: one place in a batch, one text paid for, each reported."""
MOST_TWINS = 1000


class Backlog:
    """Owned by the loop. All times are monotonic."""

    def __init__(self) -> None:
        self._ready: OrderedDict[BatchKey, deque[Twins]] = OrderedDict()
        self._twins: dict[tuple[BatchKey, str], Twins] = {}
        self._fragments: deque[Group] = deque()
        self._suspects: deque[TaskRecord] = deque()
        self._delayed: list[tuple[float, int, TaskRecord]] = []
        self._order = itertools.count()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def next_due_at(self) -> float | None:
        """When the next delayed task becomes ready."""
        return self._delayed[0][0] if self._delayed else None

    @property
    def delayed(self) -> int:
        """How many of the tasks wait for a time rather than for a worker."""
        return len(self._delayed)

    def records(self) -> Iterable[TaskRecord]:
        """Everything that waits, in no particular order."""
        for queue in self._ready.values():
            yield from itertools.chain.from_iterable(queue)
        yield from itertools.chain.from_iterable(self._fragments)
        yield from self._suspects
        yield from (record for _, _, record in self._delayed)

    def take_all(self) -> list[TaskRecord]:
        """Empty it."""
        records = list(self.records())
        for kept in (self._ready, self._twins, self._fragments, self._suspects, self._delayed):
            kept.clear()
        self._size = 0
        return records

    def add(self, record: TaskRecord) -> None:
        """The task may run now, after those that came before it."""
        self._size += 1
        if record.suspect:
            self._suspects.append(record)
        elif record.task.length is not TextLength.FITS:
            self._fragments.append((record,))  # it may be refused: then the others need no split
        elif not self._joined_twins(record):
            self._queue(record.task.key).append(self._twins_of(record))

    def put_back(self, records: Iterable[TaskRecord]) -> None:
        """The tasks were taken but did not get their turn: they go to the front, in their order."""
        for record in reversed(list(records)):
            self._size += 1
            if record.suspect:
                self._suspects.appendleft(record)
            elif record.task.length is not TextLength.FITS:
                self._fragments.appendleft((record,))
            elif not self._joined_twins(record):
                self._queue(record.task.key).appendleft(self._twins_of(record))

    def add_later(self, record: TaskRecord, due_at: float) -> None:
        """The task may run from `due_at` on."""
        self._size += 1
        heapq.heappush(self._delayed, (due_at, next(self._order), record))

    def add_fragment(self, group: Group) -> None:
        """A piece of a split unit: to run as it is, joined with nothing else."""
        self._size += len(group)
        self._fragments.append(group)

    def wake(self, now: float) -> None:
        """Delayed tasks whose time has come become ready, ahead of younger ones."""
        due: list[TaskRecord] = []
        while self._delayed and self._delayed[0][0] <= now:
            due.append(heapq.heappop(self._delayed)[2])
        self._size -= len(due)
        self.put_back(due)

    def take(
        self, slots: int, most: int, suspects: int, most_bytes: Callable[[BatchKey], int]
    ) -> Iterator[Group]:
        """Groups for up to `slots` idle workers, of up to `most` different texts, each formed when asked for.

        Suspects run alone, no more than `suspects` of them while others wait too. The rest is spread over
        the slots evenly, batch keys in turn. A group holds no more bytes of text than `most_bytes` of its
        key allows at that moment, but one task in any case; at 0 the key has to wait.
        """
        others = bool(self._fragments or self._ready)
        alone = min(len(self._suspects), suspects if others else slots)
        sources = itertools.chain(
            itertools.repeat(self._next_suspect, alone),
            itertools.repeat(self._next_fragment, slots),
            itertools.repeat(self._next_batch, slots),
            itertools.repeat(self._next_suspect, slots),
        )
        left = slots
        for source in sources:
            if not left:
                return
            group = source(left, most, most_bytes)
            if group:
                left -= 1
                self._size -= len(group)
                yield group

    def _next_suspect(self, _slots: int, _most: int, most_bytes: Callable[[BatchKey], int]) -> Group:
        if not self._suspects or not most_bytes(self._suspects[0].task.key):
            return ()
        return (self._suspects.popleft(),)

    def _next_fragment(self, _slots: int, most: int, most_bytes: Callable[[BatchKey], int]) -> Group:
        if not self._fragments:
            return ()
        group = self._fragments.popleft()
        size = _fitting(group, most, most_bytes(group[0].task.key))
        if group[size:]:
            self._fragments.appendleft(group[size:])
        return group[:size]

    def _next_batch(self, slots: int, most: int, most_bytes: Callable[[BatchKey], int]) -> Group:
        for key in list(self._ready):
            allowed = most_bytes(key)
            if allowed:
                return self._batch(key, slots, most, allowed)
        return ()

    def _batch(self, key: BatchKey, slots: int, most: int, allowed_bytes: int) -> Group:
        queue = self._ready[key]
        share = -(-len(queue) // max(1, slots // len(self._ready)))
        size = _fitting((twins[0] for twins in queue), min(most, share), allowed_bytes)
        chosen = [queue.popleft() for _ in range(size)]
        for twins in chosen:
            self._twins.pop((key, content_of(twins[0].task) or ""), None)
        if queue:
            self._ready.move_to_end(key)
        else:
            del self._ready[key]
        return tuple(itertools.chain.from_iterable(chosen))

    def _joined_twins(self, record: TaskRecord) -> bool:
        twins = self._twins.get((record.task.key, content_of(record.task) or ""))
        if twins is None or len(twins) >= MOST_TWINS:
            return False
        twins.append(record)
        return True

    def _twins_of(self, record: TaskRecord) -> Twins:
        twins = [record]
        content = content_of(record.task)
        if content is not None:
            self._twins[record.task.key, content] = twins
        return twins

    def _queue(self, key: BatchKey) -> deque[Twins]:
        queue = self._ready.get(key)
        if queue is None:
            queue = self._ready[key] = deque()
        return queue


def _fitting(records: Iterable[TaskRecord], most: int, allowed_bytes: int) -> int:
    """How many of the first records make a unit: at least one, unless nothing is allowed."""
    if not allowed_bytes:
        return 0
    total = size = 0
    for record in itertools.islice(records, most):
        total += record.task.size_bytes
        if total > allowed_bytes and size:
            break
        size += 1
    return size
