"""Which processor runs which task: one instance a task type, in the supervisor and in each worker."""

import contextlib
import pickle
import threading
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace

from shared.errors import Blame, ConfigurationError, NonRetryableError, RetryableError, RetryReason
from shared.loading import load_group
from shared.models import BatchKey, Task
from shared.plain_text import type_and_words
from shared.settings import EnvironmentSettings
from workers.plugins import AnyProcessor, Broken, PluginError, Source, find_sources, import_class
from workers.processors.base import Limits

_PICKLE_PROTOCOL = 5
NAME_LIKE_OTHERS = "0a1b2c3d"
"""Of a canary that is not sent: a processor may take no other words than it expects."""


@dataclass(frozen=True, slots=True)
class ProcessorSpec:
    """A processor as a worker process is told of it. The settings are pickled: their class is a plug-in's."""

    source: Source
    task_type: str
    settings: bytes
    default_model: str


class ProcessorFactory:
    """Holds one processor for each task type, and the sources that gave none.

    In the supervisor it reads inputs; in a worker it also starts the processors. Threads may share it.
    """

    def __init__(
        self, processors: Iterable[tuple[Source, AnyProcessor]], broken: Iterable[Broken] = ()
    ) -> None:
        self._processors: dict[str, AnyProcessor] = {}
        self._sources: dict[str, Source] = {}
        self.broken = list(broken)
        self._started: set[str] = set()
        for source, processor in processors:
            task_type = processor.task_type
            if (other := self._sources.get(task_type)) is not None:
                reason = f'the task type "{task_type}" is already that of {other.path} ({other.found})'
                self.broken.append(Broken(source, reason))
            else:
                self._processors[task_type], self._sources[task_type] = processor, source
        self._starting = {task_type: threading.Lock() for task_type in self._processors}
        """One for each type, so that a start that takes long holds up no other type."""

    @property
    def task_types(self) -> tuple[str, ...]:
        return tuple(self._processors)

    def without_processor(self, task_types: Iterable[str]) -> list[str]:
        """Those of the types that nothing here runs."""
        return [task_type for task_type in task_types if task_type not in self._processors]

    def settings_types(self) -> list[type[EnvironmentSettings]]:
        kinds = (processor.settings_type for processor in self._processors.values())
        return [kind for kind in kinds if kind is not None]

    def source(self, task_type: str) -> Source:
        return self._sources[task_type]

    def find(self, task_type: str) -> AnyProcessor | None:
        return self._processors.get(task_type)

    def limits(self, task_type: str) -> Limits:
        """How much of the type may run at once; without `process_batch` one task in a unit."""
        processor = self._processors.get(task_type)
        if processor is None:
            return Limits(batch=1)
        if processor.takes_batches:
            return processor.limits
        return Limits(1, processor.limits.timeout_seconds)

    def canary(self, key: BatchKey, name: str) -> Task | None:
        """A task that the API does not know: one word, for the type and model of `key` alone."""
        processor = self._processors.get(key.task_type)
        if processor is None:
            return None
        try:
            given = processor.canary(f"canary{name}", key.model)
            if given is None:
                return None
            task = processor.make_task(given, f"canary-{name}", correlation_id=f"canary-{name}")
        except (Exception, SystemExit):  # noqa: BLE001  it is asked in the loop, which a plug-in must not end
            return None
        return replace(task, key=BatchKey(key.task_type, key.model, provider=key.provider))

    def has_canary(self, key: BatchKey) -> bool:
        return self.canary(key, NAME_LIKE_OTHERS) is not None

    def processor_for(self, task: Task) -> AnyProcessor:
        """Started. Raises RetryableError where it cannot be, and NonRetryableError where there is none."""
        processor = self._processors.get(task.task_type)
        if processor is None:
            if reason := self.why_broken(task.task_type):
                raise RetryableError(reason, reason=RetryReason.NOT_STARTED)
            words = f'no processor for tasks of type "{task.task_type}"'
            raise NonRetryableError(words, blame=Blame.PROCESSOR)
        self._start(processor)
        if not processor.can_process(task):
            words = f"the processor of {task.task_type} does not take this task"
            raise NonRetryableError(words, blame=Blame.PROCESSOR)
        return processor

    def why_broken(self, task_type: str) -> str:
        """What is wrong with the processor of a type that there is none for; empty where none is known."""
        reasons = (broken.reason for broken in self.broken if broken.task_type == task_type)
        return next((f"the processor of {task_type}: {reason}" for reason in reasons), "")

    def close(self) -> None:
        """The worker ends."""
        for task_type in tuple(self._started):
            self._processors[task_type].close()

    def specs(self) -> tuple[ProcessorSpec, ...]:
        return tuple(
            ProcessorSpec(
                self._sources[task_type],
                task_type,
                pickle.dumps(processor.settings, _PICKLE_PROTOCOL),
                processor.default_model,
            )
            for task_type, processor in self._processors.items()
        )

    def _start(self, processor: AnyProcessor) -> None:
        if processor.task_type in self._started:
            return
        with self._starting[processor.task_type]:
            if processor.task_type in self._started:
                return
            try:
                processor.start()
            except (Exception, SystemExit) as error:
                raise RetryableError(
                    f"the processor of {processor.task_type} does not start: {type_and_words(error)}",
                    reason=RetryReason.NOT_STARTED,
                ) from error
            self._started.add(processor.task_type)


