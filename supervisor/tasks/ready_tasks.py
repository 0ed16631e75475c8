"""The tasks that may run now: which go next, by priority, by task type and by batch key."""

import itertools
from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from shared.models import BatchKey
from supervisor.journal.task_record import TaskRecord
from supervisor.providers.model_limits import NOTHING, Allowance
from supervisor.tasks.groups import (
    MAX_DUPLICATES,
    Duplicates,
    Group,
    fitting,
    inputs_of,
    joined,
    priority_of,
)

Allow = Callable[[BatchKey], Allowance]
"""How large a unit of this key may be at this moment; nothing of it may go out at 0 inputs."""


class Asker:
    """Asks `allow` for the length of one turn. A key that may not go now may not go later in the turn."""

    def __init__(self, allow: Allow) -> None:
        self._allow = allow
        self._refused: set[BatchKey] = set()
        self._allowed: set[BatchKey] = set()

    def __call__(self, key: BatchKey) -> Allowance:
        if key in self._refused:
            return NOTHING
        allowed = self._allow(key)
        (self._allowed if allowed.inputs else self._refused).add(key)
        return allowed

    def may_go(self, key: BatchKey) -> bool:
        """By the last answer, if there was one in this turn."""
        if key in self._refused:
            return False
        return key in self._allowed or bool(self(key).inputs)


@dataclass(frozen=True, slots=True)
class Candidate:
    """The tasks that are next."""

    priority: int
    key: BatchKey
    allowed: Allowance
    is_piece: bool


class KeyQueue:
    """The tasks of one batch key, higher priority first. Those that ask the same at one priority are one."""

    def __init__(self) -> None:
        self._by_priority: dict[int, deque[Duplicates]] = {}
        self._priorities: list[int] = []
        """In ascending order, so that the highest is dropped at little cost."""
        self._duplicates: dict[tuple[int, str], Duplicates] = {}
        self._inputs = 0

    def __len__(self) -> int:
        """How many different inputs there are."""
        return self._inputs

    def __iter__(self) -> Iterator[Duplicates]:
        for priority in reversed(self._priorities):
            yield from self._by_priority[priority]

    @property
    def priority(self) -> int:
        """The highest."""
        return self._priorities[-1]

    def add(self, record: TaskRecord, *, at_front: bool) -> None:
        priority, question = record.task.priority, record.task.question
        same = self._duplicates.get((priority, question))
        if same is not None and len(same) < MAX_DUPLICATES:
            same.append(record)
            return
        queue = self._by_priority.get(priority)
        if queue is None:
            queue = self._by_priority[priority] = deque()
            insort(self._priorities, priority)
        same = self._duplicates[priority, question] = [record]
        queue.appendleft(same) if at_front else queue.append(same)
        self._inputs += 1

    def take(self, allowed: Allowance) -> Group:
        return joined([self._pop() for _ in range(fitting(self, allowed))])

    def _pop(self) -> Duplicates:
        priority = self.priority
        queue = self._by_priority[priority]
        same = queue.popleft()
        self._duplicates.pop((priority, same[0].task.question), None)
        self._inputs -= 1
        if not queue:
            del self._by_priority[priority]
            self._priorities.pop()
        return same


@dataclass(slots=True)
class _Lane:
    """The work of one task type at one priority; keys take turns."""

    pieces: OrderedDict[BatchKey, deque[Group]] = field(default_factory=OrderedDict)
    keys: OrderedDict[BatchKey, None] = field(default_factory=OrderedDict)
    """Those whose highest priority this is."""

    def next(self, asker: Asker) -> tuple[BatchKey, Allowance, bool] | None:
        """Pieces first: they are older, and an answer about them may be awaited."""
        for is_piece, keys in ((True, self.pieces), (False, self.keys)):
            for key in keys:
                if (allowed := asker(key)).inputs:
                    return key, allowed, is_piece
        return None


