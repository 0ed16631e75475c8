"""A task type is one class: what its author writes, and what follows from it by itself."""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, get_args, get_origin

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsConfigDict

from shared.errors import Blame, ConfigurationError, NonRetryableError, RetryableError, RetryReason, TaskError
from shared.logs import LogEvent, get_logger
from shared.messages import Failure
from shared.models import BatchKey, JsonValue, Output, Task, TextLength, Usage, WireShape
from shared.plain_text import one_line, safe_message, type_and_words, words_of
from shared.settings import EnvironmentSettings
from workers.processors.checked_outcomes import checked_failure, checked_output
from workers.providers.base import BaseProvider, Embeddings
from workers.providers.chat import ChatAnswer, ChatRequest, Message

__all__ = [
    "BaseProcessor",
    "BaseProvider",
    "Blame",
    "ChatAnswer",
    "ChatRequest",
    "ConfigurationError",
    "Context",
    "Embeddings",
    "EnvironmentSettings",
    "Limits",
    "Message",
    "NonRetryableError",
    "Outcome",
    "Output",
    "RetryReason",
    "RetryableError",
    "SettingsConfigDict",
    "Task",
    "TextLength",
    "Usage",
]
"""What authors of processors and providers need. The rest is for the service."""

MAX_INPUT_VALUES = 100_000
"""Of one input, so that neither a check of it nor the words about it take long."""
MAX_TIMEOUT_SECONDS = 86_400
MAX_NAME_CHARACTERS = 10_000
"""Of a model, a provider, or a batch key."""
MAX_SIZE_BYTES = 2**40
MAX_FAULTS_TOLD = 3
MAX_FAULT_CHARACTERS = 300
MAX_PLACE_CHARACTERS = 60
MAX_PLACE_DEPTH = 10
"""Where a fault is may be told by names that came with the input."""
QUESTION_BYTES = 16
"""Of a digest. Long enough that no two different inputs get the same, by chance or by design."""
RESULT_NAME = "result"

_log = get_logger(__name__)
InputT = TypeVar("InputT")
Result = TypeVar("Result")
Outcome: TypeAlias = "Output | Failure | TaskError | BaseModel | JsonValue"
"""What became of one task: its result, or an error that concerns it alone."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a type may run at once. None takes the service's own limit."""

    batch: int | None = None
    """Tasks in one unit. Without `process_batch` a unit holds one task, whatever stands here."""
    timeout_seconds: float | None = None
    """Of one unit; then its worker is killed. None is TASK_TIMEOUT_SECONDS."""

    def __post_init__(self) -> None:
        if self.batch is not None and (type(self.batch) is not int or self.batch < 1):
            raise ValueError("Limits: batch must be a whole number, 1 or more")
        seconds = self.timeout_seconds
        if seconds is not None and not 0 < seconds <= MAX_TIMEOUT_SECONDS:
            raise ValueError(f"Limits: timeout_seconds must be above 0 and at most {MAX_TIMEOUT_SECONDS}")


@dataclass(frozen=True, slots=True)
class ProcessorLog:
    """Lines in the service's log that say which unit they are about. Never log a text: it is not ours."""

    facts: Mapping[str, object]

    def info(self, message: str, **facts: object) -> None:
        _log.info(LogEvent.PROCESSOR_MESSAGE, message=message, **self.facts, **facts)

    def warning(self, message: str, **facts: object) -> None:
        _log.warning(LogEvent.PROCESSOR_MESSAGE, message=message, **self.facts, **facts)

    def error(self, message: str, **facts: object) -> None:
        _log.error(LogEvent.PROCESSOR_MESSAGE, message=message, **self.facts, **facts)


@dataclass(frozen=True, slots=True)
class Context:
    """What a processor is told about the unit it runs."""

    correlation_id: str
    """Of the unit's first task. Send it to whatever is called, so that its log can be found."""
    attempt: int
    """1 for the first."""
    deadline: float
    """When (`time.monotonic`) the worker is killed if the unit still runs."""
    log: ProcessorLog
    settings: Any
    """The processor's own settings; None without a `settings_type`."""
    connect: Callable[[], BaseProvider]

    @property
    def provider(self) -> BaseProvider:
        """The client of the provider that the unit was given to.

        Raises RetryableError where it cannot be used: then the provider is on hold.
        """
        return self.connect()


