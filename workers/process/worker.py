"""The loop of a worker process: a unit in, its outcomes out."""

import contextlib
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from shared.errors import Blame, NonRetryableError
from shared.logs import LogEvent, get_logger
from shared.messages import Failure, Unit, UnitDone, UnitProgress
from shared.models import InputPlace, Output, Task
from workers.factory import ProcessorFactory
from workers.process.progress import Progress
from workers.process.redaction import with_shown_words
from workers.process.threads import start_thread
from workers.processors.base import BaseProcessor, Context, Outcome, ProcessorLog, as_output, attempt
from workers.providers.base import BaseProvider
from workers.providers.calls import ProviderCalls

log = get_logger(__name__)
JSON_TYPES = (dict, list, str, int, float, type(None))
MARGIN = 0.1
MAX_MARGIN_SECONDS = 5.0
"""So long before the worker is killed for an overrun unit its calls end by themselves."""


class Worker:
    """Runs units, `threads` of them at once.

    `receive` waits for a unit, and gives None when there will be no more. One thread at a time calls it.
    `send` takes the answers, one at a time; it raises OSError when nobody is left to hear them. `read_input`
    gives the JSON of an input that is in a file; it raises OSError or ValueError.
    """

    def __init__(
        self,
        *,
        receive: Callable[[], Unit | None],
        send: Callable[[UnitProgress | UnitDone], None],
        read_input: Callable[[InputPlace], bytes],
        factory: ProcessorFactory,
        provider_of: Callable[[str], BaseProvider],
        calls: ProviderCalls,
        clock: Callable[[], float],
        threads: int = 1,
    ) -> None:
        self._receive = receive
        self._send_message = send
        self._read_input = read_input
        self._factory = factory
        self._provider_of = provider_of
        self._calls = calls
        self._clock = clock
        self._threads = threads
        self._started = 1
        self._busy = 0
        self._count_lock = threading.Lock()
        self._receive_lock = threading.Lock()
        self._send_lock = threading.Lock()
        self._progress = Progress(self._send)

    def run(self) -> None:
        """Run unit after unit in this thread, and in others while several are under way."""
        while (unit := self._next_unit()) is not None:
            done = self.work(unit)
            self._end_unit()
            try:
                self._send(done)
            except OSError:
                return

    def _next_unit(self) -> Unit | None:
        """Wait for one; None when there will be no more."""
        with self._receive_lock:
            unit = self._receive()
            if unit is not None:
                self._begin_unit()
            return unit

    def _begin_unit(self) -> None:
        """See to it that a thread is free for the next unit."""
        with self._count_lock:
            self._busy += 1
            if self._started == self._busy < self._threads:
                # Where the system starts no further thread, units wait for one of those that there are.
                with contextlib.suppress(RuntimeError):
                    start_thread(f"unit-{self._started}", self.run)
                    self._started += 1

    def _end_unit(self) -> None:
        with self._count_lock:
            self._busy -= 1

    def work(self, unit: Unit) -> UnitDone:
        tasks, unreadable = self._with_inputs(unit.tasks)
        if unreadable:
            return UnitDone(unit.id, unreadable=unreadable)
        unit = replace(unit, tasks=tasks)
        started = self._clock()
        deadline = started + unit.timeout_seconds - min(MAX_MARGIN_SECONDS, MARGIN * unit.timeout_seconds)
        self._calls.begin_unit(unit.model_label, unit.provider, deadline)
        result = attempt(lambda: self._outcomes(unit))
        if isinstance(result, Failure):
            self._progress.send_rest(unit.id)
        done = UnitDone(
            unit_id=unit.id,
            outcomes={} if isinstance(result, Failure) else result,
            failure=result if isinstance(result, Failure) else None,
            rate_limits=self._calls.rate_limits,
            duration_seconds=self._clock() - started,
        )
        return with_shown_words(done, unit.tasks)

    def _send(self, message: UnitProgress | UnitDone) -> None:
        with self._send_lock:
            self._send_message(message)

    def _outcomes(self, unit: Unit) -> Mapping[str, Output | Failure]:
        """What became of the unit's tasks, but for the outcomes that were sent already."""
        processor = self._factory.processor_for(unit.tasks[0])
        tasks, refused = _parsed(processor, unit.tasks)
        given = processor.process_batch(tasks, self._context(unit, processor)) if tasks else {}
        if isinstance(given, Mapping):
            return refused | {task_id: self._output(unit, outcome) for task_id, outcome in given.items()}
        open_ids = {task.id for task in unit.tasks}
        ignored = 0
        for task_id, outcome in itertools.chain(refused.items(), given):
            if task_id in open_ids:
                open_ids.discard(task_id)
                self._progress.add(unit.id, unit.tasks, task_id, self._output(unit, outcome))
            else:
                ignored += 1
        if ignored:
            # An id that came from a processor may be anything, so it is not logged.
            facts = {"unit_id": unit.id, "task_type": unit.key.task_type, "outcomes": ignored}
            log.error(LogEvent.OUTCOME_IGNORED, **facts)
        return self._progress.take(unit.id)

    def _output(self, unit: Unit, outcome: Outcome) -> Output | Failure:
        """As it travels. A plain result of a task that was alone is what its calls were billed for."""
        is_ours = self._factory.source(unit.key.task_type).is_built_in
        output = as_output(outcome, reads_value=not is_ours)
        is_plain = isinstance(output, Output) and output is not outcome
        return replace(output, usage=self._calls.usage) if is_plain and len(unit.tasks) == 1 else output

    def _context(self, unit: Unit, processor: BaseProcessor[Any]) -> Context:
        first = unit.tasks[0]
        facts = {"unit_id": unit.id, "task_type": first.task_type, "correlation_id": first.correlation_id}
        return Context(
            correlation_id=first.correlation_id,
            attempt=unit.attempt,
            deadline=self._clock() + unit.timeout_seconds,
            log=ProcessorLog(facts),
            settings=processor.settings,
            connect=partial(self._client, unit),
        )

    def _client(self, unit: Unit) -> BaseProvider:
        """Raises NonRetryableError where the processor says of its tasks that they need none."""
        key = unit.key
        if unit.provider == key.task_type and not (key.model or key.provider):
            raise NonRetryableError(
                f"the processor of {key.task_type} asks for a provider and names none: it needs a model()"
                " or a provider()",
                blame=Blame.PROCESSOR,
            )
        return self._provider_of(unit.provider)

    def _with_inputs(self, tasks: Sequence[Task]) -> tuple[tuple[Task, ...], dict[str, str]]:
        """The tasks with the inputs that are in files, and why others could not be read.

        Tasks that ask the same share one input in memory.
        """
        inputs: dict[str, object] = {}
        unreadable: dict[str, str] = {}
        for task in tasks:
            if (place := task.input_place) is not None and task.question not in inputs:
                try:
                    inputs[task.question] = orjson.loads(self._read_input(place))
                except (OSError, ValueError, TypeError) as error:
                    unreadable[task.id] = str(error)
        whole = tuple(
            replace(task, input=inputs.get(task.question), input_place=None) if task.input_place else task
            for task in tasks
        )
        return whole, unreadable


def read_input(directory: Path, place: InputPlace) -> bytes:
    """The JSON of an input that is in a file of the directory. Raises OSError."""
    with (directory / place.file).open("rb") as file:
        file.seek(place.start)
        return file.read(place.length)


def _parsed(
    processor: BaseProcessor[Any], tasks: Sequence[Task]
) -> tuple[list[Task], dict[str, Output | Failure]]:
    """The tasks with their inputs read, and those whose input the processor no longer takes.

    The input of a task that an earlier run left, or that waited in a file, is still JSON.
    """
    read: list[Task] = []
    refused: dict[str, Output | Failure] = {}
    for task in tasks:
        if not isinstance(task.input, JSON_TYPES):
            read.append(task)
            continue
        parsed = attempt(partial(processor.parse, task.input))
        if isinstance(parsed, Failure):
            refused[task.id] = parsed
        else:
            read.append(task.with_input(parsed))
    return read, refused
