"""The messages between the supervisor and one worker process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from shared.errors import Blame, RetryReason
from shared.models import NOTHING_BILLED, BatchKey, Output, Task, Usage
from shared.plain_text import MAX_ERROR_MESSAGE_CHARACTERS, one_line

MAX_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Unit:
    """The work of one dispatch: tasks of one batch key, run by one provider call."""

    id: int
    tasks: tuple[Task, ...]
    model_label: str = ""
    """The model's name as metrics may show it: bounded by the supervisor for all workers together."""
    provider: str = ""
    """The name of the provider that the unit goes to; empty for work that needs none."""
    attempt: int = 1
    """1 for the first."""
    timeout_seconds: float = float("inf")
    """From when the worker gets it: then its worker is killed."""

    @property
    def key(self) -> BatchKey:
        return self.tasks[0].key

    @property
    def inputs(self) -> int:
        """Different texts that the provider gets: one that stands in several tasks is sent once."""
        return len(self._sizes())

    @property
    def size_bytes(self) -> int:
        """Bytes of these texts."""
        return sum(self._sizes().values())

    def _sizes(self) -> dict[str, int]:
        return {task.question: task.size_bytes for task in self.tasks}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task or a whole unit has no output. `retry` is None for a final failure.

    `message` goes to the task API, cut to its limit, and may quote a text. `shown` goes to logs and status,
    and quotes none; it defaults to the message.
    """

    message: str
    retry: RetryReason | None = None
    retry_after_seconds: float | None = None
    blame: Blame = Blame.SOME_TASKS
    one_by_one: bool = False
    """The provider can be asked for one input a call only."""
    shown: str = ""
    usage: Usage = NOTHING_BILLED
    """What was billed all the same."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", one_line(self.message, MAX_ERROR_MESSAGE_CHARACTERS))
        object.__setattr__(self, "shown", (self.shown or self.message)[:MAX_SHOWN_CHARACTERS])

    @property
    def is_answered(self) -> bool:
        """The provider served the call; it is the answer that is no result."""
        return self.retry is None and self.blame is Blame.ANSWER


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What the provider's answer said is left, per `x-ratelimit-*` headers. None = not said."""

    limit_requests: int | None = None
    limit_tokens: int | None = None
    remaining_requests: int | None = None
    remaining_tokens: int | None = None
    reset_requests_seconds: float | None = None
    reset_tokens_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The worker has loaded what it needs and waits for its first unit."""

    pid: int


@dataclass(frozen=True, slots=True)
class WorkerUnfit:
    """The worker cannot start for a reason a person must mend; it exits after this."""

    reason: str


@dataclass(frozen=True, slots=True)
class UnitProgress:
    """The outcomes of some tasks of a unit that goes on."""

    unit_id: int
    outcomes: Mapping[str, Output | Failure]


@dataclass(frozen=True, slots=True)
class UnitDone:
    """The answer to one unit: an output or a failure for each of its tasks, or one failure for all.

    Tasks whose outcome came with a UnitProgress are left out.
    """

    unit_id: int
    outcomes: Mapping[str, Output | Failure] = field(default_factory=dict)
    failure: Failure | None = None
    rate_limits: RateLimits | None = None
    duration_seconds: float = 0.0
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Tasks whose inputs could not be read from the disk, and why. If there is one, nothing was done."""

    @property
    def total_tokens(self) -> int:
        """Tokens billed for the unit; 0 if it was refused."""
        return tokens_of(self.outcomes)


WorkerMessage: TypeAlias = WorkerReady | WorkerUnfit | UnitProgress | UnitDone


def tokens_of(outcomes: Mapping[str, Output | Failure]) -> int:
    """Tokens billed for the tasks."""
    return sum(outcome.usage.total_tokens for outcome in outcomes.values())
