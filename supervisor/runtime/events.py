"""What can happen to the supervisor. Threads and signals post events; the loop alone acts on them."""

import queue
import time
from dataclasses import dataclass

from shared.messages import UnitDone
from shared.models import Output


class Event:
    """Something that happened. Who posts an event defines it; the loop alone acts on it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    slot: int
    pid: int


@dataclass(frozen=True, slots=True)
class UnitFinished(Event):
    slot: int
    done: UnitDone

    @property
    def result_bytes(self) -> int:
        """So much is written to the disk in the turn that takes it."""
        outcomes = self.done.outcomes.values()
        return sum(len(outcome.value) for outcome in outcomes if isinstance(outcome, Output))


@dataclass(frozen=True, slots=True)
class WorkerDied(Event):
    """A worker process ended, holding the unit `unit_id` or nothing.

    `exit_code` is negative for a signal, None if it could not even start.
    """

    slot: int
    unit_id: int | None
    exit_code: int | None
    was_ready: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StopRequested(Event):
    pass


@dataclass(frozen=True, slots=True)
class WakeRequested(Event):
    """The wake endpoint was called: there may be new tasks."""


@dataclass(frozen=True, slots=True)
class PauseRequested(Event):
    pass


@dataclass(frozen=True, slots=True)
class ResumeRequested(Event):
    pass


@dataclass(frozen=True, slots=True)
class ThreadCrashed(Event):
    """A thread hit a fault of ours. The loop raises it again: half a service helps no one."""

    thread: str
    error: Exception


GATHER_SECONDS = 0.001
MAX_TURN_BYTES = 8 * 2**20
"""Once so many bytes of results are in a turn, it takes no further event."""


class Inbox:
    """The one way into the loop. `post` may be called from any thread and from a signal handler."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def post(self, event: Event) -> None:
        self._queue.put(event)

    def take(self, timeout_seconds: float) -> list[Event]:
        """The events that wait; waits up to the timeout for the first, and a moment for more.

        Answers come one by one. Those that come within the moment share one turn and one commit, which
        saves a sixth of the CPU of a task.
        """
        try:
            events = [self._queue.get(timeout=max(timeout_seconds, 0.0))]
        except queue.Empty:
            return []
        time.sleep(GATHER_SECONDS)
        size_bytes = _result_bytes(events[0])
        while size_bytes < MAX_TURN_BYTES and not self._queue.empty():
            events.append(self._queue.get_nowait())
            size_bytes += _result_bytes(events[-1])
        return events


def _result_bytes(event: Event) -> int:
    return event.result_bytes if isinstance(event, UnitFinished) else 0
