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
    owner: str | None = None
    """Who claimed it. After a lease has run out, still who had it, until another claims it."""
    lease_until: float | None = None
    """Seconds since the epoch. None: not claimed, or claimed without an end."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one PATCH asks for. `shape` is the dialect of its body."""

    shape: Shape
    state: State
    error: str | None = None
    output: bytes | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A change, and the task it is for."""

    task_id: str
    change: Change
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who sends a request, and how long its claims are to last. None: it does not say, or without an end."""

    worker_id: str | None = None
    lease_seconds: float | None = None


class Verdict(StrEnum):
    """What becomes of a change."""

    UNKNOWN = "unknown"
    APPLY = "apply"
    REPEATED = "repeated"
    CONFLICT = "conflict"
    WRONG_SHAPE = "wrong shape"


def judge(current: State, wanted: State, owner: str | None = None, worker_id: str | None = None) -> Verdict:
    """Whether `worker_id` may take a task of `owner` from `current` to `wanted`.

    A final state is never left. Repeating it is harmless, so that a client whose answer got
    lost can simply send its report again. Only a pending task can be claimed, so of two
    replicas that want the same task exactly one gets it. Its owner may claim it again, to renew the lease,
    and no other worker gives it back.

    A claim is no condition for a report. A worker whose lease ran out has paid for its result, and whoever
    has the task now would have to pay again: the first report is taken, whose ever it is.
    """
    if current.is_final:
        return Verdict.REPEATED if wanted is current else Verdict.CONFLICT
    if current is State.PROCESSING and wanted is State.PROCESSING:
        return Verdict.APPLY if worker_id and worker_id == owner else Verdict.CONFLICT
    if current is State.PROCESSING and wanted is State.PENDING:
        is_anothers = worker_id and owner and worker_id != owner
        return Verdict.CONFLICT if is_anothers else Verdict.APPLY
    return Verdict.REPEATED if wanted is current else Verdict.APPLY
