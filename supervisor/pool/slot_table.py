"""Which slot holds which units, as the loop knows it from events."""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from shared.messages import Failure, Unit
from shared.models import Output
from supervisor.journal.task_record import TaskRecord
from supervisor.pool.places import Free, Places
from supervisor.status.status import SlotState


@dataclass(frozen=True, slots=True)
class Assignment:
    """A unit that a worker holds. Times are monotonic."""

    unit: Unit
    records: tuple[TaskRecord, ...]
    """The tasks that are not brought to an end."""
    started_at: float
    deadline: float = float("inf")
    """Set when the unit is handed over. On a full disk that is long after it was formed."""
    outcomes: Mapping[str, Output | Failure] = field(default_factory=dict)
    """Of its tasks that is known already, and decided upon at the unit's end."""
    ended: int = 0
    """How many tasks were brought to an end while the unit went on."""
    served: tuple[TaskRecord, ...] = ()
    """Those of them that the provider served."""
    tokens: int = 0
    """Billed for these."""

    @property
    def is_canary(self) -> bool:
        """The unit asks a question of our own and holds no task."""
        return not self.records and not self.ended

    @property
    def is_suspect(self) -> bool:
        """A suspect is the only task of its unit, so the first one tells."""
        return bool(self.records) and self.records[0].suspect

    @property
    def is_exclusive(self) -> bool:
        return bool(self.records) and self.records[0].exclusive


@dataclass(slots=True)
class Slot:
    """One slot, with room for one worker, as the loop sees it."""

    threads: int = 1
    """How many units its worker may hold."""
    state: SlotState = SlotState.STARTING
    since: float = 0.0
    pid: int | None = None
    assignments: dict[int, Assignment] = field(default_factory=dict)
    """What its worker holds, by the number of the unit."""
    tasks_done: int = 0
    restarts: int = 0
    failed_starts: int = 0
    rss_bytes: int = 0
    overrun: frozenset[int] = frozenset()
    """The units that ran past their deadline, so that the worker is killed."""
    overrun_seconds: float = 0.0
    """How long these might have run."""
    suspects: int = 0
    """How many of its units hold a suspect."""

    def task_types(self, unit_ids: Iterable[int]) -> list[str]:
        """Of the units named, which the worker holds."""
        return sorted({self.assignments[unit_id].unit.key.task_type for unit_id in unit_ids})

    @property
    def timed_out(self) -> bool:
        return bool(self.overrun)

    @property
    def tasks_held(self) -> int:
        return sum(len(assignment.records) for assignment in self.assignments.values())

    @property
    def runs_suspect(self) -> bool:
        return self.suspects > 0

    @property
    def takes_units(self) -> bool:
        """Not where the worker runs a suspect, is killed, or is to be replaced."""
        is_ready = self.state in (SlotState.IDLE, SlotState.BUSY)
        return is_ready and not self.timed_out and not self.runs_suspect

    @property
    def room(self) -> int:
        """How many more units its worker may be given."""
        return self.threads - len(self.assignments) if self.takes_units else 0


