"""What the loop needs of a pool of workers, whichever it is, and the events that a pool posts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from shared.messages import Failure, Unit, UnitDone, UnitProgress
from shared.models import Output
from supervisor.runtime.events import Event


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """A worker is ready for its first unit. `pid` is a number that no other worker of the pool has now."""

    slot: int
    pid: int
    where: str = ""
    """The machine, where it may be another than this one."""


@dataclass(frozen=True, slots=True)
class WorkersAwaited(Event):
    """Workers cannot be started now, through no fault of theirs, and why; without a reason they can again."""

    reason: str


@dataclass(frozen=True, slots=True)
class UnitProgressed(Event):
    """Some tasks of a unit have their outcome, and the unit goes on."""

    slot: int
    progress: UnitProgress

    @property
    def result_bytes(self) -> int:
        return _result_bytes(self.progress.outcomes)


@dataclass(frozen=True, slots=True)
class UnitFinished(Event):
    slot: int
    done: UnitDone

    @property
    def result_bytes(self) -> int:
        return _result_bytes(self.done.outcomes)


@dataclass(frozen=True, slots=True)
class WorkerDied(Event):
    """A worker process ended, holding the units `unit_ids`.

    Units of the slot that are not among them had no part in it: they never reached the worker, or all
    workers went at once with what they ran on. `exit_code` is negative for a signal, None if it could not
    even start or is not known; then there is a reason.
    """

    slot: int
    unit_ids: tuple[int, ...]
    exit_code: int | None
    was_ready: bool
    reason: str = ""


class WorkerPool(Protocol):
    """Slots numbered from 0, each with one worker or none. A worker may hold several units."""

    def start(self) -> None:
        """Start a worker in each slot."""

    def dispatch(self, slot: int, pid: int, unit: Unit) -> None:
        """Give a unit to the slot's worker `pid`. Never blocks; dropped if that worker is gone."""

    def kill(self, slot: int) -> None:
        """End the slot's worker at once, whatever it does; another takes its place."""

    def recycle(self, slot: int, pid: int) -> None:
        """End the slot's idle worker `pid` gently; another takes its place."""

    def rss_bytes(self, slot: int) -> int:
        """The memory that the slot's worker holds now; 0 if there is none."""

    def close(self) -> None:
        """End all workers; none takes their place."""


def _result_bytes(outcomes: Mapping[str, Output | Failure]) -> int:
    return sum(len(outcome.value) for outcome in outcomes.values() if isinstance(outcome, Output))
