"""The words both sides of a pipe speak: a task, what identifies a batch, what became of a task."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeAlias, cast

from typing_extensions import TypeVar

OPENAI_HOST = "api.openai.com"
OPENAI_URL = f"https://{OPENAI_HOST}/v1"


class FastPickle:
    """Pickled as its class and the values of its fields. A base for frozen dataclasses with slots.

    What such a dataclass does by itself looks its fields up anew for every value: several times the cost.
    """

    __slots__: ClassVar[tuple[str, ...]] = ()

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), tuple([getattr(self, name) for name in self.__slots__])


JsonValue: TypeAlias = (
    "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | Mapping[str, JsonValue] | None"
)


class TaskStatus(StrEnum):
    """A task's status as the task API knows it."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class TextLength(StrEnum):
    """How a text stands to its model's limit."""

    FITS = "fits"
    DOUBTFUL = "doubtful"
    """It may be refused, so it goes alone: then it costs the others nothing."""
    OVER = "over"


class WireShape(StrEnum):
    """The JSON shape a task came in, and in which it is reported."""

    FLAT = "flat"
    NESTJS = "nestjs"


@dataclass(frozen=True, slots=True)
class BatchKey(FastPickle):
    """Tasks with equal keys may share one provider call."""

    task_type: str
    model: str = ""
    """The model that the provider is asked for; empty for work that needs none."""
    group: str = ""
    """What else the tasks of one call must have in common, as the processor sees it."""
    provider: str = ""
    """Which provider the processor asks for by name; empty where the routes of the model decide."""


INPUTS_DIRECTORY = "inputs"
"""Beside the journal: files of inputs that are too large for it."""


@dataclass(frozen=True, slots=True)
class InputPlace(FastPickle):
    """Where an input is: in which file, from which byte on, how many."""

    file: str
    start: int
    length: int


InputT = TypeVar("InputT", default=Any)


@dataclass(frozen=True, slots=True)
class Task(FastPickle, Generic[InputT]):
    """One task as parsed from the API.

    `input` is what its processor made of the input, an instance of the processor's own input class. In a
    task of an earlier run it is still the JSON, and None while the input waits on the disk alone.
    """

    id: str
    key: BatchKey
    input: InputT
    shape: WireShape
    correlation_id: str
    size_bytes: int
    """UTF-8 bytes of the text: never fewer than its tokens."""
    length: TextLength = TextLength.FITS
    created_at_seconds: float | None = None
    """Epoch seconds at which the API says the task was created."""
    content_id: str = ""
    """Equal for tasks of one batch key that ask the same; empty for a type that never repeats."""
    input_place: InputPlace | None = None
    """Where a large input is. The worker reads it; until then `input` is None."""
    priority: int = 0
    """Higher goes first."""

    @property
    def task_type(self) -> str:
        return self.key.task_type

    def with_input(self, given: object) -> "Task":
        """With its input, or None in its place."""
        return cast("Task", replace(self, input=cast("InputT", given)))

    @property
    def question(self) -> str:
        """What the task asks: its own id where nobody else asks the same."""
        return self.content_id or self.id


@dataclass(frozen=True, slots=True)
class Usage(FastPickle):
    """Tokens billed for one task, by kind. A kind that the provider did not name is 0."""

    prompt_tokens: int = 0
    total_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt: what the provider had read before, and bills at a lower price."""
    reasoning_tokens: int = 0
    """Of the completion: what the model thought and did not say."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def by_kind(self) -> dict[str, int]:
        """The kinds that were billed, the total apart."""
        kinds = {
            "prompt": self.prompt_tokens,
            "cached": self.cached_tokens,
            "completion": self.completion_tokens,
            "reasoning": self.reasoning_tokens,
        }
        return {kind: tokens for kind, tokens in kinds.items() if tokens}


NOTHING_BILLED = Usage()


@dataclass(frozen=True, slots=True)
class Output(FastPickle):
    """What a processor computed for one task.

    `value` is finished JSON of the bare result, so that a vector of 1,536 numbers is encoded once, in
    the worker. The nestjs shape reports `value` alone; the flat shape reports an object that holds it
    under `name`, beside `model`, `usage` and `extra`. Without a `name` both report `value` alone.
    """

    name: str
    value: bytes
    model: str
    usage: Usage
    extra: Mapping[str, JsonValue] = field(default_factory=dict)
    """Further fields of the flat shape; one named `usage` or `model` stands in place of the usual one."""
