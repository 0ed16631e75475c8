"""Events, the inbox that brings them to the loop, and threads whose fault is an event."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from shared.errors import RAISE_PROCESS_LIMIT, ConfigurationError
from shared.plain_text import type_and_words

GATHER_SECONDS = 0.001
MAX_TURN_BYTES = 8 * 2**20
"""Once so many bytes of results are in a turn, it takes no further event."""


class Event:
    """Something that happened. Who posts an event defines it; the loop alone acts on it."""

    __slots__ = ()

    @property
    def result_bytes(self) -> int:
        """Bytes of results that the turn which takes it writes to the disk."""
        return 0


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
    """A thread hit a fault of ours. The loop raises it again and ends: half a service helps nobody."""

    thread: str
    error: Exception


class Inbox:
    """The one way into the loop. `post` may be called from any thread and from a signal handler."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def post(self, event: Event) -> None:
        self._queue.put(event)

    def take(self, timeout_seconds: float) -> list[Event]:
        """The events that wait; waits up to the timeout for the first, and a moment for more.

        Answers come one by one. Those that come within the moment share one turn and one commit.
        """
        try:
            events = [self._queue.get(timeout=max(timeout_seconds, 0.0))]
        except queue.Empty:
            return []
        time.sleep(GATHER_SECONDS)
        size_bytes = events[0].result_bytes
        while size_bytes < MAX_TURN_BYTES and not self._queue.empty():
            events.append(self._queue.get_nowait())
            size_bytes += events[-1].result_bytes
        return events


def start_thread(name: str, work: Callable[[], None], post: Callable[[Event], None]) -> threading.Thread:
    """Run `work` in a daemon thread; a fault of it reaches the loop, which ends the service.

    Raises ConfigurationError where the system starts no further thread.
    """

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  without it the service would wait for a dead thread
            # A SystemExit must not end the loop as if that was asked for.
            fault = error if isinstance(error, Exception) else RuntimeError(type_and_words(error))
            post(ThreadCrashed(name, fault))

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise ConfigurationError(
            f"the system starts no thread for {name}: {error}; {RAISE_PROCESS_LIMIT}"
        ) from error
    return thread