def load_processors(
    named: str | None, default_models: Mapping[str, str], without: Container[str] = ()
) -> ProcessorFactory:
    """All that there are, but those whose path is in `without`.

    `default_models` are those of tasks that name no model, by task type. Raises ConfigurationError where a
    setting of a built-in processor is wrong.
    """
    processors: list[tuple[Source, AnyProcessor]] = []
    broken: list[Broken] = []
    for source in find_sources(named):
        if source.path in without:
            continue
        task_type = source.task_type
        try:
            kind = import_class(source.path)
            task_type = kind.task_type
            settings = _settings_of(kind)
            model = default_models.get(kind.task_type, "")
            processors.append((source, _described(_make(kind, settings, model))))
        except ConfigurationError as error:
            if source.is_built_in:
                raise
            broken.append(Broken(source, "; ".join(error.faults), task_type))
        except PluginError as error:
            broken.append(Broken(source, str(error), task_type))
    return ProcessorFactory(processors, broken)


def try_one(path: str) -> None:
    """Load the class and nothing else, to see what that does to a process."""
    with contextlib.suppress(PluginError):
        import_class(path)


def processors_of(specs: Iterable[ProcessorSpec]) -> ProcessorFactory:
    """The same in a worker."""
    processors: list[tuple[Source, AnyProcessor]] = []
    broken: list[Broken] = []
    for spec in specs:
        try:
            kind = import_class(spec.source.path)
            processors.append((spec.source, _make(kind, _unpickled(spec.settings), spec.default_model)))
        except PluginError as error:
            broken.append(Broken(spec.source, str(error), spec.task_type))
    return ProcessorFactory(processors, broken)


def _settings_of(kind: type[AnyProcessor]) -> EnvironmentSettings | None:
    if kind.settings_type is None:
        return None
    try:
        settings = load_group(kind.settings_type)
        pickle.dumps(settings, _PICKLE_PROTOCOL)
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"its settings cannot be used: {type_and_words(error)}") from error
    return settings


def _unpickled(settings: bytes) -> object:
    try:
        return pickle.loads(settings)  # noqa: S301  pickled by our supervisor
    except (Exception, SystemExit) as error:
        raise PluginError(f"its settings cannot go to a worker: {type_and_words(error)}") from error


def _make(kind: type[AnyProcessor], settings: object, default_model: str) -> AnyProcessor:
    try:
        return kind(settings, default_model)
    except (Exception, SystemExit) as error:
        raise PluginError(f"cannot be made: {type_and_words(error)}") from error


def _described(processor: AnyProcessor) -> AnyProcessor:
    """The same, if its input has a schema. Workers do not ask: it takes them 6 MB each."""
    try:
        processor.schema()
    except (Exception, SystemExit) as error:
        raise PluginError(f"says no input that can be described: {type_and_words(error)}") from error
    return processor
