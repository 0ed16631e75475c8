"""A pool without processes: it writes down what it is asked to do, and does nothing."""

from collections import defaultdict
from dataclasses import dataclass, field

from shared.messages import Unit


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A unit handed to a worker."""

    slot: int
    pid: int
    unit: Unit


@dataclass(slots=True)
class FakePool:
    """A WorkerPool. The test posts the events that real workers would cause."""

    dispatched: list[Dispatch] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)
    recycled: list[tuple[int, int]] = field(default_factory=list)
    rss: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    started: bool = False
    closed: bool = False

    def start(self) -> None:
        self.started = True

    def dispatch(self, slot: int, pid: int, unit: Unit) -> None:
        self.dispatched.append(Dispatch(slot, pid, unit))

    def kill(self, slot: int) -> None:
        self.killed.append(slot)

    def recycle(self, slot: int, pid: int) -> None:
        self.recycled.append((slot, pid))

    def rss_bytes(self, slot: int) -> int:
        return self.rss[slot]

    def close(self) -> None:
        self.closed = True
