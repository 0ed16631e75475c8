"""Gives units to idle workers, and ends workers that overrun their time or are due to be replaced."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from shared.errors import RetryReason
from shared.logs import LogEvent, get_logger
from shared.messages import Unit
from shared.metrics import BoundedLabels, SupervisorMetrics
from shared.models import BatchKey, Task
from shared.settings import Settings
from supervisor.journal.journal import InputUnreadableError, TaskJournal
from supervisor.journal.task_record import TaskRecord
from supervisor.pool.base import UnitFinished, UnitProgressed, WorkerDied, WorkerPool, WorkerStarted
from supervisor.pool.places import Places
from supervisor.pool.slot_table import Assignment, Slot, SlotTable
from supervisor.providers.model_limits import NOTHING, Allowance
from supervisor.providers.registry import Providers, ProviderState
from supervisor.status.history import History
from supervisor.status.status import SlotState
from supervisor.tasks.backlog import Backlog
from supervisor.tasks.groups import Group
from supervisor.tasks.outcomes import UNREADABLE_SECONDS, OutcomeHandler, describe_death
from workers.factory import ProcessorFactory

HELD_BACK_SECONDS = 1.0
MAX_UNIT_BYTES = 4 * 2**20
"""Of texts, unless a single one is larger. Both sides of the pipe hold several copies of them for a while."""

log = get_logger("dispatcher")


@dataclass(slots=True)
class Dispatcher:
    """Owned by the loop; monotonic clock. `plan` decides and notes; `act` hands over after the commit."""

    pool: WorkerPool
    table: SlotTable
    backlog: Backlog
    journal: TaskJournal
    providers: Providers
    outcomes: OutcomeHandler
    processors: ProcessorFactory
    metrics: SupervisorMetrics
    history: History
    settings: Settings
    clock: Callable[[], float]
    _unit_ids: Iterator[int] = field(init=False, default_factory=lambda: itertools.count(1))
    _models: BoundedLabels = field(init=False, default_factory=BoundedLabels)
    _planned: list[tuple[int, int, Unit]] = field(init=False, default_factory=list)
    _chosen: dict[BatchKey, ProviderState] = field(init=False, default_factory=dict)
    """Where the units of a key go that are formed now."""
    _running: Counter[str] = field(init=False, default_factory=Counter)
    """Units of each task type that workers hold, with those that are formed now."""
    _probe_others: set[str] = field(init=False, default_factory=set)
    """Providers on hold that are next asked for a model other than the one they refused."""

    def plan(self) -> None:
        """Form units for idle workers, as their providers' gates allow, and note them in the journal."""
        self.outcomes.wake()
        self.backlog.wake(self.clock())
        if not len(self.backlog) and not any(self._asks_canaries(each) for each in self.providers):
            return
        self._chosen.clear()
        places = self.table.places()
        if not places:
            return
        self._running = self.table.units_by_type()
        for provider in self.providers:
            self._ask_canaries(provider, places)
        if not places or self._plan_exclusive(places):
            return
        for slot, group in self.backlog.take(places, self._allow, self._running):
            if whole := self._with_inputs(group):
                self._plan_unit(slot, whole)

    def _plan_exclusive(self, places: Places) -> bool:
        """Is the turn of a task that nothing may run beside? It begins once the others have ended."""
        if self.table.runs_exclusive():
            return True
        record = self.backlog.next_exclusive(self._allow)
        if record is not None and not self.table.busy():
            self.backlog.take_exclusive(record)
            if whole := self._with_inputs((record,)):
                self._plan_unit(places.take_idle(), whole)
        return record is not None

    def _asks_canaries(self, provider: ProviderState) -> bool:
        return bool(provider.canaries) or provider.gate.hold is not None

    def _ask_canaries(self, provider: ProviderState, places: Places) -> None:
        """Give the provider's canaries that wait to workers with room."""
        if not places or provider.gate.blocked():
            return
        self._want_canary_of_hold(provider)
        while provider.canaries and places and not provider.gate.blocked():
            key = provider.canaries.next(
                lambda key: self._has_room(key.task_type) and bool(provider.limiter.max_bytes(key.model))
            )
            if key is None:
                break
            if (task := provider.canaries.take(key)) is None:
                self.outcomes.no_canary(provider, key.model)
                continue
            log.info(LogEvent.CANARY_ASKED, provider=provider.name, model=self._models.bound(task.key.model))
            self._assign(places.take(), provider, (task,), ())

    def _want_canary_of_hold(self, provider: ProviderState) -> None:
        """A provider that refuses everything is asked for what it refused, and in turn for other models."""
        hold = provider.gate.hold
        if hold is None or hold.reason is not RetryReason.REFUSED:
            self._probe_others.discard(provider.name)
            return
        if provider.name in self._probe_others and self._has_other_models(provider, hold.key.model):
            self._probe_others.discard(provider.name)
        else:
            provider.canaries.want(hold.key)
            self._probe_others.add(provider.name)

    def _has_other_models(self, provider: ProviderState, model: str) -> bool:
        """Are there tasks for this provider that may run, of another model than this?"""
        return any(
            key.model != model and self.providers.open_for(key) is provider
            for key in self.backlog.batch_keys()
        )

    def _allow(self, key: BatchKey) -> Allowance:
        """How large a unit of this key may be now, for the provider that it goes to."""
        if not self._has_room(key.task_type):
            return NOTHING
        provider = self.providers.open_for(key)
        if provider is None or self.backlog.waits_for_answer(provider.name, key.model):
            return NOTHING
        size_bytes = provider.limiter.max_bytes(key.model)
        if not size_bytes:
            return NOTHING
        gate = provider.gate
        hold = gate.hold
        if hold is not None and hold.reason is RetryReason.REFUSED and hold.key.model == key.model:
            return NOTHING  # its canary goes
        batch = self.processors.limits(key.task_type).batch or self.settings.batch_max_tasks
        inputs = 1 if gate.probing else min(batch, self.settings.batch_max_tasks)
        wanted = Allowance(inputs, min(size_bytes, MAX_UNIT_BYTES))
        under_way = self.table.calls_under_way(provider.name, key.model)
        self._chosen[key] = provider
        return provider.limits.allowance(key.model, wanted, under_way)

    def _has_room(self, task_type: str) -> bool:
        """Does TASK_LIMITS allow one more unit of the type?"""
        return self._running[task_type] < self.settings.task_limits.get(
            task_type, self._running[task_type] + 1
        )

    def act(self, *, may_begin: bool) -> None:
        """Hand over what was planned. Call after the commit: what runs must be on disk as running."""
        for slot, pid, unit in self._planned:
            if self._held_back(slot, unit, may_begin=may_begin):
                continue
            log.debug(LogEvent.UNIT_DISPATCHED, unit_id=unit.id, slot=slot, tasks=len(unit.tasks))
            self.table.begin(slot, unit.id, self.clock() + unit.timeout_seconds)
            self.pool.dispatch(slot, pid, unit)
        self._planned.clear()

    def _timeout_seconds(self, key: BatchKey) -> float:
        return self.processors.limits(key.task_type).timeout_seconds or self.settings.task_timeout_seconds

    def _held_back(self, slot: int, unit: Unit, *, may_begin: bool) -> bool:
        """A full disk delayed the unit, and now nothing may begin, or its provider must not be called."""
        provider = self.providers[unit.provider]
        assignment, now = self.table.holds(slot, unit.id), self.clock()
        if assignment is None:
            return True  # its worker died meanwhile
        is_late = now - assignment.started_at >= HELD_BACK_SECONDS
        if may_begin and not (is_late and provider.gate.blocked()):
            return False
        self.table.finished(slot, unit.id, now)
        provider.limiter.lost(unit.key.model, unit.id)
        self.outcomes.undone(assignment)
        self._recycle_if_due(slot)
        return True

    def started(self, event: WorkerStarted) -> None:
        """A worker is ready for its first unit."""
        self.table.started(event.slot, event.pid, self.clock())
        self.table[event.slot].rss_bytes = self.pool.rss_bytes(event.slot)
        place = {"where": event.where} if event.where else {}
        log.info(LogEvent.WORKER_STARTED, slot=event.slot, pid=event.pid, **place)

    def progressed(self, event: UnitProgressed) -> None:
        """Some tasks of a unit are done, and their worker goes on with the others."""
        assignment = self.table.holds(event.slot, event.progress.unit_id)
        if assignment is None:
            return
        rest = self.outcomes.progressed(assignment, event.progress.outcomes)
        self._observe(assignment, tasks=rest.ended - assignment.ended)
        self.table.progressed(event.slot, rest)

    def finished(self, event: UnitFinished) -> None:
        """A worker answered."""
        now = self.clock()
        assignment = self.table.finished(event.slot, event.done.unit_id, now)
        if assignment is None:
            return
        seconds = now - assignment.started_at
        log.debug(
            LogEvent.UNIT_FINISHED, unit_id=event.done.unit_id, slot=event.slot, seconds=round(seconds, 4)
        )
        unit, done = assignment.unit, event.done
        self._observe(assignment, tasks=len(assignment.records))
        tokens = assignment.tokens + done.total_tokens
        limiter = self.providers[unit.provider].limiter
        limiter.answered(unit.key.model, unit.id, unit.size_bytes, tokens, done.rate_limits)
        self.outcomes.answered(assignment, done)
        self._recycle_if_due(event.slot)

    def _observe(self, assignment: Assignment, tasks: int) -> None:
        """Measure how long so many tasks of the unit took."""
        processing = self.metrics.processing.labels(assignment.unit.key.task_type)
        for _ in range(tasks):
            processing.observe(self.clock() - assignment.started_at)

    def died(self, event: WorkerDied) -> None:
        """A worker process ended; another is on its way."""
        row = self.table[event.slot]
        how = self._tell_death(event, row)
        guilty = row.overrun or frozenset(event.unit_ids)
        held = self.table.died(event.slot, was_ready=event.was_ready, now=self.clock())
        for unit in (assignment.unit for assignment in held):
            self.providers[unit.provider].limiter.lost(unit.key.model, unit.id)
        reached = {unit_id for unit_id in event.unit_ids if unit_id in guilty}
        self.outcomes.worker_died([each for each in held if each.unit.id in reached], how)
        for assignment in held:
            if assignment.unit.id not in reached:
                self.outcomes.undone(assignment)

    def kill_overdue(self) -> None:
        """End workers with a unit that has run longer than it may. Their other units count it not."""
        for slot in self.table.overdue(self.clock()):
            self.table.killed(slot, self.clock())
            row = self.table[slot]
            types = row.task_types(row.overrun)
            facts = {"seconds": row.overrun_seconds, "task_types": types}
            log.error(LogEvent.UNIT_TIMED_OUT, slot=slot, **facts)
            self.pool.kill(slot)

    def next_at(self) -> float | None:
        """The next moment at which `plan` may have something to do, unless an event comes first."""
        if not self.table.with_room():
            return None
        moments = [self.backlog.next_due_at]
        for provider in self.providers:
            moments.append(provider.gate.opens_at())
            moments.append(provider.limiter.opens_at() if len(self.backlog) else None)
        return min((moment for moment in moments if moment is not None), default=None)

    def _with_inputs(self, group: Group) -> Group:
        """The group with the inputs that wait on disk; tasks that ask the same share one in memory.

        A task whose input cannot be read is left out, and tried again later.
        """
        inputs: dict[str, object] = {}
        whole: list[TaskRecord] = []
        for record in group:
            task = record.task
            if task.input_place is not None:
                whole.append(record)  # the worker reads it
                continue
            try:
                if task.question not in inputs:
                    inputs[task.question] = self.journal.input_of(record)
            except InputUnreadableError as error:
                facts = {"task_id": task.id, "correlation_id": task.correlation_id, "detail": str(error)}
                log.error(LogEvent.INPUT_UNREADABLE, **facts)
                self.backlog.add_later((record,), self.clock() + UNREADABLE_SECONDS)
                continue
            shared = task.input is inputs[task.question]
            whole.append(record if shared else record.with_input(inputs[task.question]))
        return tuple(whole)

    def _plan_unit(self, slot: int, group: Group) -> None:
        tasks = tuple(record.task for record in group)
        self._assign(slot, self._chosen[tasks[0].key], tasks, group)
        self.journal.note_running(record.task.id for record in group)
        now = self.clock()
        queue_wait = self.metrics.queue_wait.labels(group[0].task.task_type)
        for record in group:
            queue_wait.observe(now - record.received_at)

    def _assign(self, slot: int, provider: ProviderState, tasks: tuple[Task, ...], group: Group) -> None:
        unit = Unit(
            next(self._unit_ids),
            tasks,
            self._models.bound(tasks[0].key.model),
            provider.name,
            attempt=1 + max((record.attempts for record in group), default=0),
            timeout_seconds=self._timeout_seconds(tasks[0].key),
        )
        self.table.assign(slot, Assignment(unit, group, self.clock()))
        self._running[unit.key.task_type] += 1
        provider.gate.begin()
        provider.limiter.reserve(unit.key.model, unit.id, unit.size_bytes)
        provider.limits.began(unit.key.model, unit.inputs, unit.size_bytes)
        self._planned.append((slot, self.table[slot].pid or 0, unit))

    def _tell_death(self, event: WorkerDied, row: Slot) -> str:
        if row.state is SlotState.RECYCLING and not row.assignments:
            self.metrics.restarts.labels("recycled").inc()
            log.info(LogEvent.WORKER_RECYCLED, slot=event.slot)
            return "was recycled"
        timeout = row.overrun_seconds if row.timed_out else None
        how = event.reason or describe_death(
            event.exit_code,
            timed_out_after_seconds=timeout,
            rss_bytes=row.rss_bytes,
            time_limit=self._name_of_limit(timeout),
        )
        self.metrics.restarts.labels(
            "timeout" if row.timed_out else "died" if event.was_ready else "failed_start"
        ).inc()
        facts = {"exit_code": event.exit_code, "tasks": row.tasks_held}
        types = row.task_types(row.assignments)
        log.error(LogEvent.WORKER_DIED, slot=event.slot, how=how, task_types=types, **facts)
        self.history.died(event.slot, how, row.tasks_held)
        return how

    def _name_of_limit(self, seconds: float | None) -> str:
        is_ours = seconds in (None, self.settings.task_timeout_seconds)
        return "TASK_TIMEOUT_SECONDS" if is_ours else "the timeout_seconds of its task type"

    def _recycle_if_due(self, slot: int) -> None:
        """One worker at a time gets no more units, and is replaced when it holds none."""
        row = self.table[slot]
        if row.timed_out:
            return
        if row.state is not SlotState.RECYCLING:
            old = 0 < self.settings.worker_max_tasks <= row.tasks_done
            max_bytes = self.settings.worker_max_rss_mb * 2**20
            large = max_bytes > 0 and self.pool.rss_bytes(slot) >= max_bytes
            if not (old or large) or any(other.state is SlotState.RECYCLING for other in self.table):
                return
            self.table.recycling(slot, self.clock())
        if not row.assignments:
            self.pool.recycle(slot, row.pid or 0)
