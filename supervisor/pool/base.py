"""What the loop needs of a pool of workers. The backends in this folder are interchangeable."""

from typing import Protocol

from shared.messages import Unit


class WorkerPool(Protocol):
    """Slots numbered from 0. Events tell what happens in them: WorkerStarted, UnitFinished, WorkerDied."""

    def start(self) -> None:
        """Start a worker in each slot."""

    def dispatch(self, slot: int, pid: int, unit: Unit) -> None:
        """Give a unit to the slot's idle worker `pid`. Never blocks; dropped if that worker is gone."""

    def kill(self, slot: int) -> None:
        """End the slot's worker at once, whatever it does; another takes its place."""

    def recycle(self, slot: int, pid: int) -> None:
        """End the slot's idle worker `pid` gently; another takes its place."""

    def rss_bytes(self, slot: int) -> int:
        """The memory that the slot's worker holds now; 0 if there is none."""

    def close(self) -> None:
        """End all workers; none takes their place."""