class ReadyTasks:
    """Tasks that may run now, and pieces of units that were split. Owned by the loop.

    Higher priority goes first, for pieces as for any task. At one priority that type is next which has the
    fewest units under way, and of these the one whose last turn is longest ago: so a flood of one type, or
    slow units of one, leave the others their share of the workers. Within a type its batch keys take turns.
    What may not go now is passed over.

    A unit is filled from its batch key, whatever the priority: the call is made in any case. The tasks of
    higher priority come first in it.
    """

    def __init__(self) -> None:
        self._keys: dict[BatchKey, KeyQueue] = {}
        self._lanes: dict[int, dict[str, _Lane]] = {}
        self._priorities: list[int] = []
        """Of the lanes, in ascending order."""
        self._turns: dict[str, int] = {}
        self._turn_numbers = itertools.count(1)

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def batch_keys(self) -> Iterator[BatchKey]:
        """The keys, some of them more than once."""
        yield from self._keys
        for lane in self._all_lanes():
            yield from lane.pieces

    def records(self) -> Iterator[TaskRecord]:
        for queue in self._keys.values():
            yield from itertools.chain.from_iterable(queue)
        for lane in self._all_lanes():
            for pieces in lane.pieces.values():
                yield from itertools.chain.from_iterable(pieces)

    def clear(self) -> None:
        self._keys.clear()
        self._lanes.clear()
        self._priorities.clear()

    def keep(self, kept: Callable[[Iterable[TaskRecord]], Group]) -> None:
        """Only those that are `kept`, each at its place."""
        groups = [group for lane in self._all_lanes() for pieces in lane.pieces.values() for group in pieces]
        records = [record for queue in self._keys.values() for same in queue for record in same]
        self.clear()
        for record in kept(records):
            self.add(record)
        for group in groups:
            if left := kept(group):
                self.add_piece(left)

    def add(self, record: TaskRecord, *, at_front: bool = False) -> None:
        key = record.task.key
        queue = self._keys.get(key)
        before = None if queue is None else queue.priority
        if queue is None:
            queue = self._keys[key] = KeyQueue()
        queue.add(record, at_front=at_front)
        if queue.priority != before:
            self._lane(queue.priority, key).keys[key] = None
            if before is not None:
                del self._lane(before, key).keys[key]
                self._drop_if_empty(before, key)

    def add_piece(self, group: Group, *, at_front: bool = False) -> None:
        """To run as it is, joined with nothing else. It counts with the highest priority of its tasks."""
        key = group[0].task.key
        pieces = self._lane(priority_of(group), key).pieces.setdefault(key, deque())
        pieces.appendleft(group) if at_front else pieces.append(group)

    def next(self, asker: Asker, running: Mapping[str, int]) -> Candidate | None:
        """What goes next; None where nothing may. `running` is how many units of each type are under way."""
        for priority in reversed(self._priorities):
            lanes = self._lanes[priority]
            for task_type in self._in_turn(lanes, running):
                if (found := lanes[task_type].next(asker)) is not None:
                    return Candidate(priority, *found)
        return None

    def take(self, candidate: Candidate, places: int, asker: Asker) -> Group:
        """A unit of what goes next. With so many `places` left it holds no more than its share."""
        self.note_turn(candidate.key.task_type)
        if candidate.is_piece:
            return self._take_piece(candidate)
        return self._take_batch(candidate, places, asker)

    def note_turn(self, task_type: str) -> None:
        """A unit of the type goes out."""
        self._turns[task_type] = next(self._turn_numbers)

    def _in_turn(self, types: Iterable[str], running: Mapping[str, int]) -> list[str]:
        return sorted(types, key=lambda name: (running.get(name, 0), self._turns.get(name, 0)))

    def _take_piece(self, candidate: Candidate) -> Group:
        key = candidate.key
        lane = self._lane(candidate.priority, key)
        pieces = lane.pieces[key]
        inputs = inputs_of(pieces.popleft())
        if pieces:
            lane.pieces.move_to_end(key)
        else:
            del lane.pieces[key]
            self._drop_if_empty(candidate.priority, key)
        size = fitting(inputs, candidate.allowed)
        if rest := joined(inputs[size:]):
            self.add_piece(rest, at_front=True)
        return joined(inputs[:size])

    def _take_batch(self, candidate: Candidate, places: int, asker: Asker) -> Group:
        key, allowed = candidate.key, candidate.allowed
        queue = self._keys[key]
        if allowed.inputs > 1:
            allowed = replace(allowed, inputs=min(allowed.inputs, self._share(key, places, asker)))
        group = queue.take(allowed)
        lane = self._lane(candidate.priority, key)
        if queue and queue.priority == candidate.priority:
            lane.keys.move_to_end(key)
            return group
        del lane.keys[key]
        self._drop_if_empty(candidate.priority, key)
        if queue:
            self._lane(queue.priority, key).keys[key] = None
        else:
            del self._keys[key]
        return group

    def _share(self, key: BatchKey, places: int, asker: Asker) -> int:
        """How many inputs a unit of the key may hold, so that the keys that may go fill the places evenly."""
        others = (other for other in self._keys if other != key and asker.may_go(other))
        keys = 1 + sum(1 for _ in itertools.islice(others, places))
        return -(-len(self._keys[key]) // max(1, places // keys))

    def _all_lanes(self) -> Iterator[_Lane]:
        return itertools.chain.from_iterable(lanes.values() for lanes in self._lanes.values())

    def _lane(self, priority: int, key: BatchKey) -> _Lane:
        lanes = self._lanes.get(priority)
        if lanes is None:
            lanes = self._lanes[priority] = {}
            insort(self._priorities, priority)
        lane = lanes.get(key.task_type)
        if lane is None:
            lane = lanes[key.task_type] = _Lane()
        return lane

    def _drop_if_empty(self, priority: int, key: BatchKey) -> None:
        lanes = self._lanes[priority]
        lane = lanes[key.task_type]
        if lane.keys or lane.pieces:
            return
        del lanes[key.task_type]
        if not lanes:
            del self._lanes[priority]
            del self._priorities[bisect_left(self._priorities, priority)]
