"""The supervisor on fakes, where whatever it sends out is checked against the disk, and where it can die."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from shared.messages import Unit
from shared.models import INPUTS_DIRECTORY, Task
from shared.settings import Settings
from supervisor.loop import Supervisor
from supervisor.task_api.responses import PollRequest
from supervisor.task_api.sender import Entry
from tests.builders import make_task, text_in
from tests.fakes.api import HeldPatches, HeldPoller
from tests.fakes.clock import Clock
from tests.fakes.disk import Disk
from tests.fakes.harness import Harness
from tests.fakes.pool import FakePool
from tests.model.fuse import Fuse, Place
from tests.model.model_workers import tasks_of


@dataclass(frozen=True, slots=True)
class Row:
    """A task as it stands on the disk."""

    state: str
    claim: str
    body: bytes | None


Look = Callable[[str], Row | None]
Alive = Callable[[int, int], bool]
"""Does the worker of this slot with this pid still live?"""


BYTES_OF_TWO_INPUTS = 20
"""Little enough that tasks wait on disk while others wait in memory."""


class WatchedHarness(Harness):
    """`on_disk` looks at the journal's file through a connection of its own: it sees commits only."""

    def __init__(
        self, settings: Settings, path: Path, clock: Clock, fuse: Fuse, on_disk: Look, alive: Alive
    ) -> None:
        self._fuse = fuse
        self._on_disk = on_disk
        self._alive = alive
        self._inputs = path.with_name(INPUTS_DIRECTORY)
        disk = FusedDisk(path, fuse)
        super().__init__(settings, path, clock, max_bytes_in_memory=BYTES_OF_TWO_INPUTS, disk=disk)

    def _compose(self) -> Supervisor:
        self.disk.execute("PRAGMA synchronous = OFF")  # the machine itself does not die here
        self.pool = WatchedPool(self._fuse, self._on_disk, self._alive, self._drains, self._inputs)
        self.poller = FusedPoller(self._fuse)
        self.report_queue = WatchedPatches(
            "finished", self._on_disk, self._fuse, Place.BEFORE_REPORT, Place.AFTER_REPORT
        )
        self.claim_queue = WatchedPatches(
            "ready", self._on_disk, self._fuse, Place.BEFORE_CLAIM, Place.AFTER_CLAIM
        )
        return super()._compose()

    def _drains(self) -> bool:
        return self.supervisor.state.draining

    def abandon(self) -> None:
        """What is left of a dead process: the file, without what was not committed."""
        self.journal.close()


class FusedDisk(Disk):
    """The commit is where the supervisor can die."""

    def __init__(self, path: Path, fuse: Fuse) -> None:
        super().__init__(path)
        self._fuse = fuse

    def commit(self) -> None:
        self._fuse.pass_by(Place.BEFORE_COMMIT)
        super().commit()
        self._fuse.pass_by(Place.AFTER_COMMIT)


class WatchedPool(FakePool):
    """What goes to a worker must stand on the disk as running; what goes to a dead one is dropped."""

    def __init__(
        self, fuse: Fuse, on_disk: Look, alive: Alive, drains: Callable[[], bool], inputs: Path
    ) -> None:
        super().__init__()
        self._inputs = inputs
        self._fuse = fuse
        self._on_disk = on_disk
        self._alive = alive
        self._drains = drains

    def dispatch(self, slot: int, pid: int, unit: Unit) -> None:
        for task in tasks_of(unit):
            text = text_in(task.with_input(self._input_of(task)))
            assert text == text_in(make_task(task.id)), f"{task.id} was dispatched with {text}"
        for task in tasks_of(unit) if self._alive(slot, pid) else ():
            row = self._on_disk(task.id)
            assert row is not None, f"{task.id} was dispatched without a row on disk"
            # Once the service is told to stop, what it still hands over counts as ready.
            assert row.state == "running" or self._drains(), f"{task.id} was dispatched as {row}"
        self._fuse.pass_by(Place.BEFORE_DISPATCH)
        super().dispatch(slot, pid, unit)
        self._fuse.pass_by(Place.AFTER_DISPATCH)

    def _input_of(self, task: Task) -> object:
        """As the worker reads it."""
        place = task.input_place
        if place is None:
            return task.input
        data = (self._inputs / place.file).read_bytes()
        return orjson.loads(data[place.start : place.start + place.length])


class FusedPoller(HeldPoller):
    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._fuse = fuse

    def poll(self, request: PollRequest) -> None:
        self._fuse.pass_by(Place.BEFORE_POLL)
        super().poll(request)


class WatchedPatches(HeldPatches):
    """What goes to the API must stand on the disk in the state `wanted`."""

    def __init__(self, wanted: str, on_disk: Look, fuse: Fuse, before: Place, after: Place) -> None:
        super().__init__()
        self._wanted = wanted
        self._on_disk = on_disk
        self._fuse = fuse
        self._before = before
        self._after = after

    def put(self, entries: Sequence[Entry]) -> None:
        for message, body in entries:
            row = self._on_disk(message.task_id)
            assert row is not None, f"the API is told of {message.task_id}, which has no row on disk"
            assert row.state == self._wanted, f"the API is told of {message.task_id}, which is {row} on disk"
            assert row.state != "finished" or row.body == body, (
                f"{message.task_id}: another body than on disk"
            )
            self._fuse.pass_by(self._before)
            super().put([(message, body)])
            self._fuse.pass_by(self._after)