class SlotTable:
    """Owned by the loop. All times are monotonic.

    There is room for `units` in all, `threads` of them in one worker. What the loop asks each turn is counted
    as it changes: there may be hundreds of units.
    """

    def __init__(self, units: int, now: float, threads: int = 1) -> None:
        rooms = [min(threads, units - first) for first in range(0, units, threads)]
        self._slots = [Slot(room, since=now) for room in rooms]
        self._calls: Counter[tuple[str, str]] = Counter()
        self._types: Counter[str] = Counter()
        self._exclusive = 0
        self._deadlines: list[tuple[float, int, int]] = []

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def __getitem__(self, slot: int) -> Slot:
        return self._slots[slot]

    def with_room(self) -> list[int]:
        """The slots whose worker may be given a unit."""
        return [number for number, slot in enumerate(self._slots) if slot.room]

    def busy(self) -> list[int]:
        """The slots whose worker holds a unit."""
        return [number for number, slot in enumerate(self._slots) if slot.assignments]

    def places(self) -> Places:
        """The room that there is now."""
        workers = [
            Free(number, len(slot.assignments), slot.room)
            for number, slot in enumerate(self._slots)
            if slot.takes_units
        ]
        return Places(workers, self._room_for_suspects())

    def assignments(self) -> Iterator[Assignment]:
        """All that workers hold."""
        for slot in self._slots:
            yield from slot.assignments.values()

    def tasks_in_flight(self) -> int:
        return sum(slot.tasks_held for slot in self._slots)

    def tasks_by_provider(self) -> Mapping[str, int]:
        """The same by the provider that they went to."""
        tasks: Counter[str] = Counter()
        for assignment in self.assignments():
            tasks[assignment.unit.provider] += len(assignment.records)
        return tasks

    def calls_under_way(self, provider: str, model: str) -> int:
        """How many units that went to the provider for the model workers hold."""
        return self._calls[provider, model]

    def units_by_type(self) -> Counter[str]:
        """How many units of each task type workers hold."""
        return self._types.copy()

    def runs_exclusive(self) -> bool:
        """Does a task run that nothing may run beside?"""
        return self._exclusive > 0

    def overdue(self, now: float) -> list[int]:
        """Slots with a unit past its deadline whose worker was not killed for it yet."""
        deadline = self.next_deadline()
        if deadline is None or deadline > now:
            return []
        return [
            number
            for number, slot in enumerate(self._slots)
            if not slot.timed_out and any(each.deadline <= now for each in slot.assignments.values())
        ]

    def next_deadline(self) -> float | None:
        """The soonest of a unit whose worker is not being killed; None where no unit has one."""
        while self._deadlines:
            deadline, slot, unit_id = self._deadlines[0]
            if not self._slots[slot].timed_out and self.holds(slot, unit_id) is not None:
                return deadline
            heapq.heappop(self._deadlines)
        return None

    def started(self, slot: int, pid: int, now: float) -> None:
        row = self._slots[slot]
        row.state, row.since, row.pid = SlotState.IDLE, now, pid
        row.tasks_done = row.failed_starts = 0

    def assign(self, slot: int, assignment: Assignment) -> None:
        row = self._slots[slot]
        row.assignments[assignment.unit.id] = assignment
        self._count(row, assignment, 1)
        self._note_deadline(slot, assignment)
        self._note_state(row, assignment.started_at)

    def begin(self, slot: int, unit_id: int, deadline: float) -> None:
        """The unit is handed over now."""
        if (assignment := self.holds(slot, unit_id)) is not None:
            begun = self._slots[slot].assignments[unit_id] = replace(assignment, deadline=deadline)
            self._note_deadline(slot, begun)

    def holds(self, slot: int, unit_id: int) -> Assignment | None:
        """The unit, if the slot holds it."""
        return self._slots[slot].assignments.get(unit_id)

    def progressed(self, slot: int, rest: Assignment) -> None:
        """Some tasks of a unit of the slot are brought to an end; `rest` is what is held of it now."""
        row = self._slots[slot]
        if (before := self.holds(slot, rest.unit.id)) is not None:
            row.tasks_done += len(before.records) - len(rest.records)
            self._count(row, before, -1)
            self._count(row, rest, 1)
            row.assignments[rest.unit.id] = rest

    def finished(self, slot: int, unit_id: int, now: float) -> Assignment | None:
        """The worker answered. None if the answer is not to a unit that the slot holds."""
        row = self._slots[slot]
        assignment = row.assignments.pop(unit_id, None)
        if assignment is not None:
            row.tasks_done += len(assignment.records)
            self._count(row, assignment, -1)
            self._note_state(row, now)
        return assignment

    def killed(self, slot: int, now: float) -> None:
        """The slot's worker is killed for what is past its deadline."""
        row = self._slots[slot]
        overdue = [each.unit for each in row.assignments.values() if each.deadline <= now]
        row.overrun = frozenset(unit.id for unit in overdue)
        row.overrun_seconds = max((unit.timeout_seconds for unit in overdue), default=0.0)

    def recycling(self, slot: int, now: float) -> None:
        """The worker gets no more units, and goes when it holds none."""
        row = self._slots[slot]
        row.state, row.since = SlotState.RECYCLING, now

    def died(self, slot: int, *, was_ready: bool, now: float) -> list[Assignment]:
        """The worker is gone; what it held is handed back."""
        row = self._slots[slot]
        held = list(row.assignments.values())
        for assignment in held:
            self._count(row, assignment, -1)
        row.assignments.clear()
        row.state, row.since, row.pid, row.overrun = SlotState.STARTING, now, None, frozenset()
        row.restarts += 1
        row.rss_bytes = 0
        row.failed_starts += 0 if was_ready else 1
        return held

    def _room_for_suspects(self) -> int:
        """How many more suspects may run while other tasks wait: they get half of the workers."""
        suspects = sum(slot.runs_suspect for slot in self._slots)
        return max(0, max(1, len(self._slots) // 2) - suspects)

    def _note_deadline(self, slot: int, assignment: Assignment) -> None:
        if math.isfinite(assignment.deadline):
            heapq.heappush(self._deadlines, (assignment.deadline, slot, assignment.unit.id))

    def _count(self, row: Slot, assignment: Assignment, by: int) -> None:
        unit = assignment.unit
        self._calls[unit.provider, unit.key.model] += by
        if not self._calls[unit.provider, unit.key.model]:
            del self._calls[unit.provider, unit.key.model]
        self._types[unit.key.task_type] += by
        self._exclusive += by * assignment.is_exclusive
        row.suspects += by * assignment.is_suspect

    def _note_state(self, row: Slot, now: float) -> None:
        """A worker is busy since its oldest unit began, which is the first."""
        if row.state is SlotState.RECYCLING:
            return
        row.state = SlotState.BUSY if row.assignments else SlotState.IDLE
        row.since = next((each.started_at for each in row.assignments.values()), now)
