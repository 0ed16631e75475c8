"""What becomes of a unit's tasks when its worker answers or dies: done, again, halved, or FAILED."""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.errors import Blame, RetryReason
from shared.logs import LogEvent, get_logger
from shared.messages import Failure, UnitDone, tokens_of
from shared.metrics import SupervisorMetrics
from shared.models import BatchKey, Output
from shared.retry import Backoff
from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import Claim, TaskRecord
from supervisor.pool.slot_table import Assignment
from supervisor.providers.decision import (
    CanaryAnswer,
    Decision,
    Facts,
    FailedUnit,
    attempts_needed,
    decide,
)
from supervisor.providers.gate import Hold
from supervisor.providers.registry import Providers, ProviderState
from supervisor.runtime.trouble import Cause, Troubles
from supervisor.tasks.backlog import Backlog, SetAside
from supervisor.tasks.completion import Completion
from supervisor.tasks.groups import Group, halves

SERVICE_DEATH = (
    "took the whole service with it: something killed the service, or ended it because it stood still;"
    " look at its memory limit and at what ended it"
)
UNREADABLE_SECONDS = 30.0
NOT_STARTED_SECONDS = 30.0
NO_OUTCOME = Failure("the processor gave no outcome for this task", blame=Blame.PROCESSOR)

log = get_logger("outcomes")


