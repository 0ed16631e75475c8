"""Looks at all that the loop owns and pins a status for everyone else to read."""

from collections.abc import Callable
from dataclasses import dataclass, field

from supervisor.api_gate import APIGate
from supervisor.backlog import Backlog
from supervisor.circuit_breaker import CircuitBreaker
from supervisor.journal import TaskJournal
from supervisor.outbox import Outbox
from supervisor.pool.base import WorkerPool
from supervisor.pool.slot_table import SlotState, SlotTable
from supervisor.provider_gate import ProviderGate
from supervisor.scheduler import TaskScheduler
from supervisor.shutdown import ShutdownManager
from supervisor.status import (
    BreakerStatus,
    HoldStatus,
    Idle,
    NotReady,
    Phase,
    PollStatus,
    Status,
    StatusBoard,
    WorkerStatus,
)

LOOK_EVERY_SECONDS = 0.1
WEIGH_EVERY_SECONDS = 1.0


@dataclass(slots=True)
class Conditions:
    """What the loop alone knows of how the service is. Written by the loop."""

    paused: bool = False
    journal_writable: bool = True
    outbox_full: bool = False
    ever_had_worker: bool = False
    last_poll_result: str = "none"
    last_poll_success_at_seconds: float = 0.0


@dataclass(slots=True)
class Observer:
    """Owned by the loop; `clock` is monotonic. `provider` names the provider in labels."""

    version: str
    provider: str
    conditions: Conditions
    journal: TaskJournal
    backlog: Backlog
    outbox: Outbox
    table: SlotTable
    pool: WorkerPool
    scheduler: TaskScheduler
    shutdown_manager: ShutdownManager
    api_gate: APIGate
    provider_gate: ProviderGate
    board: StatusBoard
    clock: Callable[[], float]
    _started_at: float = field(init=False)
    _stale: bool = field(init=False, default=True)
    _looked_at: float = field(init=False, default=-LOOK_EVERY_SECONDS)
    _weighed_at: float = field(init=False, default=-WEIGH_EVERY_SECONDS)

    def __post_init__(self) -> None:
        self._started_at = self.clock()

    def look(self) -> None:
        """Pin a new status, at most ten times a second."""
        now = self.clock()
        self._stale = now - self._looked_at < LOOK_EVERY_SECONDS
        if not self._stale:
            self._looked_at = now
            self._weigh(now)
            self.board.pin(self.draw(), now)

    def next_at(self) -> float:
        """When to look again: soon, if the last turn was too close behind a look to be seen."""
        return self._looked_at + (LOOK_EVERY_SECONDS if self._stale else WEIGH_EVERY_SECONDS)

    def draw(self) -> Status:
        now = self.clock()
        in_flight = self.table.tasks_in_flight()
        return Status(
            version=self.version,
            phase=self._phase(),
            uptime_seconds=now - self._started_at,
            not_ready=tuple(self._not_ready()),
            idle=None if in_flight else self._idle(),
            backlog=len(self.backlog),
            in_flight=in_flight,
            outbox=len(self.outbox),
            outbox_oldest_age_seconds=self.outbox.oldest_age_seconds(now),
            rejected=self.journal.rejected,
            workers=self._workers(now),
            breakers=(
                self._breaker("api", self.api_gate.breaker, now),
                self._breaker(self.provider, self.provider_gate.breaker, now),
            ),
            holds=self._holds(),
            poll=PollStatus(
                self.conditions.last_poll_result,
                self.conditions.last_poll_success_at_seconds,
                max(0.0, self.scheduler.next_at - now),
            ),
        )

    def _weigh(self, now: float) -> None:
        if now - self._weighed_at >= WEIGH_EVERY_SECONDS:
            self._weighed_at = now
            for number, slot in enumerate(self.table):
                slot.rss_bytes = self.pool.rss_bytes(number) or slot.rss_bytes

    def _phase(self) -> Phase:
        if self.shutdown_manager.draining:
            return Phase.DRAINING
        if self.conditions.paused:
            return Phase.PAUSED
        return Phase.RUNNING if self.conditions.ever_had_worker else Phase.STARTING

    def _has_worker(self) -> bool:
        return any(slot.state in (SlotState.IDLE, SlotState.BUSY) for slot in self.table)

    def _not_ready(self) -> list[NotReady]:
        reasons = {
            NotReady.STARTING: not self.conditions.ever_had_worker,
            NotReady.DRAINING: self.shutdown_manager.draining,
            NotReady.API_CIRCUIT_OPEN: self.api_gate.probing,
            NotReady.PROVIDER_HOLD: self.provider_gate.hold is not None,
            NotReady.NO_WORKERS: self.conditions.ever_had_worker and not self._has_worker(),
            NotReady.JOURNAL_UNWRITABLE: not self.conditions.journal_writable,
        }
        return [reason for reason, holds in reasons.items() if holds]

    def _idle(self) -> Idle:
        """The first thing that stands in the way of work."""
        blocked = self.provider_gate.blocked() if len(self.backlog) else None
        reasons = {
            Idle.DRAINING: self.shutdown_manager.draining,
            Idle.PAUSED: self.conditions.paused,
            Idle.STARTING: not self.conditions.ever_had_worker,
            Idle.NO_WORKERS: not self._has_worker(),
            Idle.JOURNAL_UNWRITABLE: not self.conditions.journal_writable,
            Idle.OUTBOX_FULL: self.conditions.outbox_full,
        }
        for reason, holds in reasons.items():
            if holds:
                return reason
        if blocked is not None:
            return Idle(blocked.value)
        if self.api_gate.probing and not len(self.backlog):
            return Idle.API_CIRCUIT_OPEN
        return Idle.RETRY_WAIT if len(self.backlog) else Idle.NO_WORK

    def _workers(self, now: float) -> tuple[WorkerStatus, ...]:
        return tuple(
            WorkerStatus(
                slot=number,
                state=slot.state,
                seconds_in_state=now - slot.since,
                pid=slot.pid,
                tasks_held=len(slot.assignment.records) if slot.assignment else 0,
                tasks_done=slot.tasks_done,
                restarts=slot.restarts,
                rss_bytes=slot.rss_bytes,
            )
            for number, slot in enumerate(self.table)
        )

    def _breaker(self, service: str, breaker: CircuitBreaker, now: float) -> BreakerStatus:
        reopens_at = breaker.reopens_at
        return BreakerStatus(
            service, breaker.state, None if reopens_at is None else max(0.0, reopens_at - now)
        )

    def _holds(self) -> tuple[HoldStatus, ...]:
        hold = self.provider_gate.hold
        return () if hold is None else (HoldStatus(self.provider, hold.reason, hold.message),)
