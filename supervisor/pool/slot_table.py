"""Which slot holds which unit, as the loop knows it from events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from shared.messages import Failure, Unit
from shared.models import Output
from supervisor.journal.task_record import TaskRecord
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


@dataclass(slots=True)
class Slot:
    """One slot as the loop sees it."""

    state: SlotState = SlotState.STARTING
    since: float = 0.0
    pid: int | None = None
    assignment: Assignment | None = None
    tasks_done: int = 0
    restarts: int = 0
    failed_starts: int = 0
    rss_bytes: int = 0
    timed_out: bool = False


class SlotTable:
    """Owned by the loop. All times are monotonic."""

    def __init__(self, slots: int, now: float) -> None:
        self._slots = [Slot(since=now) for _ in range(slots)]

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def __getitem__(self, slot: int) -> Slot:
        return self._slots[slot]

    def idle(self) -> list[int]:
        return [number for number, slot in enumerate(self._slots) if slot.state is SlotState.IDLE]

    def busy(self) -> list[int]:
        return [number for number, slot in enumerate(self._slots) if slot.state is SlotState.BUSY]

    def tasks_in_flight(self) -> int:
        return sum(len(slot.assignment.records) for slot in self._slots if slot.assignment)

    def calls_under_way(self, provider: str, model: str) -> int:
        """How many units that went to the provider for the model workers hold."""
        units = (slot.assignment.unit for slot in self._slots if slot.assignment)
        return sum(unit.key.model == model and unit.provider == provider for unit in units)

    def room_for_suspects(self) -> int:
        """How many more suspects may run while other tasks wait: they get half of the slots."""
        held = [slot.assignment.records for slot in self._slots if slot.assignment]
        suspects = sum(records[0].suspect for records in held if records)
        return max(0, max(1, len(self._slots) // 2) - suspects)

    def runs_exclusive(self) -> bool:
        """Does a task run that nothing may run beside?"""
        return any(
            record.exclusive for slot in self._slots if slot.assignment for record in slot.assignment.records
        )

    def overdue(self, now: float) -> list[int]:
        """Slots whose unit has run past its deadline and whose worker was not killed for it yet."""
        return [
            number for number in self.busy() if not self[number].timed_out and self._deadline(number) <= now
        ]

    def next_deadline(self) -> float | None:
        return min(
            (self._deadline(number) for number in self.busy() if not self[number].timed_out), default=None
        )

    def started(self, slot: int, pid: int, now: float) -> None:
        row = self._slots[slot]
        row.state, row.since, row.pid = SlotState.IDLE, now, pid
        row.tasks_done = row.failed_starts = 0

    def assign(self, slot: int, assignment: Assignment) -> None:
        row = self._slots[slot]
        row.state, row.since, row.assignment = SlotState.BUSY, assignment.started_at, assignment

    def age_seconds(self, slot: int, now: float) -> float:
        """How long the slot has been in its state."""
        return now - self._slots[slot].since

    def begin(self, slot: int, deadline: float) -> None:
        """The slot's unit is handed over now."""
        row = self._slots[slot]
        if row.assignment is not None:
            row.assignment = replace(row.assignment, deadline=deadline)

    def holds(self, slot: int, unit_id: int) -> Assignment | None:
        """The unit, if the slot holds it."""
        assignment = self._slots[slot].assignment
        return assignment if assignment is not None and assignment.unit.id == unit_id else None

    def progressed(self, slot: int, rest: Assignment) -> None:
        """Some tasks of the slot's unit are brought to an end; `rest` is what the slot holds now."""
        row = self._slots[slot]
        if row.assignment is not None:
            row.tasks_done += len(row.assignment.records) - len(rest.records)
            row.assignment = rest

    def finished(self, slot: int, unit_id: int, now: float) -> Assignment | None:
        """The worker answered. None if the answer is not to the unit that the slot holds."""
        row = self._slots[slot]
        assignment = row.assignment
        if assignment is None or assignment.unit.id != unit_id:
            return None
        row.assignment, row.timed_out = None, False
        row.tasks_done += len(assignment.records)
        row.state, row.since = SlotState.IDLE, now
        return assignment

    def recycling(self, slot: int, now: float) -> None:
        row = self._slots[slot]
        row.state, row.since = SlotState.RECYCLING, now

    def died(self, slot: int, *, was_ready: bool, now: float) -> Assignment | None:
        """The worker is gone; what it held is handed back."""
        row = self._slots[slot]
        assignment, row.assignment = row.assignment, None
        row.state, row.since, row.pid, row.timed_out = SlotState.STARTING, now, None, False
        row.restarts += 1
        row.rss_bytes = 0
        row.failed_starts += 0 if was_ready else 1
        return assignment

    def _deadline(self, slot: int) -> float:
        assignment = self._slots[slot].assignment
        return assignment.deadline if assignment else float("inf")
