"""A worker as an actor on another machine: the same worker, its units and answers brought by calls.

It knows no Ray: whoever makes an actor of it calls its methods, each from a thread of its own.
"""

import functools
import hashlib
import os
import pickle
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import psutil

from shared.errors import ConfigurationError
from shared.logs import configure_logs
from shared.messages import Unit, UnitDone, UnitProgress, WorkerUnfit
from shared.metric_changes import Changes, MetricChanges, note_metric_changes
from shared.models import InputPlace
from shared.version import VERSION
from workers.config import WorkerConfig
from workers.factory import ProcessorSpec
from workers.plugins import PluginError, import_class
from workers.process.pipe import PICKLE_PROTOCOL
from workers.process.threads import start_thread

MAX_ANSWER_BYTES = 8 * 2**20
"""Once so much is in one answer, further messages wait for the next, unless a single one is larger."""
FINISH_SECONDS = 2.0
CODE = ("shared", "workers")
"""What both sides must have alike: messages are pickled."""
SAME_CODE = "put the same image, or the same checkout at the same path, on every node"
CHECKOUT = Path(__file__).resolve().parents[2]

Inputs = Mapping[InputPlace, bytes | str]
"""The JSON of inputs that are in files of the supervisor, or why one could not be read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker has to say: messages, each pickled, and what it counted since the last answer."""

    messages: tuple[bytes, ...]
    finished: tuple[int, ...]
    """The units that are done with these."""
    changes: Changes
    rss_bytes: int


class WorkerActor:
    """One worker. `where` names the machine it is on.

    `start` comes first. `give` and `next_answer` may run at the same time, one call of each.
    """

    def __init__(self, where: Callable[[], str]) -> None:
        self._where = where
        self._units: queue.SimpleQueue[tuple[bytes, Inputs] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[UnitProgress | UnitDone] = queue.SimpleQueue()
        self._given = threading.local()
        """The inputs of the unit that a thread has taken."""
        self._changes: MetricChanges
        self._thread: threading.Thread
        self._close: Callable[[], None]

    def hello(self) -> str:
        """Where it is. The first sign of life."""
        return self._where()

    def start(self, slot: int, fingerprint: str, config: bytes) -> WorkerUnfit | None:
        """Load what the worker needs; why it is of no use here, or None when it waits for units.

        The keys of providers come with this call. They are no argument of the actor's making, which the
        cluster's head would keep.
        """
        if fingerprint != code_fingerprint():
            return WorkerUnfit(
                f"the service's code on the Ray node {self._where()} (version {VERSION}) is not that of the"
                f" supervisor; {SAME_CODE}"
            )
        settings = cast("WorkerConfig", pickle.loads(config))  # noqa: S301  pickled by our supervisor
        if missing := _missing(settings.processors):
            return WorkerUnfit(f"the Ray node {self._where()} lacks {missing}; {SAME_CODE}")
        # With numpy, which the bridge does not need.
        from workers.process.equipment import Equipment  # noqa: PLC0415

        configure_logs(settings.log_level, settings.log_format, f"worker-{slot}")
        self._changes = note_metric_changes()
        try:
            equipment = Equipment.from_config(settings)
        except ConfigurationError as error:
            return WorkerUnfit(str(error))
        worker = equipment.worker(self._receive, self._answers.put, self._read_input)
        self._close = equipment.close
        self._thread = start_thread("worker", worker.run)
        return None

    def give(self, unit: bytes, inputs: Inputs) -> None:
        """A unit, pickled, with its inputs that are in files."""
        self._units.put((unit, inputs))

    def next_answer(self) -> Answer:
        """Wait for messages of the worker. Whoever waits here sees at once when the actor dies."""
        messages: list[bytes] = []
        finished: list[int] = []
        size_bytes = 0
        while not messages or (size_bytes < MAX_ANSWER_BYTES and not self._answers.empty()):
            message = self._answers.get()
            messages.append(pickle.dumps(message, PICKLE_PROTOCOL))
            size_bytes += len(messages[-1])
            if isinstance(message, UnitDone):
                finished.append(message.unit_id)
        rss_bytes = int(psutil.Process().memory_info().rss)
        return Answer(tuple(messages), tuple(finished), self._changes.take(), rss_bytes)

    def finish(self) -> None:
        """End the worker gently, once it holds no unit; returns when it has ended, or after 2 s."""
        self._units.put(None)
        self._thread.join(FINISH_SECONDS)
        self._close()

    def _receive(self) -> Unit | None:
        given = self._units.get()
        if given is None:
            self._units.put(None)  # for the other threads
            return None
        unit, self._given.inputs = given
        return cast("Unit", pickle.loads(unit))  # noqa: S301  pickled by our supervisor

    def _read_input(self, place: InputPlace) -> bytes:
        """Raises OSError."""
        found = cast("Inputs", self._given.inputs)[place]
        if isinstance(found, str):
            raise OSError(found)
        return found


def _missing(processors: Iterable[ProcessorSpec]) -> str:
    """The first task type that cannot be loaded here, and why: a unit of it could not even be unpickled."""
    for spec in processors:
        try:
            import_class(spec.source.path)
        except PluginError as error:
            return f"the processor of {spec.task_type}: {error}"
    return ""


@functools.cache
def code_fingerprint() -> str:
    """Equal where the code of workers is the same, whatever the version says."""
    digest = hashlib.sha256()
    for package in CODE:
        for path in sorted((CHECKOUT / package).rglob("*.py")):
            digest.update(os.fsencode(path.relative_to(CHECKOUT)))
            digest.update(path.read_bytes())
    return digest.hexdigest()
