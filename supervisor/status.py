"""What the service says of itself: one frozen picture, drawn by the loop, read by everyone else."""

from dataclasses import dataclass
from enum import StrEnum

from supervisor.circuit_breaker import BreakerState


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
    API_CIRCUIT_OPEN = "api_circuit_open"
    PROVIDER_HOLD = "provider_hold"
    PROVIDER_CIRCUIT_OPEN = "provider_circuit_open"
    RATE_LIMITED = "rate_limited"
    RETRY_WAIT = "retry_wait"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    slot: int
    state: str
    seconds_in_state: float
    pid: int | None
    tasks_held: int
    tasks_done: int
    restarts: int
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    service: str
    state: BreakerState
    probe_in_seconds: float | None


@dataclass(frozen=True, slots=True)
class HoldStatus:
    provider: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PollStatus:
    """`last_success_at_seconds` is epoch time; 0 if no poll has succeeded yet."""

    last_result: str
    last_success_at_seconds: float
    next_in_seconds: float


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that the status page, the metrics' gauges and the probes show."""

    version: str
    phase: Phase
    uptime_seconds: float
    not_ready: tuple[NotReady, ...]
    idle: Idle | None
    backlog: int
    in_flight: int
    outbox: int
    outbox_oldest_age_seconds: float
    rejected: int
    workers: tuple[WorkerStatus, ...]
    breakers: tuple[BreakerStatus, ...]
    holds: tuple[HoldStatus, ...]
    poll: PollStatus


class StatusBoard:
    """Where the loop pins its latest status. One writer; readers on any thread see a whole one."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._pinned_at = 0.0

    def pin(self, status: Status, now: float) -> None:
        self._status, self._pinned_at = status, now

    def read(self) -> Status | None:
        """The latest status; None before the loop's first turn."""
        return self._status

    def age_seconds(self, now: float) -> float:
        """How long the loop has been silent. `now` is monotonic."""
        return now - self._pinned_at
