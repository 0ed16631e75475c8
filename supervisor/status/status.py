"""What the service says of itself: frozen values, published by the loop, read by everyone else."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, TypeAlias

from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.runtime.trouble import Trouble


class Phase(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    DRAINING = "draining"


class NotReady(StrEnum):
    """Why `/ready` answers 503."""

    STARTING = "starting"
    DRAINING = "draining"
    API_CIRCUIT_OPEN = "api_circuit_open"
    PROVIDER_HOLD = "provider_hold"
    NO_WORKERS = "no_workers"
    JOURNAL_UNWRITABLE = "journal_unwritable"


class Idle(StrEnum):
    """Why no unit runs: the `reason` label of `ai_idle`."""

    NO_WORK = "no_work"
    STARTING = "starting"
    PAUSED = "paused"
    DRAINING = "draining"
    NO_WORKERS = "no_workers"
    JOURNAL_UNWRITABLE = "journal_unwritable"
    OUTBOX_FULL = "outbox_full"
    CLAIMS_UNSURE = "claims_unsure"
    """The API has yet to say which claimed tasks are still ours."""
    API_CIRCUIT_OPEN = "api_circuit_open"
    POLLS_FAILING = "polls_failing"
    PROVIDER_HOLD = "provider_hold"
    PROVIDER_CIRCUIT_OPEN = "provider_circuit_open"
    RATE_LIMITED = "rate_limited"
    RETRY_WAIT = "retry_wait"


Blocked: TypeAlias = Literal[Idle.PROVIDER_HOLD, Idle.RATE_LIMITED, Idle.PROVIDER_CIRCUIT_OPEN]
"""Why nothing goes to the provider."""


class SlotState(StrEnum):
    """The `state` label of `ai_workers`."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    RECYCLING = "recycling"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One slot and its worker. `model` is that of the tasks it holds; empty if there is not one."""

    slot: int
    state: SlotState
    seconds_in_state: float
    pid: int | None
    tasks_held: int
    units_held: int
    model: str
    tasks_done: int
    restarts: int
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class TaskTypeStatus:
    """Tasks of the type that wait, and its units under way. `limit` is that of TASK_LIMITS; None = none."""

    task_type: str
    waiting: int
    running: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    service: str
    state: BreakerState
    probe_in_seconds: float | None


@dataclass(frozen=True, slots=True)
class HoldStatus:
    """The provider refuses everything, or seems not to have one `model`; then those of others go on.

    `times` is how often since `since_seconds` (epoch).
    """

    provider: str
    reason: str
    message: str
    model: str
    times: int
    since_seconds: float
    next_try_in_seconds: float | None


@dataclass(frozen=True, slots=True)
class RetryStatus:
    """Tasks that wait for their retry, and what a task failed of last. Times are epoch seconds."""

    tasks: int
    reason: str
    detail: str
    failed_at_seconds: float


@dataclass(frozen=True, slots=True)
class LearnedAboutModel:
    """What the provider takes at once for one model. None: not limited, or not known."""

    model: str
    inputs_a_call: int | None
    bytes_a_call: int | None
    calls_at_once: int | None
    seconds_an_input: float | None
    provider: str = ""


@dataclass(frozen=True, slots=True)
class LearnedStatus:
    """How much the other sides take, as far as it has shown; None where no limit is known."""

    tasks_a_page: int | None
    poll_wait_seconds: float | None
    reports_per_second: float | None
    models: tuple[LearnedAboutModel, ...]


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """Why nothing may go to the provider now, and when that may change by itself; and the tasks for it.

    A task that waits is counted at the first provider of its route, one in flight where it went.
    """

    name: str
    blocked: Blocked | None
    opens_in_seconds: float | None
    waiting: int = 0
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class PollStatus:
    """`last_success_at_seconds` is epoch time; 0 if no poll has succeeded yet."""

    last_result: str
    last_success_at_seconds: float
    next_in_seconds: float
    under_way: bool


@dataclass(frozen=True, slots=True)
class RateLimitStatus:
    """What the provider last said is left of one limit of one model (`kind`: requests or tokens)."""

    model: str
    kind: str
    remaining: int
    limit: int
    resets_in_seconds: float | None
    provider: str = ""


@dataclass(frozen=True, slots=True)
class TokensStatus:
    """Tokens billed for tasks that succeeded since the start."""

    model: str
    tasks: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """What finished in one stretch of time. Latency is from the poll to the result; None = nothing ran."""

    succeeded: int
    failed: int
    median_seconds: float | None
    p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class Activity:
    """The last 15 minutes: all of them in `total`, and in even stretches, oldest first.

    The last stretch is the current one, still filling. `finished_per_second` is over the last minute.
    """

    bucket_seconds: float
    finished_per_second: float
    total: Bucket
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class FailureStatus:
    """Tasks that failed with one message: how many, and the last of them. Times are epoch seconds."""

    at_seconds: float
    count: int
    task_id: str
    task_type: str
    message: str


@dataclass(frozen=True, slots=True)
class DeathStatus:
    """Workers that ended in one way: how often, and the last of them. Times are epoch seconds."""

    at_seconds: float
    count: int
    slot: int
    tasks_held: int
    how: str


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that the status page, the metrics' gauges and the probes show.

    `at_seconds` (epoch) is when it was published. `wait_seconds` is how long until the reason to be idle may
    end by itself; None if only a person or an event can end it. `troubles` is what has failed since the last
    success, for each kind of call. `provider` is one of `providers`: the one that tasks wait for, else the
    default one.
    """

    version: str
    at_seconds: float
    phase: Phase
    uptime_seconds: float
    not_ready: tuple[NotReady, ...]
    idle: Idle | None
    wait_seconds: float | None
    drain_seconds_left: float | None
    backlog: int
    in_flight: int
    outbox: int
    outbox_oldest_age_seconds: float
    rejected: int
    workers: tuple[WorkerStatus, ...]
    task_types: tuple[TaskTypeStatus, ...]
    breakers: tuple[BreakerStatus, ...]
    holds: tuple[HoldStatus, ...]
    provider: ProviderStatus
    providers: tuple[ProviderStatus, ...]
    poll: PollStatus
    rate_limits: tuple[RateLimitStatus, ...]
    tokens: tuple[TokensStatus, ...]
    activity: Activity
    failures: tuple[FailureStatus, ...]
    deaths: tuple[DeathStatus, ...]
    troubles: tuple[Trouble, ...]
    retry: RetryStatus | None
    learned: LearnedStatus
    loop_silent_seconds: float
    """How old this status was when it was asked for: the loop publishes one at least every second."""


class StatusBoard:
    """Where the loop publishes its latest status. One writer; readers on any thread see a whole one."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._published_at = 0.0

    def publish(self, status: Status, now: float) -> None:
        self._published_at, self._status = now, status

    def read(self) -> Status | None:
        """The latest status; None before the loop's first turn."""
        return self._status

    def read_aged(self, now: float) -> Status | None:
        """The latest status and, in it, how old it is. `now` is monotonic."""
        status = self._status
        return None if status is None else replace(status, loop_silent_seconds=self.age_seconds(now))

    def age_seconds(self, now: float) -> float:
        """How long the loop has been silent. `now` is monotonic."""
        return max(0.0, now - self._published_at)