class BaseProcessor(Generic[InputT]):
    """Runs tasks of one type inside a worker process. With WORKER_THREADS several threads use one instance.

    Write `class Sentiment(BaseProcessor[SentimentInput])` with a `task_type` and `process`, or
    `process_batch`. The supervisor makes an instance as well, to read inputs with: it never calls `start`. So
    heavy imports belong in `start`.

    Raise RetryableError where the same task may succeed later, NonRetryableError where it never will.
    Anything else that is raised fails the task with the exception's type and message.
    """

    task_type: ClassVar[str]
    """Small letters and hyphens. The API may write underscores instead."""
    limits: ClassVar[Limits] = Limits()
    settings_type: ClassVar[type[EnvironmentSettings] | None] = None
    bare_string: ClassVar[str] = ""
    """The field that an input stands for which is a bare string."""
    answers_equals_once: ClassVar[bool] = False
    """Do tasks of equal input have equal results? Then one of them is run, and all are reported."""
    input_type: ClassVar[Any]
    """Taken from `BaseProcessor[...]`: a pydantic model, or whatever pydantic can check."""

    def __init_subclass__(cls) -> None:
        for base in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, BaseProcessor):
                (cls.input_type,) = get_args(base)

    def __init__(self, settings: Any = None, default_model: str = "") -> None:
        """`settings` is an instance of `settings_type`.

        `default_model` is what the type's own provider has for tasks that name no model.
        """
        self.settings = settings
        self.default_model = default_model

    @classmethod
    def preload(cls) -> None:
        """Import in the process that all workers are forked from what they would import one by one."""

    def start(self) -> None:
        """Called once in a worker, before its first unit of this type."""

    def close(self) -> None:
        """Called when the worker ends in order."""

    def can_process(self, task: Task[InputT]) -> bool:
        """Does this processor take the task? It is FAILED if not."""
        return True

    def model(self, given: InputT) -> str:
        """The model of a provider that `given` is for; empty where no provider is called."""
        return ""

    def provider(self, given: InputT) -> str | None:
        """The name of the provider to call; None where MODEL_ROUTES decides by the model."""
        return None

    def batch_key(self, given: InputT) -> object:
        """Tasks of one model whose keys are equal may share a unit. The keys are compared as `str`."""
        return None

    def size_bytes(self, given: InputT) -> int:
        """UTF-8 bytes of the texts in `given`: never fewer than their tokens."""
        return sum(len(text.encode()) for text in strings_in(given))

    def length(self, given: InputT) -> TextLength:
        """DOUBTFUL where the provider may refuse it for its length: then it runs alone."""
        return TextLength.FITS

    def canary(self, word: str, model: str) -> InputT | None:
        """The smallest input for `model`, made of one word; None where there is none.

        It is run to learn whether a failure is the task's fault or the provider's.
        """
        return None

    def process(self, task: Task[InputT], context: Context) -> Outcome:
        """Run one task: its result as a pydantic model or JSON value."""
        raise NotImplementedError(f"{type(self).__name__} has neither process nor process_batch")

    def process_batch(
        self, tasks: Sequence[Task[InputT]], context: Context
    ) -> Mapping[str, Outcome] | Iterable[tuple[str, Outcome]]:
        """Run tasks of one batch key; an outcome for each, by task id.

        Override where one call can serve all. What is then raised concerns the whole unit, which the
        supervisor retries, splits or fails. Yield outcomes where they come one by one: what was yielded
        before a crash is kept.
        """
        return self._one_by_one(tasks, context)

    # What the service calls. A processor extends `parse` where it must, and leaves the rest alone.

    @property
    def takes_batches(self) -> bool:
        return type(self).process_batch is not BaseProcessor.process_batch

    def parse(self, given: JsonValue) -> InputT:
        """The input as the processor wants it. Raises NonRetryableError with one readable sentence."""
        if isinstance(given, str) and self.bare_string:
            given = {self.bare_string: given}
        if (why := _unusable(given)) is not None:
            raise NonRetryableError(f"input: {why}")
        try:
            parsed: InputT = self._adapter.validate_python(given)
        except ValidationError as error:
            raise NonRetryableError(self._words(error)) from None
        except RecursionError:
            raise NonRetryableError("input: is nested too deeply") from None
        return parsed

    def dump(self, given: InputT) -> JsonValue:
        """The input as JSON, from which `parse` makes it again."""
        plain: JsonValue = self._adapter.dump_python(given, mode="json")
        return plain

    def schema(self) -> Mapping[str, object]:
        """The JSON schema of the input."""
        return self._adapter.json_schema()

    def key(self, given: InputT) -> BatchKey:
        group = self.batch_key(given)
        return BatchKey(
            task_type=self.task_type,
            model=self.model(given),
            group="" if group is None else str(group),
            provider=self.provider(given) or "",
        )

    def make_task(
        self,
        given: InputT,
        task_id: str,
        shape: WireShape = WireShape.FLAT,
        correlation_id: str = "",
        created_at_seconds: float | None = None,
        priority: int = 0,
    ) -> Task[InputT]:
        key, size_bytes, length = self.key(given), self.size_bytes(given), self.length(given)
        _check_name("model", key.model)
        _check_name("provider", key.provider)
        _check_name("batch_key", key.group)
        if type(size_bytes) is not int or not 0 <= size_bytes <= MAX_SIZE_BYTES:
            raise ValueError("size_bytes must be a whole number of bytes, 0 or more")
        if not isinstance(length, TextLength):
            raise TypeError("length must be a TextLength")
        return Task(
            id=task_id,
            key=key,
            input=given,
            shape=shape,
            correlation_id=correlation_id,
            size_bytes=size_bytes,
            length=length,
            created_at_seconds=created_at_seconds,
            content_id=self._question(given) if self.answers_equals_once else "",
            priority=priority,
        )

    def _one_by_one(self, tasks: Sequence[Task[InputT]], context: Context) -> Iterator[tuple[str, Outcome]]:
        """Equal inputs are run once; their first task stands for all."""
        by_question: dict[str, list[Task[InputT]]] = {}
        for task in tasks:
            by_question.setdefault(task.question, []).append(task)
        for same in by_question.values():
            outcome = attempt(partial(self.process, same[0], context))
            yield from ((task.id, outcome) for task in same)

    @cached_property
    def _adapter(self) -> TypeAdapter[InputT]:
        return TypeAdapter(self.input_type)

    def _question(self, given: InputT) -> str:
        whole = self._adapter.dump_json(given)
        return hashlib.blake2b(whole, digest_size=QUESTION_BYTES).hexdigest()

    def _words(self, error: ValidationError) -> str:
        errors = error.errors(include_url=False, include_input=False)
        faults = [_fault(fault) for fault in errors[:MAX_FAULTS_TOLD]]
        if faults[0].startswith("must be an object") and self.bare_string:
            faults[0] += f', or a string, which is the "{self.bare_string}"'
        more = f"; and {len(errors) - MAX_FAULTS_TOLD} more" if len(errors) > MAX_FAULTS_TOLD else ""
        return "input: " + "; ".join(faults) + more