@dataclass(slots=True)
class OutcomeHandler:
    """Owned by the loop; `clock` is monotonic."""

    journal: TaskJournal
    backlog: Backlog
    completion: Completion
    providers: Providers
    backoff: Backoff
    metrics: SupervisorMetrics
    max_retries: int
    crash_limit: int
    has_canary: Callable[[BatchKey], bool]
    processor_troubles: Troubles
    clock: Callable[[], float]

    def answered(self, assignment: Assignment, done: UnitDone) -> None:
        """The worker answered for the unit as a whole, or for each of its tasks."""
        if done.unreadable:
            self._unreadable(assignment, done.unreadable)
        elif assignment.is_canary:
            self._canary_answered(assignment, done)
        else:
            self._finished(assignment, done)

    def progressed(self, assignment: Assignment, outcomes: Mapping[str, Output | Failure]) -> Assignment:
        """Some tasks have their outcome, and the unit goes on. What is left of the unit.

        What may have to do with the provider is decided upon at the unit's end, once for all its tasks.
        """
        left: list[TaskRecord] = []
        served: list[TaskRecord] = []
        known = {**outcomes, **assignment.outcomes}  # a second outcome of a task does not count
        alone = assignment.unit.inputs == 1
        for record in assignment.records:
            outcome = known.get(record.task.id)
            if outcome is not None and _is_served(outcome):
                served.append(record)
            if isinstance(outcome, Output):
                self.completion.succeed(record, outcome, assignment.started_at)
            elif outcome is not None and (outcome.is_answered or (_is_of_task(outcome) and not alone)):
                started_at, usage = assignment.started_at, outcome.usage
                self.completion.fail(record, outcome.message, started_at, outcome.shown, usage)
            else:
                left.append(record)
        ended = len(assignment.records) - len(left)
        ids = {record.task.id for record in left} if not assignment.is_canary else known.keys()
        return replace(
            assignment,
            records=tuple(left),
            outcomes={task_id: outcome for task_id, outcome in known.items() if task_id in ids},
            ended=assignment.ended + ended,
            served=(*assignment.served, *served),
            tokens=assignment.tokens + tokens_of(outcomes),
        )

    def worker_died(self, assignments: Sequence[Assignment], how: str) -> None:
        """A worker died of what it held of these units.

        The tasks run again, each alone; one that saw too many deaths, the last alone, is FAILED. Those that
        had their outcome before are no suspects.
        """
        for assignment in assignments:
            provider = self._undecided(assignment)
            if assignment.is_canary:
                self._end_canary(provider, assignment.unit.key.model, CanaryAnswer.FAILED)
            held = [record for record in assignment.records if record.task.id not in assignment.outcomes]
            alone = len(assignments) == len(held) == 1
            for before in held:
                record = before.after_crash()
                if not self._is_failed_for_crashes(record, how, assignment.started_at, alone=alone):
                    self.backlog.add(record)
            self._decide_failures(assignment)

    def service_died(self, records: Sequence[TaskRecord]) -> list[TaskRecord]:
        """The service died while these ran. Those that are to run again; the others are FAILED.

        The rule is that of workers: a death that many shared makes them suspects, and a task is FAILED only
        for one that it was alone for. So the next time each is a unit of its own, and if the service dies
        again, those that ran then follow one by one, with nothing beside them.
        """
        alone = len(records) == 1
        suspects = [record.after_service_death(alone=alone) for record in records]
        return [
            record
            for record in suspects
            if not self._is_failed_for_crashes(record, SERVICE_DEATH, self.clock(), alone=alone)
        ]

    def _is_failed_for_crashes(self, record: TaskRecord, how: str, started_at: float, *, alone: bool) -> bool:
        """FAILED where it has seen too many deaths, the last alone; else it is noted to run again."""
        if not alone or record.crashes < self.crash_limit:
            self._note_retry(record, RetryReason.CRASH)
            return False
        times = "once" if record.crashes == 1 else f"{record.crashes} times"
        message = f"the worker process died {times} on this task; the last time it {how}"
        self.completion.fail(record, message, started_at)
        return True

    def undone(self, assignment: Assignment) -> None:
        """The unit never reached a worker, or ended with its pool: nothing is said of its tasks."""
        provider = self._undecided(assignment)
        if assignment.is_canary:
            self._end_canary(provider, assignment.unit.key.model, CanaryAnswer.FAILED)
        self.journal.note_ready(assignment.records)
        self.backlog.put_back(assignment.records)

    def _unreadable(self, assignment: Assignment, unreadable: Mapping[str, str]) -> None:
        """The worker could not read some of the inputs from the disk. The other tasks run without these.

        What is lost is forgotten, since the API still lists the task with its input. The rest is tried again
        later: a person may mend the disk.
        """
        self._undecided(assignment)
        self.journal.note_ready(assignment.records)
        readable: list[TaskRecord] = []
        for record in assignment.records:
            task = record.task
            if (why := unreadable.get(task.id)) is None:
                readable.append(record)
                continue
            facts = {"task_id": task.id, "correlation_id": task.correlation_id, "detail": why}
            log.error(LogEvent.INPUT_UNREADABLE, **facts)
            if record.claim is Claim.NONE and self.journal.inputs.is_lost(task):
                self.journal.forget(task.id)
            else:
                self.backlog.add_later((record,), self.clock() + UNREADABLE_SECONDS)
        if readable:
            self.backlog.put_back(readable)

    def wake(self) -> None:
        """Models that were held are tried again when they are due.

        What waits for an answer of a provider that is closed goes to its stand-in, if there is one.
        """
        for provider in self.providers:
            for model in provider.gate.take_due_models():
                self._put_back_aside(provider.name, model)
        for name, model in self.backlog.awaited():
            if self.providers[name].gate.hold is not None and self._has_stand_in(name, model):
                self._put_back_aside(name, model)

    def _put_back_aside(self, provider: str, model: str) -> None:
        for aside in self.backlog.take_aside(provider, model):
            self.backlog.put_back(aside.group)

    def _has_stand_in(self, provider: str, model: str) -> bool:
        keys = (each.group[0].task.key for each in self.backlog.aside(provider, model))
        return any(self.providers.open_for(key) is not None for key in keys)

    def _undecided(self, assignment: Assignment) -> ProviderState:
        """The unit's end says nothing of the provider that it went to, which is returned."""
        provider = self.providers[assignment.unit.provider]
        provider.gate.undecided()
        provider.limits.undecided(assignment.unit.key.model)
        return provider

    def _finished(self, assignment: Assignment, done: UnitDone) -> None:
        over = self.progressed(assignment, done.outcomes)
        if over.served:
            alone = over.unit.inputs == 1
            self._served(over, done, setbacks=_setbacks(over.served), alone=alone)
        without = tuple(record for record in over.records if record.task.id not in over.outcomes)
        if done.failure is None:
            over = replace(over, outcomes={**over.outcomes, **{each.task.id: NO_OUTCOME for each in without}})
            over = self.progressed(over, {})
        if not over.served and not over.records:
            self._undecided(over)  # each task ended by a fault of its own
        self._decide_failures(over)
        if done.failure is not None and without:
            self._failed(over, without, done.failure)

    def _decide_failures(self, over: Assignment) -> None:
        """Decide upon the failures that are known of a unit's tasks, now that it is over."""
        alone = over.unit.inputs == 1
        again: dict[RetryReason | None, tuple[Failure, list[TaskRecord]]] = {}
        for record in over.records:
            outcome = over.outcomes.get(record.task.id)
            if not isinstance(outcome, Failure):
                continue
            if outcome.retry is not None and over.served and not alone:
                # The call was served but for this task: the next one shows whether that is the task's fault.
                again_alone = record.after_setback(over.unit.inputs)
                self._note_retry(again_alone, outcome.retry)
                self.backlog.add_split((again_alone,))
            else:
                again.setdefault(outcome.retry, (outcome, []))[1].append(record)
        for failure, records in again.values():
            self._failed(over, tuple(records), failure)

    def _failed(self, assignment: Assignment, group: Group, failure: Failure) -> None:
        unit = assignment.unit
        log.warning(
            LogEvent.UNIT_FAILED,
            unit_id=unit.id,
            tasks=len(group),
            reason=failure.retry or failure.blame,
            detail=failure.shown,
        )
        provider = self.providers[unit.provider]
        if failure.retry is RetryReason.NOT_STARTED:
            self._not_started(group, failure, provider)
            return
        gate, limits = provider.gate, provider.limits
        if failure.one_by_one:
            limits.one_by_one(unit.key.model)
        if failure.retry is RetryReason.TIMEOUT:
            limits.timed_out(unit.key.model, unit.inputs)
        elif failure.retry is RetryReason.RATE_LIMIT and _setbacks(group):
            limits.rate_limited(unit.key.model)
        aside = SetAside(group, failure, assignment.started_at, provider.name)
        decision = self._decide(aside, CanaryAnswer.NOT_ASKED)
        was_probe = gate.probing
        if failure.retry is not None:
            gate.failed(failure, unit.key, assignment.started_at)
        elif failure.blame is Blame.PROCESSOR:
            gate.undecided()
        else:
            gate.answered()
        if was_probe and gate.probing and gate.hold is None and self.has_canary(unit.key):
            # The task that was the probe may itself be at fault: the next probe is not.
            provider.canaries.want(unit.key)
        self._carry_out(decision, aside)
        if decision is not Decision.HALVE:
            limits.undecided(unit.key.model)

    def _not_started(self, group: Group, failure: Failure, provider: ProviderState) -> None:
        """The worker has no such processor, or it does not start: nothing was asked, and nothing counts."""
        provider.gate.undecided()
        provider.limits.undecided(group[0].task.key.model)
        for record in group:
            self._note_retry(record, RetryReason.NOT_STARTED)
        self.backlog.add_later(group, self.clock() + NOT_STARTED_SECONDS)
        self.processor_troubles.failed(
            group[0].task.task_type, Cause(RetryReason.NOT_STARTED, failure.shown, "PROCESSORS")
        )

    def _canary_answered(self, assignment: Assignment, done: UnitDone) -> None:
        key = assignment.unit.key
        provider = self.providers[assignment.unit.provider]
        (task,) = assignment.unit.tasks
        known = {**done.outcomes, **assignment.outcomes}
        outcome = known.get(task.id) or done.failure or NO_OUTCOME
        if isinstance(outcome, Output) or outcome.is_answered:
            answer = CanaryAnswer.SERVED
            self._served(assignment, done, setbacks=0, alone=True)
        elif outcome.retry is not None:
            answer = CanaryAnswer.FAILED
            provider.gate.failed(outcome, key, assignment.started_at)
        elif outcome.blame is Blame.PROCESSOR:
            answer = CanaryAnswer.FAILED
            provider.gate.undecided()
        else:
            answer = CanaryAnswer.REFUSED
            provider.gate.answered()
        log.info(
            LogEvent.CANARY_ANSWERED,
            provider=provider.name,
            model=assignment.unit.model_label,
            answer=answer,
            detail=_words(outcome),
        )
        self._end_canary(provider, key.model, answer, outcome if isinstance(outcome, Failure) else None)

    def no_canary(self, provider: ProviderState, model: str) -> None:
        """The processor made none, though it had one when it was asked for."""
        self._end_canary(provider, model, CanaryAnswer.FAILED)

    def _end_canary(
        self, provider: ProviderState, model: str, answer: CanaryAnswer, said: Failure | None = None
    ) -> None:
        provider.canaries.answered(model, served=answer is CanaryAnswer.SERVED)
        self._decide_anew(provider, model, answer, said)

    def _decide_anew(
        self, provider: ProviderState, model: str, answer: CanaryAnswer, said: Failure | None = None
    ) -> None:
        """More is known about the model: decide about the tasks that wait for that."""
        # Where not even a word is taken, it is the model, and what was said of it counts.
        of_model = said is not None and said.blame in (Blame.WHOLE_UNIT, Blame.MODEL_OR_ADDRESS)
        for waiting in self.backlog.take_aside(provider.name, model):
            aside = replace(waiting, failure=said) if said is not None and of_model else waiting
            self._carry_out(self._decide(aside, answer), aside)

    def _served(self, assignment: Assignment, done: UnitDone, *, setbacks: int, alone: bool) -> None:
        """The provider served a call: all that is to be learned from it."""
        unit, key = assignment.unit, assignment.unit.key
        self.processor_troubles.succeeded(key.task_type)
        provider = self.providers[unit.provider]
        provider.gate.succeeded(key.model)
        provider.limits.worked(key.model, unit.inputs, unit.size_bytes, done.duration_seconds)
        if alone:
            by_chance = max((record.attempts for record in assignment.served), default=0)
        else:
            # What was halved says nothing of chance: the cause may be in the other half.
            by_chance = setbacks if setbacks == 1 else 0
        provider.evidence.served(key.model, assignment.started_at, by_chance)
        # A model that is served is there again, and so is any other that was thought to be a wrong address:
        # the address is right. One that was served lately may be back: it is tried again when it is due.
        for hold in provider.gate.model_holds:
            model = hold.key.model
            of_address = hold.reason is RetryReason.WRONG_URL and not provider.evidence.served_lately(model)
            if model == key.model or of_address:
                provider.gate.release_model(model)
                self._decide_anew(provider, model, CanaryAnswer.NOT_ASKED)

    def _decide(self, aside: SetAside, canary: CanaryAnswer) -> Decision:
        key, failure = aside.group[0].task.key, aside.failure
        provider = self.providers[aside.provider]
        evidence, limits = provider.evidence, provider.limits
        inputs, size_bytes = _inputs(aside.group), _size_bytes(aside.group)
        needed = attempts_needed(self.max_retries, evidence.chance_of_failure(key.model))
        return decide(
            FailedUnit(
                failure=failure,
                inputs=inputs,
                setbacks=_setbacks(aside.group),
                attempts=max(record.attempts for record in aside.group),
            ),
            Facts(
                provider_up=provider.gate.is_up,
                served_since=evidence.served_since(key.model, aside.began_at),
                served_lately=evidence.served_lately(key.model),
                others_served=evidence.others_served_lately(key.model),
                known_refusal=evidence.is_known_refusal(key.model, failure.message),
                served_as_large=limits.has_worked(key.model, inputs, size_bytes),
                served_half_as_large=limits.has_worked(key.model, inputs, size_bytes / 2),
                size_in_doubt=limits.is_in_doubt(key.model, inputs),
                congested=limits.is_congested(key.model),
                can_ask=self.has_canary(key),
                attempts_needed=needed,
                canary=canary,
            ),
        )

    def _carry_out(self, decision: Decision, aside: SetAside) -> None:
        group, failure = aside.group, aside.failure
        key = group[0].task.key
        provider = self.providers[aside.provider]
        if decision in (Decision.FAIL, Decision.HALVE) and failure.blame is Blame.SOME_TASKS:
            provider.evidence.refusal_is_of_tasks(key.model, failure.message)
        match decision:
            case Decision.FAIL:
                self._fail(aside, provider)
            case Decision.HALVE:
                self._halve(aside, provider)
            case Decision.RETRY_COUNTED:
                self._retry_later(tuple(record.after_attempt() for record in group), failure)
            case Decision.RETRY:
                self._retry_later(_with_setback(group), failure)
            case Decision.PUT_BACK:
                again = _with_setback(group) if failure.retry is RetryReason.RATE_LIMIT else group
                for record in again:
                    self._note_retry(record, failure.retry or RetryReason.REFUSED)
                self.backlog.put_back(again)
            case Decision.ASK_CANARY:
                self._set_aside(aside)
                provider.canaries.want(key)
            case Decision.HOLD_PROVIDER:
                provider.gate.hold_on(Hold(RetryReason.REFUSED, failure.shown, key))
                self.journal.note_ready(group)
                self.backlog.put_back(group)
            case Decision.HOLD_MODEL:
                of_address = failure.blame is Blame.MODEL_OR_ADDRESS
                reason = RetryReason.WRONG_URL if of_address else RetryReason.REFUSED
                provider.gate.hold_model(Hold(reason, failure.shown, key))
                if len(self.providers.serving(key)) > 1:
                    self.journal.note_ready(group)
                    self.backlog.put_back(group)  # another serves the model meanwhile
                else:
                    self._set_aside(aside)

    def _fail(self, aside: SetAside, provider: ProviderState) -> None:
        failure, model = aside.failure, aside.group[0].task.key.model
        for before in aside.group:
            if failure.retry is None:
                record, gave_up = before, ""
            else:
                record = before.after_attempt()
                times = f"{record.attempts} attempt{'s' if record.attempts > 1 else ''}"
                gave_up = f" (gave up after {times})"
            words, shown = failure.message + gave_up, failure.shown + gave_up
            self.completion.fail(record, words, aside.began_at, shown)
            provider.limits.excused(model, record.failed_among)
        if failure.retry is None:
            provider.evidence.task_failed(model)

    def _halve(self, aside: SetAside, provider: ProviderState) -> None:
        group, failure = aside.group, aside.failure
        inputs = _inputs(group)
        log.info(LogEvent.UNIT_SPLIT, tasks=len(group), inputs=inputs)
        provider.limits.too_much(group[0].task.key.model, inputs, _size_bytes(group))
        # Two setbacks: a half that fails as well is halved at once.
        group = tuple(record.after_setback(inputs).after_setback(inputs) for record in group)
        if failure.retry is None:
            self.journal.note_ready(group)
        else:
            for record in group:
                self._note_retry(record, failure.retry)
        for half in halves(group):
            self.backlog.add_split(half)

    def _set_aside(self, aside: SetAside) -> None:
        self.journal.note_ready(aside.group)
        self.backlog.add_aside(aside)

    def _retry_later(self, group: Group, failure: Failure) -> None:
        # One draw for all that failed together, so that what was one batched call becomes one again.
        asked = failure.retry_after_seconds
        number = max(1, *(record.attempts for record in group))
        seconds = self.backoff.seconds(number) if asked is None else asked
        for record in group:
            self._note_retry(record, failure.retry or RetryReason.REFUSED)
        self.backlog.add_later(group, self.clock() + seconds)

    def _note_retry(self, record: TaskRecord, reason: RetryReason) -> None:
        task = record.task
        self.journal.note_ready((record,))
        self.metrics.retries.labels(task.task_type, reason).inc()
        log.info(
            LogEvent.TASK_RETRIED,
            task_id=task.id,
            task_type=task.task_type,
            correlation_id=task.correlation_id,
            reason=reason,
            attempts=record.attempts,
            crashes=record.crashes,
        )


