"""Publishes a status of all that the loop owns, for everyone else to read."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import Report
from supervisor.loop_state import LoopState
from supervisor.pool.base import WorkerPool
from supervisor.pool.slot_table import Slot, SlotTable
from supervisor.providers.registry import Providers
from supervisor.runtime.circuit_breaker import CircuitBreaker
from supervisor.runtime.trouble import Trouble, Troubles
from supervisor.status.history import History
from supervisor.status.status import (
    BreakerStatus,
    Idle,
    LearnedStatus,
    NotReady,
    Phase,
    PollStatus,
    SlotState,
    Status,
    StatusBoard,
    TaskTypeStatus,
    WorkerStatus,
)
from supervisor.task_api.gate import APIGate
from supervisor.task_api.report_pace import ReportPace
from supervisor.task_api.responses import PollResult
from supervisor.task_api.sender import Outbox
from supervisor.tasks.backlog import Backlog
from supervisor.tasks.leases import Leases
from supervisor.tasks.obstacles import Obstacle, ProvidersView, seconds_until
from supervisor.tasks.polling import Polling

NO_POLL = "none"
REFRESH_SECONDS = 0.1
RSS_SAMPLE_SECONDS = 1.0


@dataclass(slots=True)
class Observer:
    """Owned by the loop; `clock` is monotonic, `wall` gives epoch seconds."""

    version: str
    state: LoopState
    journal: TaskJournal
    backlog: Backlog
    outbox: Outbox[Report]
    table: SlotTable
    pool: WorkerPool
    polling: Polling
    leases: Leases
    api_gate: APIGate
    providers: Providers
    report_pace: ReportPace
    processor_troubles: Troubles
    history: History
    board: StatusBoard
    task_types: tuple[str, ...]
    task_limits: Mapping[str, int]
    clock: Callable[[], float]
    wall: Callable[[], float] = time.time
    _view: ProvidersView = field(init=False)
    _started_at: float = field(init=False)
    _stale: bool = field(init=False, default=True)
    _refreshed_at: float = field(init=False, default=-REFRESH_SECONDS)
    _rss_sampled_at: float = field(init=False, default=-RSS_SAMPLE_SECONDS)

    def __post_init__(self) -> None:
        self._started_at = self.clock()
        self._view = ProvidersView(self.providers, self.backlog, self.clock)

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
        obstacle = None if in_flight else self._view.obstacle()
        idle = None if in_flight else self._idle(obstacle)
        providers = self._view.statuses(self.table.tasks_by_provider())
        shown = (self.providers.default if obstacle is None else obstacle.provider).name
        return Status(
            version=self.version,
            at_seconds=self.wall(),
            phase=self._phase(),
            uptime_seconds=now - self._started_at,
            not_ready=tuple(self._not_ready()),
            idle=idle,
            wait_seconds=seconds_until(None if idle is None else self._ends_at(idle, obstacle), now),
            drain_seconds_left=seconds_until(self.state.drain_deadline, now),
            backlog=len(self.backlog),
            in_flight=in_flight,
            outbox=len(self.outbox),
            outbox_oldest_age_seconds=self.outbox.oldest_age_seconds(now),
            rejected=self.journal.rejected,
            workers=self._workers(now),
            task_types=tuple(self._task_types()),
            breakers=(
                _breaker("api", self.api_gate.breaker, now),
                *self._view.breakers(),
            ),
            holds=tuple(self._view.holds()),
            provider=next(each for each in providers if each.name == shown),
            providers=providers,
            poll=self._poll(now),
            rate_limits=self._view.rate_limits(),
            tokens=self.history.tokens(),
            activity=self.history.activity(),
            failures=self.history.failures(),
            deaths=self.history.deaths(),
            troubles=self._troubles(),
            retry=self._view.retry(),
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

    def _not_ready(self) -> list[NotReady]:
        reasons = {
            NotReady.STARTING: not self.state.ever_had_worker,
            NotReady.DRAINING: self.state.draining,
            NotReady.API_CIRCUIT_OPEN: self.api_gate.probing,
            NotReady.PROVIDER_HOLD: self._view.holds_up_tasks() or self._view.only_held_models_wait(),
            NotReady.NO_WORKERS: self.state.ever_had_worker and not self._has_worker(),
            NotReady.JOURNAL_UNWRITABLE: not self.state.journal_writable,
        }
        return [reason for reason, holds in reasons.items() if holds]

    def _idle(self, obstacle: Obstacle | None) -> Idle:
        """The first thing that stands in the way of work."""
        reasons = {
            Idle.DRAINING: self.state.draining,
            Idle.PAUSED: self.state.paused,
            Idle.STARTING: not self.state.ever_had_worker,
            Idle.NO_WORKERS: not self._has_worker(),
            Idle.JOURNAL_UNWRITABLE: not self.state.journal_writable,
            Idle.OUTBOX_FULL: self.state.outbox_full,
            Idle.CLAIMS_UNSURE: self._has_claims() and not self.leases.are_sure,
        }
        for reason, holds in reasons.items():
            if holds:
                return reason
        return self._idle_without_tasks() if obstacle is None else obstacle.reason

    def _has_claims(self) -> bool:
        """Do tasks wait to be claimed, or to run as claimed ones?"""
        return bool(len(self.backlog) + len(self.polling.claims))

    def _idle_without_tasks(self) -> Idle:
        if self.api_gate.probing:
            return Idle.API_CIRCUIT_OPEN
        fails = self.polling.last_result not in (None, PollResult.TASKS, PollResult.EMPTY)
        return Idle.POLLS_FAILING if fails else Idle.NO_WORK

    def _ends_at(self, idle: Idle, obstacle: Obstacle | None) -> float | None:
        """When (monotonic) this reason may end by itself; None if only an event or a person can end it."""
        match idle:
            case Idle.NO_WORK | Idle.POLLS_FAILING:
                return self.polling.next_at_with_room()
            case Idle.CLAIMS_UNSURE:
                return self.leases.next_at()
            case Idle.API_CIRCUIT_OPEN:
                return self.api_gate.breaker.reopens_at
            case Idle.PROVIDER_HOLD | Idle.PROVIDER_CIRCUIT_OPEN | Idle.RATE_LIMITED | Idle.RETRY_WAIT:
                return None if obstacle is None else obstacle.ends_at
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
                tasks_held=slot.tasks_held,
                units_held=len(slot.assignments),
                model=_model_of(slot),
                tasks_done=slot.tasks_done,
                restarts=slot.restarts,
                rss_bytes=slot.rss_bytes,
            )
            for number, slot in enumerate(self.table)
        )

    def _task_types(self) -> Iterator[TaskTypeStatus]:
        waiting: Counter[str] = Counter()
        for key, tasks in self.backlog.waiting.items():
            waiting[key.task_type] += tasks
        running = self.table.units_by_type()
        for name in dict.fromkeys((*self.task_types, *self.task_limits)):
            yield TaskTypeStatus(name, waiting[name], running[name], self.task_limits.get(name))

    def _troubles(self) -> tuple[Trouble, ...]:
        """What has failed since the last success, for each kind of call."""
        reports, polls = self.api_gate.reports, self.api_gate.polls
        records = [self.state.journal_trouble, polls.trouble, *self._view.troubles()]
        # A report that ended because its task is gone was no success. It is no trouble either.
        if len(self.outbox) or reports.probing:
            records.insert(2, reports.trouble)
        records += [self.state.pool_trouble, *self.processor_troubles]
        return tuple(record.current for record in records if record.current is not None)

    def _learned(self) -> LearnedStatus:
        page, reports_per_second = self.polling.scheduler.learned_limit, self.report_pace.reports_per_second
        return LearnedStatus(
            tasks_a_page=None if page.fails_from is None else page.works_up_to,
            poll_wait_seconds=self.polling.scheduler.learned_wait_seconds,
            reports_per_second=None if reports_per_second is None else round(reports_per_second, 1),
            models=self._view.learned(),
        )


def _breaker(service: str, breaker: CircuitBreaker, now: float) -> BreakerStatus:
    return BreakerStatus(service, breaker.state, seconds_until(breaker.reopens_at, now))


def _model_of(slot: Slot) -> str:
    """The model of what the slot's worker holds; empty where there are several."""
    models = {assignment.unit.model_label for assignment in slot.assignments.values()}
    return models.pop() if len(models) == 1 else ""