def attempt(work: Callable[[], Result]) -> Result | Failure:
    """What `work` returns, or the error it raised as a Failure.

    An error that is no TaskError becomes a final Failure with its type and message. MemoryError is raised on:
    a process short of memory is better replaced, and its death counted as a crash.
    """
    try:
        return work()
    except TaskError as error:
        return failure_of(error)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  the only one here: processors are extended by users and may raise anything
        _log.error(LogEvent.UNIT_FAILED, error_type=type(error).__name__, where=_where(error))
        return Failure(safe_message(type_and_words(error)), blame=Blame.PROCESSOR)


def failure_of(error: TaskError) -> Failure:
    words = safe_message(words_of(error))
    try:
        return checked_failure(_failure_of(error, words))
    except AttributeError:  # a subclass whose __init__ calls no other one
        return Failure(words, blame=Blame.PROCESSOR)


def _failure_of(error: TaskError, words: str) -> Failure:
    if isinstance(error, RetryableError):
        return Failure(
            words,
            retry=error.reason,
            retry_after_seconds=error.retry_after_seconds,
            one_by_one=error.one_by_one,
        )
    if isinstance(error, NonRetryableError):
        return Failure(words, blame=error.blame, usage=error.usage)
    return Failure(words)


def as_output(outcome: Outcome, *, reads_value: bool = True) -> Output | Failure:
    """The outcome as it travels to the supervisor. One that cannot be reported fails its task alone.

    `reads_value` is as in `checked_output`.
    """
    if isinstance(outcome, Output):
        return checked_output(outcome, reads_value=reads_value)
    if isinstance(outcome, Failure):
        return checked_failure(outcome)
    if isinstance(outcome, TaskError):
        return failure_of(outcome)
    output = attempt(partial(_plain_output, outcome))
    return checked_output(output, reads_value=False) if isinstance(output, Output) else output


