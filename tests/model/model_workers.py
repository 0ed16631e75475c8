"""The workers' own truth: who is alive, and what each was really given."""

import itertools
from collections import defaultdict, deque
from dataclasses import dataclass, field

from shared.messages import Unit
from shared.models import Task
from supervisor.pool.base import WorkerDied, WorkerStarted
from tests.fakes.pool import FakePool


@dataclass(slots=True)
class ModelWorker:
    pid: int
    units: dict[int, Unit] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    """Tasks of its units whose outcome it has sent."""


def tasks_of(unit: Unit) -> list[Task]:
    """The unit's tasks; none for a canary, which the API does not know."""
    return [task for task in unit.tasks if not task.id.startswith("canary-")]


class ModelWorkers:
    """One in each slot at most. Orders wait in a queue until the slot hears them, as with real slots."""

    def __init__(self, slots: int, threads: int) -> None:
        self.slots = slots
        self._threads = threads
        self.alive: dict[int, ModelWorker] = {}
        self.to_kill: set[int] = set()
        self._orders: defaultdict[int, deque[tuple[int, Unit | None]]] = defaultdict(deque)
        self._pids = itertools.count(100)

    def take_orders(self, pool: FakePool) -> None:
        """Queue up what the pool was asked for since the last time."""
        for dispatch in pool.dispatched:
            self._orders[dispatch.slot].append((dispatch.pid, dispatch.unit))
        for slot, pid in pool.recycled:
            self._orders[slot].append((pid, None))
        self.to_kill.update(pool.killed)
        for asked in (pool.dispatched, pool.recycled, pool.killed):
            asked.clear()

    def missing(self) -> list[int]:
        return [slot for slot in range(self.slots) if slot not in self.alive]

    def is_alive(self, slot: int, pid: int) -> bool:
        return slot in self.alive and self.alive[slot].pid == pid

    def start(self, slot: int) -> WorkerStarted:
        self.alive[slot] = ModelWorker(next(self._pids))
        return WorkerStarted(slot, self.alive[slot].pid)

    def hear(self, slot: int) -> WorkerDied | None:
        """The slot hears its orders; WorkerDied if one of them was to go."""
        worker = self.alive[slot]
        while self._orders[slot]:
            pid, unit = self._orders[slot].popleft()
            if pid != worker.pid:
                continue
            if unit is None:
                assert not worker.units, f"slot {slot} was let go with {worker.units}"
                return self.die(slot, 0)
            worker.units[unit.id] = unit
            worker.ended.difference_update(task.id for task in unit.tasks)
            assert len(worker.units) <= self._threads, f"slot {slot} was given one unit too many"
        return None

    def die(self, slot: int, exit_code: int | None = -9) -> WorkerDied:
        worker = self.alive.pop(slot)
        self.to_kill.discard(slot)
        return WorkerDied(slot, tuple(worker.units), exit_code, was_ready=True)

    def end_some(self, slot: int, count: int, which: int = 0) -> tuple[Unit, list[str]]:
        """The worker is done with so many tasks of a unit; the unit, and which tasks they are."""
        worker = self.alive[slot]
        unit = self._unit(worker, which)
        ended = self._open_ids(worker, unit)[:count]
        worker.ended.update(ended)
        return unit, ended

    def answer(self, slot: int, which: int = 0) -> tuple[Unit, list[str]]:
        """The worker is done with a unit: the unit, and the tasks whose outcome it has not sent yet."""
        worker = self.alive[slot]
        unit = worker.units.pop(self._unit(worker, which).id)
        return unit, self._open_ids(worker, unit)

    def _unit(self, worker: ModelWorker, which: int) -> Unit:
        """One of those that it has, chosen by any number."""
        return list(worker.units.values())[which % len(worker.units)]

    def _open_ids(self, worker: ModelWorker, unit: Unit) -> list[str]:
        return [task.id for task in unit.tasks if task.id not in worker.ended]

    def busy(self) -> list[int]:
        return [slot for slot, worker in self.alive.items() if worker.units]

    def held_by(self, slot: int) -> list[str]:
        """The ids of the tasks that this worker has now."""
        worker = self.alive.get(slot)
        tasks = [task for unit in worker.units.values() for task in tasks_of(unit)] if worker else []
        return [task.id for task in tasks if worker is None or task.id not in worker.ended]

    def held(self) -> list[str]:
        """The ids of all tasks that workers have now."""
        return [task_id for slot in self.alive for task_id in self.held_by(slot)]
