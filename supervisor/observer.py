"""Publishes a status of all that the loop owns, for everyone else to read."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import Report
from supervisor.loop_state import LoopState
from supervisor.pool.base import WorkerPool
from supervisor.pool.slot_table import SlotTable
from supervisor.providers.gate import Hold, ProviderGate
from supervisor.providers.model_limits import ModelLimits
from supervisor.providers.rate_limiter import RateLimiter
from supervisor.runtime.circuit_breaker import CircuitBreaker
from supervisor.runtime.trouble import Trouble, TroubleRecord
from supervisor.status.history import History
from supervisor.status.status import (
    Blocked,
    BreakerStatus,
    HoldStatus,
    Idle,
    LearnedStatus,
    NotReady,
    Phase,
    PollStatus,
    ProviderStatus,
    RetryStatus,
    SlotState,
    Status,
    StatusBoard,
    WorkerStatus,
)
from supervisor.task_api.gate import APIGate
from supervisor.task_api.report_pace import ReportPace
from supervisor.task_api.responses import PollResult
from supervisor.task_api.sender import Outbox
from supervisor.tasks.backlog import Backlog
from supervisor.tasks.polling import Polling

NO_POLL = "none"
REFRESH_SECONDS = 0.1
RSS_SAMPLE_SECONDS = 1.0
MAX_MODELS_SHOWN = 50


@dataclass(slots=True)
class Observer:
    """Owned by the loop; `clock` is monotonic, `wall` gives epoch seconds.

    `provider` names the provider in labels.
    """

    version: str
    provider: str
    state: LoopState
    journal: TaskJournal
    backlog: Backlog
    outbox: Outbox[Report]
    table: SlotTable
    pool: WorkerPool
    polling: Polling
    api_gate: APIGate
    provider_gate: ProviderGate
    limiter: RateLimiter
    model_limits: ModelLimits
    report_pace: ReportPace
    history: History
    board: StatusBoard
    clock: Callable[[], float]
    wall: Callable[[], float] = time.time
    _started_at: float = field(init=False)
    _stale: bool = field(init=False, default=True)
    _refreshed_at: float = field(init=False, default=-REFRESH_SECONDS)
    _rss_sampled_at: float = field(init=False, default=-RSS_SAMPLE_SECONDS)

    def __post_init__(self) -> None:
        self._started_at = self.clock()

    def refresh(self) -> None:
        """Publish a new status, at most ten times a second."""
        now = self.clock()
        self._stale = now - self._refreshed_at < REFRESH_SECONDS
        if not self._stale:
            self._refreshed_at = now
            self._sample_rss(now)
            self.board.publish(self.snapshot(), now)

    def next_at(self) -> float:
        """When to refresh again: soon, if the last turn came too soon after a refresh to be shown."""
        return self._refreshed_at + (REFRESH_SECONDS if self._stale else RSS_SAMPLE_SECONDS)

    def snapshot(self) -> Status:
        now = self.clock()
        in_flight = self.table.tasks_in_flight()
        blocked = self.provider_gate.blocked()
        idle = None if in_flight else self._idle(blocked)
        return Status(
            version=self.version,
            at_seconds=self.wall(),
            phase=self._phase(),
            uptime_seconds=now - self._started_at,
            not_ready=tuple(self._not_ready()),
            idle=idle,
            wait_seconds=_until(None if idle is None else self._ends_at(idle, blocked), now),
            drain_seconds_left=_until(self.state.drain_deadline, now),
            backlog=len(self.backlog),
            in_flight=in_flight,
            outbox=len(self.outbox),
            outbox_oldest_age_seconds=self.outbox.oldest_age_seconds(now),
            rejected=self.journal.rejected,
            workers=self._workers(now),
            breakers=(
                _breaker("api", self.api_gate.breaker, now),
                _breaker(self.provider, self.provider_gate.breaker, now),
            ),
            holds=tuple(self._holds(now)),
            provider=ProviderStatus(self.provider, blocked, _until(self.provider_gate.opens_at(), now)),
            poll=self._poll(now),
            rate_limits=self.limiter.rates(),
            tokens=self.history.tokens(),
            activity=self.history.activity(),
            failures=self.history.failures(),
            deaths=self.history.deaths(),
            troubles=self._troubles(),
            retry=self._retry(),
            learned=self._learned(),
            loop_silent_seconds=0.0,
        )

    def _sample_rss(self, now: float) -> None:
        if now - self._rss_sampled_at >= RSS_SAMPLE_SECONDS:
            self._rss_sampled_at = now
            for number, slot in enumerate(self.table):
                slot.rss_bytes = self.pool.rss_bytes(number) or slot.rss_bytes

    def _phase(self) -> Phase:
        if self.state.draining:
            return Phase.DRAINING
        if self.state.paused:
            return Phase.PAUSED
        return Phase.RUNNING if self.state.ever_had_worker else Phase.STARTING

    def _has_worker(self) -> bool:
        return any(slot.state in (SlotState.IDLE, SlotState.BUSY) for slot in self.table)

    def _only_held_models_wait(self) -> bool:
        """All tasks that wait are for models that the provider seems not to have."""
        held = self.provider_gate.model_holds
        waits = bool(len(self.backlog)) and not self.backlog.has_ready
        return bool(held) and waits and self.backlog.next_due_at is None

    def _not_ready(self) -> list[NotReady]:
        reasons = {
            NotReady.STARTING: not self.state.ever_had_worker,
            NotReady.DRAINING: self.state.draining,
            NotReady.API_CIRCUIT_OPEN: self.api_gate.probing,
            NotReady.PROVIDER_HOLD: self.provider_gate.hold is not None or self._only_held_models_wait(),
            NotReady.NO_WORKERS: self.state.ever_had_worker and not self._has_worker(),
            NotReady.JOURNAL_UNWRITABLE: not self.state.journal_writable,
        }
        return [reason for reason, holds in reasons.items() if holds]

    def _idle(self, blocked: Blocked | None) -> Idle:
        """The first thing that stands in the way of work."""
        reasons = {
            Idle.DRAINING: self.state.draining,
            Idle.PAUSED: self.state.paused,
            Idle.STARTING: not self.state.ever_had_worker,
            Idle.NO_WORKERS: not self._has_worker(),
            Idle.JOURNAL_UNWRITABLE: not self.state.journal_writable,
            Idle.OUTBOX_FULL: self.state.outbox_full,
        }
        for reason, holds in reasons.items():
            if holds:
                return reason
        if not len(self.backlog):
            return self._idle_without_tasks()
        if blocked is not None:
            return blocked
        if self._only_held_models_wait():
            return Idle.PROVIDER_HOLD
        # The provider's gate is open and a worker is idle, so what is ready waits for the limiter.
        return Idle.RATE_LIMITED if self.backlog.has_ready else Idle.RETRY_WAIT

    def _idle_without_tasks(self) -> Idle:
        if self.api_gate.probing:
            return Idle.API_CIRCUIT_OPEN
        fails = self.polling.last_result not in (None, PollResult.TASKS, PollResult.EMPTY)
        return Idle.POLLS_FAILING if fails else Idle.NO_WORK

    def _ends_at(self, idle: Idle, blocked: Blocked | None) -> float | None:
        """When (monotonic) this reason may end by itself; None if only an event or a person can end it."""
        match idle:
            case Idle.NO_WORK | Idle.POLLS_FAILING:
                return self.polling.next_at_with_room()
            case Idle.API_CIRCUIT_OPEN:
                return self.api_gate.breaker.reopens_at
            case Idle.RATE_LIMITED if blocked is None:
                return self.limiter.opens_at()
            case Idle.PROVIDER_HOLD | Idle.PROVIDER_CIRCUIT_OPEN | Idle.RATE_LIMITED:
                return self.provider_gate.opens_at()
            case Idle.RETRY_WAIT:
                return self.backlog.next_due_at
            case (
                Idle.STARTING
                | Idle.PAUSED
                | Idle.DRAINING
                | Idle.NO_WORKERS
                | Idle.JOURNAL_UNWRITABLE
                | Idle.OUTBOX_FULL
            ):
                return None

    def _poll(self, now: float) -> PollStatus:
        return PollStatus(
            last_result=self.polling.last_result or NO_POLL,
            last_success_at_seconds=self.polling.last_success_at_seconds,
            next_in_seconds=max(0.0, self.polling.next_at_with_room() - now),
            under_way=self.polling.scheduler.polling,
        )

    def _workers(self, now: float) -> tuple[WorkerStatus, ...]:
        return tuple(
            WorkerStatus(
                slot=number,
                state=slot.state,
                seconds_in_state=now - slot.since,
                pid=slot.pid,
                tasks_held=len(slot.assignment.records) if slot.assignment else 0,
                model=slot.assignment.unit.model_label if slot.assignment else "",
                tasks_done=slot.tasks_done,
                restarts=slot.restarts,
                rss_bytes=slot.rss_bytes,
            )
            for number, slot in enumerate(self.table)
        )

    def _troubles(self) -> tuple[Trouble, ...]:
        """What has failed since the last success, for each kind of call."""
        reports, polls = self.api_gate.reports, self.api_gate.polls
        records = [self.state.journal_trouble, polls.trouble, self.provider_gate.trouble]
        # A report that ended because its task is gone was no success. It is no trouble either.
        if len(self.outbox) or reports.probing:
            records.insert(2, reports.trouble)
        return tuple(record.current for record in records if record.current is not None)

    def _holds(self, now: float) -> Iterator[HoldStatus]:
        """The hold of the whole provider first, then those of single models."""
        gate = self.provider_gate
        if gate.hold is not None:
            yield self._hold(gate.hold, "", gate.trouble, _until(gate.opens_at(), now))
        for hold in gate.model_holds[:MAX_MODELS_SHOWN]:
            model = hold.key.model
            retry_in_seconds = _until(gate.model_retry_at(model), now)
            yield self._hold(hold, model, gate.model_trouble(model), retry_in_seconds)

    def _hold(
        self, hold: Hold, model: str, record: TroubleRecord | None, next_try_in_seconds: float | None
    ) -> HoldStatus:
        trouble = record.current if record else None
        return HoldStatus(
            provider=self.provider,
            reason=hold.reason,
            message=hold.message,
            model=model,
            times=trouble.times if trouble else 0,
            since_seconds=trouble.since_seconds if trouble else 0.0,
            next_try_in_seconds=next_try_in_seconds,
        )

    def _retry(self) -> RetryStatus | None:
        """The tasks that wait for their retry; None if none does."""
        last = self.provider_gate.trouble.last
        tasks = self.backlog.delayed - self.backlog.set_aside
        if not tasks or last is None:
            return None
        return RetryStatus(tasks, last.reason, last.detail, last.last_seconds)

    def _learned(self) -> LearnedStatus:
        page, reports_per_second = self.polling.scheduler.learned_limit, self.report_pace.reports_per_second
        return LearnedStatus(
            tasks_a_page=None if page.fails_from is None else page.works_up_to,
            poll_wait_seconds=self.polling.scheduler.learned_wait_seconds,
            reports_per_second=None if reports_per_second is None else round(reports_per_second, 1),
            models=self.model_limits.learned(),
        )


def _breaker(service: str, breaker: CircuitBreaker, now: float) -> BreakerStatus:
    return BreakerStatus(service, breaker.state, _until(breaker.reopens_at, now))


def _until(moment: float | None, now: float) -> float | None:
    return None if moment is None else max(0.0, moment - now)
