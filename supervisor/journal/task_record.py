"""A task and what has happened to it so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from shared.models import Task, TaskStatus

MAX_BYTES_IN_MEMORY = 32 * 2**20
"""Inputs that wait beyond this are kept in the journal alone, and read when their turn comes."""


class TaskState(StrEnum):
    """The life of a task in this service. The journal keeps it; a reported task is forgotten.

     ready -> running -> finished -> (reported)
       ^         |           |
       +---------+           +-> rejected
    retry, crash, restart     the API refuses the report
    """

    READY = "ready"
    RUNNING = "running"
    FINISHED = "finished"
    REJECTED = "rejected"


class Claim(StrEnum):
    """Whether the API was told that the task is ours (CLAIM_TASKS)."""

    NONE = "none"
    ASKED = "asked"
    """Told, but the answer is not known: at a restart the task may be ours."""
    HELD = "held"


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task that is to run. Times are monotonic seconds of this process."""

    task: Task
    received_at: float
    attempts: int = 0
    """Failures of the task alone, which count toward MAX_RETRIES."""
    crashes: int = 0
    """Deaths of a worker that held the task, or of the whole service while it ran."""
    claim: Claim = Claim.NONE
    setbacks: int = 0
    """Failures that do not count: in company, or told to come later. Forgotten at a restart."""
    failed_among: int = 0
    """Inputs of the largest unit in which it met one."""
    exclusive: bool = False
    """It was suspect when the whole service died: in this process nothing else runs beside it."""

    @property
    def suspect(self) -> bool:
        """It may be what kills workers or the service, so it is a unit of its own."""
        return self.crashes > 0

    @property
    def has_input(self) -> bool:
        """Is the input in memory? If not, it waits in the journal alone."""
        return self.task.input is not None

    @property
    def untouched(self) -> bool:
        """No work was done on it: it can be left to whoever polls next."""
        return not self.attempts and not self.crashes

    def without_input(self) -> "TaskRecord":
        """What is kept of a task whose input waits in the journal."""
        return self.with_input(None)

    def with_input(self, given: object) -> "TaskRecord":
        return replace(self, task=self.task.with_input(given))

    def with_claim(self, claim: Claim) -> "TaskRecord":
        return replace(self, claim=claim)

    def after_attempt(self) -> "TaskRecord":
        return replace(self, attempts=self.attempts + 1)

    def after_setback(self, inputs: int) -> "TaskRecord":
        return replace(self, setbacks=self.setbacks + 1, failed_among=max(self.failed_among, inputs))

    def after_crash(self) -> "TaskRecord":
        return replace(self, crashes=self.crashes + 1)

    def after_service_death(self, *, alone: bool) -> "TaskRecord":
        """A death that others share makes it a suspect; only one that it was alone for counts further."""
        crashes = self.crashes + 1 if alone else max(self.crashes, 1)
        return replace(self, crashes=crashes, exclusive=alone or self.suspect)


@dataclass(frozen=True, slots=True)
class Report:
    """A finished task's last word to the API, and what the log line at its end will say."""

    task_id: str
    task_type: str
    correlation_id: str
    status: TaskStatus
    attempts: int = 0
    tokens: int = 0
    tokens_by_kind: Mapping[str, int] = field(default_factory=dict)
    """Of a call that generates: prompt, cached, completion, reasoning."""
    created_at_seconds: float | None = None
    queue_seconds: float = 0.0
    run_seconds: float = 0.0
    message: str = ""
    """Why the task failed, as it may be logged: bounded, and without the task's text."""

    @property
    def priority(self) -> int:
        """Reports go in the order in which the tasks ended."""
        return 0

    @property
    def tells_output(self) -> bool:
        """Its body holds an output, which an API may repeat in its answer."""
        return self.status is TaskStatus.SUCCEEDED
