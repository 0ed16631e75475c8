"""What the threads of a pool have told, and waiting for it."""

from typing import TypeVar

from supervisor.pool.base import UnitFinished, UnitProgressed, WorkerDied, WorkerStarted
from supervisor.runtime.events import Event
from tests.eventually import eventually

PATIENCE_SECONDS = 20.0

Kind = TypeVar("Kind", WorkerStarted, WorkerDied, UnitProgressed, UnitFinished)


class EventLog:
    """Give `post` to a pool in place of the loop's inbox."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def post(self, event: Event) -> None:
        self.events.append(event)

    def all(self, kind: type[Kind], slot: int | None = None) -> list[Kind]:
        return [
            event
            for event in list(self.events)
            if isinstance(event, kind) and (slot is None or event.slot == slot)
        ]

    def wait(self, kind: type[Kind], count: int = 1, slot: int | None = None) -> Kind:
        """The event of this kind that makes `count` of them."""
        eventually(
            lambda: len(self.all(kind, slot)) >= count,
            PATIENCE_SECONDS,
            f"{count} {kind.__name__} of slot {slot}; there is {self.events}",
        )
        return self.all(kind, slot)[count - 1]

    def pid(self, slot: int, start: int = 1) -> int:
        """The process of the slot's `start`th worker, once it is ready."""
        return self.wait(WorkerStarted, start, slot).pid
