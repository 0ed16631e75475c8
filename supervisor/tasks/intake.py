"""What a page brings in: new tasks, tasks already known, and items that are no tasks."""

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

from shared.logs import LogEvent, get_logger
from shared.metrics import SupervisorMetrics
from shared.models import BatchKey, Task
from shared.routes import Routes
from shared.settings import Settings, UnknownTaskPolicy
from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import Claim, TaskRecord
from supervisor.task_api.responses import PollAnswer
from supervisor.task_api.wire_formats import UNKNOWN_TYPE, Refusal, RefusalReason, TaskAddress
from supervisor.tasks.claims import Claims
from supervisor.tasks.completion import Completion
from supervisor.tasks.reports import RecentIds, Reports
from workers.factory import ProcessorFactory

TELL_AGAIN_SECONDS = 86_400.0
MAX_TOLD = 10_000

log = get_logger("intake")


@dataclass(frozen=True, slots=True)
class Shard:
    """Which ids are this replica's."""

    count: int = 1
    index: int = 0

    def owns(self, task_id: str) -> bool:
        """The same answer on every machine and in every run."""
        return self.count == 1 or zlib.crc32(task_id.encode()) % self.count == self.index


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """What becomes of an item of a page for what it is, whatever else the page holds."""

    policy: UnknownTaskPolicy
    max_text_bytes: int
    shard: Shard
    routes: Routes

    @classmethod
    def from_settings(cls, settings: Settings) -> "IntakeRules":
        return cls(
            policy=settings.unknown_task_policy,
            max_text_bytes=settings.max_text_bytes,
            shard=Shard(settings.shard_count, settings.shard_index),
            routes=Routes.from_settings(settings),
        )

    def refuse(self, task: Task) -> Refusal | None:
        """Why a task that could be parsed is not run."""
        if task.size_bytes > self.max_text_bytes:
            return _refusal(
                RefusalReason.TEXT_TOO_LONG,
                task,
                f"the text has {task.size_bytes:,} bytes, and MAX_TEXT_BYTES allows {self.max_text_bytes:,};"
                " shorten it, or raise the setting",
            )
        return self.refuse_model(task)

    def refuse_model(self, task: Task) -> Refusal | None:
        """Why no provider may be asked for what the task names: no model answers in place of another."""
        why = self.routes.why_not(task.key)
        return None if why is None else _refusal(RefusalReason.NO_PROVIDER, task, why)

    def sees_to(self, refusal: Refusal) -> bool:
        """Is the refused item this replica's?"""
        return refusal.task_id is None or self.shard.owns(refusal.task_id)

    def fails(self, refusal: Refusal) -> bool:
        """Is the refused item reported as FAILED? Otherwise it is left as it is."""
        if refusal.reason is RefusalReason.BROKEN_TYPE:
            return False
        unknown = refusal.reason is RefusalReason.UNKNOWN_TYPE
        return refusal.address is not None and not (unknown and self.policy is UnknownTaskPolicy.LEAVE)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one page."""

    new: int
    full: bool
    passed_over: int
    """Items that are neither new nor held: they will stand in the way of others in the next page too."""


@dataclass(slots=True)
class Intake:
    """Takes a page's new tasks into the journal, to be claimed or run. Owned by the loop; monotonic clock."""

    journal: TaskJournal
    claims: Claims
    completion: Completion
    reports: Reports
    metrics: SupervisorMetrics
    processors: ProcessorFactory
    rules: IntakeRules
    clock: Callable[[], float]
    max_waiting: Mapping[str, int] = field(default_factory=dict)
    """Tasks of a type with a limit: those that may not go would take the room of the others."""
    is_closed: Callable[[BatchKey], bool] = lambda _: False
    """May nothing of the key go to a provider now, while there are other providers?"""
    max_closed: int = 0
    """As many tasks of closed providers may wait here before others are looked for."""
    told: RecentIds = field(default_factory=lambda: RecentIds(TELL_AGAIN_SECONDS, MAX_TOLD))
    """What was logged of items that are left."""

    def take(self, answer: PollAnswer, room: int) -> Taken:
        """Take, or fail, up to `room` new tasks; what the API lists beyond that it will list again.

        Where that is less than the page, its tasks of higher priority come first, and among equal ones the
        task types in turn.
        """
        page = answer.page
        now = self.clock()
        if answer.is_claimed:
            return self._take_claimed(answer)
        if not self.reports.remembers_since(answer.began_at):
            # Some of what it lists may have been reported since, and we no longer know which.
            return Taken(new=0, full=False, passed_over=0)
        taken, known = 0, page.known
        room_of_closed = self.max_closed - self._closed_waiting()
        room_by_type = {name: most - self.claims.waiting(name) for name, most in self.max_waiting.items()}
        refusals = list(page.refusals)
        tasks = self.claims.order(page.tasks)
        for task in tasks if len(tasks) <= room else most_urgent_first(tasks):
            if taken >= room:
                break
            if refusal := self.rules.refuse(task):
                refusals.append(refusal)
            elif self._is_new(task.id, answer.began_at):
                room_of_type = room_by_type.get(task.task_type, room)
                is_closed = self.is_closed(task.key)
                if room_of_type <= 0 or (is_closed and room_of_closed <= 0):
                    continue
                room_of_closed -= is_closed
                room_by_type[task.task_type] = room_of_type - 1
                record = TaskRecord(task, now)
                self.journal.note_ready((record,))
                self.claims.admit(record)
                taken += 1
            elif self.journal.holds(task.id):
                known += 1
        new = taken + self._refuse(refusals, answer.began_at, room - taken)
        full = page.items >= answer.limit or new >= room
        return Taken(new=new, full=full, passed_over=0 if new >= room else page.items - new - known)

    @property
    def must_choose(self) -> bool:
        """Do tasks that may not go now take up their share of the room? Then others are to be looked for."""
        if self._closed_waiting() >= self.max_closed > 0:
            return True
        return any(self.claims.waiting(name) >= most for name, most in self.max_waiting.items())

    def _take_claimed(self, answer: PollAnswer) -> Taken:
        """All of the page: what is left out would be nobody's until its lease ends."""
        page = answer.page
        refusals = list(page.refusals)
        taken = 0
        for task in page.tasks:
            if refusal := self.rules.refuse(task):
                refusals.append(refusal)
            elif self._is_new(task.id, answer.began_at):
                record = TaskRecord(task, self.clock(), claim=Claim.HELD)
                self.journal.note_ready((record,))
                self.claims.admit(record)
                taken += 1
        new = taken + self._refuse(refusals, answer.began_at, len(refusals))
        return Taken(new=new, full=page.items >= answer.limit, passed_over=0)

    def take_again(self, record: TaskRecord) -> None:
        """A task that an earlier run left. Where its processor is gone, it is FAILED or left as it is.

        It is FAILED as well where nobody serves its model any more.
        """
        task = record.task
        if self.processors.find(task.task_type) is None:
            refusal = self._without_processor(task)
        elif (no_provider := self.rules.refuse_model(task)) is not None:
            refusal = no_provider
        else:
            # Earlier failures may have been chance, and how likely that is must be learned anew.
            self.claims.admit(replace(record, attempts=0))
            return
        self._tell([refusal])
        if self.rules.fails(refusal):
            self.completion.fail(record, refusal.message, self.clock())

    def _without_processor(self, task: Task) -> Refusal:
        if why := self.processors.why_broken(task.task_type):
            return _refusal(RefusalReason.BROKEN_TYPE, task, why)
        message = f"no processor for tasks of type {task.task_type!a}; there was one when the task came"
        return _refusal(RefusalReason.UNKNOWN_TYPE, task, message)

    def _closed_waiting(self) -> int:
        waiting = self.claims.backlog.waiting.items()
        return sum(tasks for key, tasks in waiting if self.is_closed(key))

    def _is_new(self, task_id: str, requested_at: float) -> bool:
        return (
            self.rules.shard.owns(task_id)
            and not self.journal.holds(task_id)
            and not self.reports.is_stale(task_id, requested_at)
        )

    def _refuse(self, refusals: Sequence[Refusal], began_at: float, room: int) -> int:
        """How many were failed, and so will be gone from a later page. The others are left as they are."""
        failed = 0
        news: defaultdict[tuple[RefusalReason, bool], list[Refusal]] = defaultdict(list)
        for refusal in refusals:
            address, fails = refusal.address, self.rules.fails(refusal)
            if address is not None and fails:
                if failed < room and self._is_new(address.id, began_at):
                    self.completion.refuse(address, refusal.message, refusal.shown_message)
                    failed += 1
                    news[refusal.reason, fails].append(refusal)
            elif self._is_news(refusal):
                news[refusal.reason, fails].append(refusal)
        for (_, fails), same in news.items():
            self._tell(same)
            for refusal in () if fails else same:
                self.told.note(_topic(refusal), self.clock())
        return failed

    def _is_news(self, refusal: Refusal) -> bool:
        """Was this not said before?"""
        told_at = self.told.noted_at(_topic(refusal), self.clock())
        return told_at is None and self.rules.sees_to(refusal)

    def _tell(self, refusals: Sequence[Refusal]) -> None:
        """Count them, all of one reason, and say so in one line."""
        first = refusals[0]
        self.metrics.rejected.labels(first.reason).inc(len(refusals))
        log.warning(
            LogEvent.TASK_REFUSED,
            task_id=first.task_id,
            task_type=first.address.task_type if first.address else UNKNOWN_TYPE,
            correlation_id=first.address.correlation_id if first.address else None,
            reason=first.reason,
            detail=first.shown_message,
            items=len(refusals),
        )


def most_urgent_first(tasks: Iterable[Task]) -> list[Task]:
    """Those of higher priority first; among equal ones the first of each type, then the second, and so on."""
    seen: Counter[tuple[int, str]] = Counter()
    ranked: list[tuple[int, int, Task]] = []
    for task in tasks:
        lane = (task.priority, task.task_type)
        ranked.append((-task.priority, seen[lane], task))
        seen[lane] += 1
    return [task for _, _, task in sorted(ranked, key=itemgetter(0, 1))]


def _topic(refusal: Refusal) -> str:
    """What is said of an item once: by its id, or by what is wrong where it has none."""
    return f"{refusal.reason} {refusal.task_id or refusal.message}"


def _refusal(reason: RefusalReason, task: Task, message: str) -> Refusal:
    address = TaskAddress(task.id, task.shape, task.correlation_id, task.task_type)
    return Refusal(reason, message, address, task.id)
