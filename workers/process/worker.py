"""The loop of a worker process: a unit in, its outcomes out."""

import multiprocessing.connection
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import orjson

from shared.messages import Failure, Unit, UnitDone
from shared.models import InputPlace, Task, TaskInput
from shared.task_inputs import read_input
from workers.factory import ProcessorFactory
from workers.process.pipe import receive_unit, send_message
from workers.process.redaction import with_shown_words
from workers.processors.base import attempt
from workers.providers.calls import ProviderCalls


class Worker:
    """Runs one unit after the other until the supervisor closes the pipe or dies.

    `parent_sentinel` becomes readable when the supervisor dies. The pipe may not show it, while another
    process holds a copy of its other end.
    """

    def __init__(
        self,
        *,
        pipe: Connection,
        parent_sentinel: int,
        inputs_directory: Path,
        factory: ProcessorFactory,
        calls: ProviderCalls,
        clock: Callable[[], float],
    ) -> None:
        self._pipe = pipe
        self._parent_sentinel = parent_sentinel
        self._inputs_directory = inputs_directory
        self._factory = factory
        self._calls = calls
        self._clock = clock

    def run(self) -> None:
        while self._pipe in multiprocessing.connection.wait([self._pipe, self._parent_sentinel]):
            try:
                unit = receive_unit(self._pipe)
                send_message(self._pipe, self.work(unit))
            except (EOFError, OSError):
                return

    def work(self, unit: Unit) -> UnitDone:
        tasks, unreadable = self._with_inputs(unit.tasks)
        if unreadable:
            return UnitDone(unit.id, unreadable=unreadable)
        unit = replace(unit, tasks=tasks)
        started = self._clock()
        self._calls.begin_unit(unit.model_label)
        result = attempt(lambda: self._factory.processor_for(unit.tasks[0]).process_batch(unit.tasks))
        done = UnitDone(
            unit_id=unit.id,
            outcomes={} if isinstance(result, Failure) else result,
            failure=result if isinstance(result, Failure) else None,
            rate_limits=self._calls.rate_limits,
            duration_seconds=self._clock() - started,
        )
        return with_shown_words(done, unit.tasks)

    def _with_inputs(self, tasks: Sequence[Task]) -> tuple[tuple[Task, ...], dict[str, str]]:
        """The tasks with the inputs that are in files, and why others could not be read.

        Tasks that ask the same share one input in memory.
        """
        payloads: dict[str, TaskInput] = {}
        unreadable: dict[str, str] = {}
        for task in tasks:
            if (place := task.input_place) is not None and task.question not in payloads:
                try:
                    payloads[task.question] = self._read(task.task_type, place)
                except (OSError, ValueError, TypeError) as error:
                    unreadable[task.id] = str(error)
        whole = tuple(
            replace(task, payload=payloads.get(task.question), input_place=None) if task.input_place else task
            for task in tasks
        )
        return whole, unreadable

    def _read(self, task_type: str, place: InputPlace) -> TaskInput:
        with (self._inputs_directory / place.file).open("rb") as file:
            file.seek(place.start)
            return read_input(task_type, orjson.loads(file.read(place.length)))