def _plain_output(outcome: "BaseModel | JsonValue") -> Output | Failure:
    try:
        value = outcome.model_dump(mode="json") if isinstance(outcome, BaseModel) else outcome
        # orjson would write null for NaN: a number that the processor never gave.
        json.dumps(value, allow_nan=False)
        name = "" if isinstance(value, Mapping) else RESULT_NAME
        return Output(name=name, value=orjson.dumps(value), model="", usage=Usage(0, 0))
    except (TypeError, ValueError, RecursionError) as error:
        return Failure(
            safe_message(f"the processor's result is no JSON: {words_of(error)}"), blame=Blame.PROCESSOR
        )


def strings_in(value: object) -> Iterator[str]:
    """Every string in an input, keys of objects apart."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseModel):
        yield from strings_in((*value.__dict__.values(), *(value.__pydantic_extra__ or {}).values()))
    elif isinstance(value, Mapping):
        yield from strings_in(tuple(value.values()))
    elif isinstance(value, list | tuple | set | frozenset | deque):
        for each in value:
            yield from strings_in(each)
    elif is_dataclass(value):
        yield from strings_in([getattr(value, field.name, None) for field in fields(value)])


def _unusable(given: JsonValue) -> str | None:
    """Why no processor should see it. Looks at every value, so that no processor has to."""
    left: list[JsonValue] = [given]
    seen = 0
    while left:
        value = left.pop()
        if isinstance(value, str):
            if not _encodable(value):
                return "has a lone surrogate and is no valid Unicode"
        elif isinstance(value, dict):
            seen += len(value)
            left.extend(value)
            left.extend(value.values())
        elif isinstance(value, list):
            seen += len(value)
            left.extend(value)
        if seen > MAX_INPUT_VALUES:
            return f"has more than {MAX_INPUT_VALUES:,} values"
    return None


def _check_name(method: str, name: object) -> None:
    """What a processor gives as a name is kept with each task, and is a key of many tables."""
    if type(name) is str and len(name) <= MAX_NAME_CHARACTERS and name.isascii():
        return  # as nearly all are
    if not isinstance(name, str):
        raise TypeError(f"{method} must be a text")
    if len(name) > MAX_NAME_CHARACTERS or not _encodable(name):
        raise NonRetryableError(
            f"input: its {method} must be a text of at most {MAX_NAME_CHARACTERS:,} characters"
        )


def _encodable(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fault(fault: ErrorDetails) -> str:
    """One fault in words. They never repeat the input."""
    match fault["type"]:
        case "missing":
            words = "is missing"
        case "model_type" | "model_attributes_type" | "dict_type" | "dataclass_type":
            words = "must be an object"
        case "extra_forbidden":
            words = "is not a field of this type"
        case "int_from_float" | "int_type":
            words = "must be a whole number"
        case "union_tag_invalid":
            context = fault.get("ctx", {})
            words = f"must have as {context.get('discriminator')} one of {context.get('expected_tags')}"
        case _:
            words = fault["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            words = words.replace("Input should be", "must be").replace(" a valid ", " a ")
    place = ".".join(one_line(str(part), MAX_PLACE_CHARACTERS) for part in fault["loc"][:MAX_PLACE_DEPTH])
    return one_line(f'"{place}" {words}' if place else words, MAX_FAULT_CHARACTERS)


def _where(error: Exception) -> str:
    """File and line alone: the message may quote a text, and texts never go to the log."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