def _inputs(group: Group) -> int:
    return len({record.task.question for record in group})


def _size_bytes(group: Group) -> int:
    sizes = {record.task.question: record.task.size_bytes for record in group}
    return sum(sizes.values())


def _setbacks(records: Sequence[TaskRecord]) -> int:
    return max(record.setbacks for record in records)


def _with_setback(group: Group) -> Group:
    inputs = _inputs(group)
    return tuple(record.after_setback(inputs) for record in group)


def _is_served(outcome: Output | Failure) -> bool:
    return isinstance(outcome, Output) or outcome.is_answered


def _is_of_task(failure: Failure) -> bool:
    """Final, and said of this one task. That nothing is at the address concerns them all."""
    return failure.retry is None and failure.blame is not Blame.MODEL_OR_ADDRESS


def _words(outcome: Output | Failure) -> str | None:
    return None if isinstance(outcome, Output) else outcome.shown


def describe_death(
    exit_code: int | None,
    *,
    timed_out_after_seconds: float | None,
    rss_bytes: int,
    time_limit: str = "TASK_TIMEOUT_SECONDS",
) -> str:
    """How a worker ended, as the second half of a sentence: "was killed by SIGSEGV"."""
    memory = f", holding {rss_bytes / 2**20:.0f} MB of memory" if rss_bytes else ""
    if timed_out_after_seconds is not None:
        return f"ran longer than {time_limit} ({timed_out_after_seconds:g} s) and was killed{memory}"
    if exit_code is None:
        return "could not be started"
    if exit_code < 0:
        return f"was killed by {_signal_name(-exit_code)}{memory}"
    return f"exited with code {exit_code}{memory}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
