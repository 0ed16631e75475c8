"""Sends outcomes on while their unit still runs, so that a worker's death costs only what is not done."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from shared.messages import Failure, UnitProgress
from shared.models import Output, Task
from workers.process.redaction import outcomes_with_shown_words
from workers.process.threads import start_thread

GATHER_SECONDS = 0.05
"""How long an outcome waits for others, so that a fast unit is still answered by one message."""


class Progress:
    """The outcomes of running units that were not sent yet. May be used from several threads.

    A thread of its own sends them. It starts with the first outcome. `send` raises OSError when the
    supervisor is gone.
    """

    def __init__(self, send: Callable[[UnitProgress], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[Sequence[Task], dict[str, Output | Failure]]] = {}
        self._has_some = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, unit_id: int, tasks: Sequence[Task], task_id: str, outcome: Output | Failure) -> None:
        """One of the unit's `tasks` is done."""
        with self._lock:
            _, outcomes = self._waiting.setdefault(unit_id, (tasks, {}))
            outcomes[task_id] = outcome
            if self._thread is None:
                self._thread = start_thread("progress", self._keep_sending)
        self._has_some.set()

    def take(self, unit_id: int) -> Mapping[str, Output | Failure]:
        """What was not sent of the unit, which is over. What was sent is on its way before this returns."""
        with self._lock:
            return self._waiting.pop(unit_id, ((), {}))[1]

    def send_rest(self, unit_id: int) -> None:
        """Send what was not sent of the unit."""
        with self._lock:
            self._send_one(unit_id)

    def _keep_sending(self) -> None:
        while self._has_some.wait():
            time.sleep(GATHER_SECONDS)
            self._has_some.clear()
            with self._lock:
                try:
                    for unit_id in list(self._waiting):
                        self._send_one(unit_id)
                except OSError:
                    return  # the supervisor is gone, and this process ends with it

    def _send_one(self, unit_id: int) -> None:
        tasks, outcomes = self._waiting.pop(unit_id, ((), {}))
        if outcomes:
            self._send(UnitProgress(unit_id, outcomes_with_shown_words(outcomes, tasks)))
