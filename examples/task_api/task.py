"""What a task is, and which changes of state it allows."""

from dataclasses import dataclass
from enum import StrEnum


class Shape(StrEnum):
    """The JSON dialect a task was created in, and in which it is served and reported."""

    FLAT = "flat"
    NESTJS = "nestjs"


class State(StrEnum):
    """The life of a task. The nestjs shape writes `processing` as `in_progress`."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        return self in (State.SUCCEEDED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Task:
    """One row. Fields of bytes hold JSON as it is sent out again, unparsed."""

    id: str
    shape: Shape
    type: str
    state: State
    input: bytes
    extra: bytes
    created_at: str
    updated_at: str
    correlation_id: str | None = None
    final_reports: int = 0
    last_correlation_id: str | None = None
    error: str | None = None
    output: bytes | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What one PATCH asks for. `shape` is the dialect of its body."""

    shape: Shape
    state: State
    error: str | None = None
    output: bytes | None = None


class Verdict(StrEnum):
    """What becomes of a change."""

    APPLY = "apply"
    REPEATED = "repeated"
    CONFLICT = "conflict"
    WRONG_SHAPE = "wrong shape"


def judge(current: State, wanted: State) -> Verdict:
    """Whether a task in state `current` may go to `wanted`.

    A final state is never left. Repeating it is harmless, so that a client whose answer got
    lost can simply send its report again. Only a pending task can be claimed, so of two
    replicas that want the same task exactly one gets it. A claim is no condition for a report.
    """
    if current.is_final:
        return Verdict.REPEATED if wanted is current else Verdict.CONFLICT
    if wanted is State.PROCESSING and current is not State.PENDING:
        return Verdict.CONFLICT
    return Verdict.REPEATED if wanted is current else Verdict.APPLY
