"""Polls: when one goes out, what it asks for, and what its answer changes."""

from collections.abc import Callable
from dataclasses import dataclass, field

from shared.logs import LogEvent, get_logger
from shared.metrics import SupervisorMetrics
from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import Report
from supervisor.observer import Conditions
from supervisor.task_api.client import Poller
from supervisor.task_api.gate import APIGate
from supervisor.task_api.poll_scheduler import TaskScheduler
from supervisor.task_api.responses import PAGES, Health, PollAnswer, PollRequest, PollResult, cause_of_poll
from supervisor.task_api.sender import Outbox
from supervisor.tasks.backlog import Backlog
from supervisor.tasks.claims import Claims
from supervisor.tasks.gone_reports import GoneReports
from supervisor.tasks.intake import Intake
from supervisor.tasks.reports import Reports

MAX_TASKS_ASKED = 100_000
ENDINGS_OF_HELD_POLLS = frozenset({PollResult.SERVER_ERROR, PollResult.UNREACHABLE, PollResult.TIMEOUT})
PROXY_SLACK_SECONDS = 1.0
"""A poll that is cut off no later than this after its wait was cut off for the wait."""

log = get_logger("polling")


@dataclass(slots=True)
class Polling:
    """One poll at a time. Owned by the loop; `clock` is monotonic.

    A poll brings new tasks, and decides about reports that were answered as if their tasks were gone. For
    the second alone it goes out too while no tasks may be taken.
    """

    poller: Poller
    scheduler: TaskScheduler
    api_gate: APIGate
    intake: Intake
    reports: Reports
    gone_reports: GoneReports
    backlog: Backlog
    claims: Claims
    outbox: Outbox[Report]
    journal: TaskJournal
    conditions: Conditions
    metrics: SupervisorMetrics
    shard_count: int
    clock: Callable[[], float]
    wall: Callable[[], float]
    _request: PollRequest = field(init=False, default=PollRequest(0))
    _takes_tasks: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        # Prometheus sees no increase in a series that begins with its first poll, which may be held long.
        for result in PollResult:
            self.metrics.polls.labels(result)

    def poll_if_due(self, *, may_take_tasks: bool) -> None:
        """Poll if it is time to. Call after the commit."""
        may_take_tasks = may_take_tasks and self._allows_new_tasks()
        look_at = self._next_look_at()
        looks = look_at is not None and self.clock() >= look_at
        if looks or (may_take_tasks and self._is_due_for_tasks()):
            self._poll(takes_tasks=may_take_tasks, looks=looks)

    def next_at(self, *, may_take_tasks: bool) -> float | None:
        """When the next poll may go out, unless an event comes first."""
        moments = [self._next_at_for_tasks() if may_take_tasks else None, self._next_look_at()]
        return min((moment for moment in moments if moment is not None), default=None)

    def answered(self, answer: PollAnswer, *, may_take_tasks: bool) -> None:
        """The poll under way was answered, or not."""
        self.metrics.polls.labels(answer.result).inc()
        cause = None if answer.result in PAGES or self._was_cut_off(answer) else cause_of_poll(answer)
        self.api_gate.polls.on_response(answer.health, answer.began_at, answer.retry_after_seconds, cause)
        if answer.result in PAGES:
            self._paged(answer, may_take_tasks=may_take_tasks)
        else:
            self._failed(answer)

    def _poll(self, *, takes_tasks: bool, looks: bool) -> None:
        # What is held is pending to the API until it is reported, and so will be listed again.
        wanted = len(self.journal) + self.conditions.passed_over
        room = self._room() * self.shard_count if takes_tasks else 0
        wanted += max(room, self.gone_reports.limit) if looks else room
        limit = self.scheduler.limit(min(wanted, MAX_TASKS_ASKED))
        wait_seconds = 0.0 if len(self.gone_reports) else self.scheduler.long_poll_seconds
        self._request = PollRequest(limit, wait_seconds, self.gone_reports.seek())
        self._takes_tasks = takes_tasks
        self.scheduler.started(len(self.journal), self._request, wanted)
        self.api_gate.polls.begin()
        self.poller.poll(self._request)

    def _paged(self, answer: PollAnswer, *, may_take_tasks: bool) -> None:
        self.conditions.last_poll_result = answer.result
        self.conditions.last_poll_success_at_seconds = self.wall()
        self.reports.paged(answer)
        self.scheduler.learn_item_size(answer)
        if not self._takes_tasks or not may_take_tasks:
            self.scheduler.found(0, full=False, answer=answer)
            return
        taken = self.intake.take(answer, self._room())
        log.debug(LogEvent.POLL_FINISHED, answer=answer.page.items, new=taken.new, full=taken.full)
        self.conditions.passed_over = taken.passed_over
        self.scheduler.found(taken.new, full=taken.full, answer=answer)

    def _failed(self, answer: PollAnswer) -> None:
        self.gone_reports.poll_failed()
        if self._was_cut_off(answer):
            log.warning(LogEvent.POLL_FAILED, result=answer.result, detail=answer.detail)
            self.scheduler.cut_off(answer.took_seconds)
            return
        log.warning(LogEvent.POLL_FAILED, result=answer.result, **self.api_gate.polls.trouble.facts())
        self.conditions.last_poll_result = answer.result
        if answer.asks_for_less:
            self.scheduler.too_much(answer.retry_after_seconds)
        else:
            self.scheduler.failed(answer.retry_after_seconds)

    def _was_cut_off(self, answer: PollAnswer) -> bool:
        """Did something between us and the API end the poll for being held too long?"""
        wait_seconds = self._request.wait_seconds
        within_wait = 0 < answer.took_seconds <= wait_seconds + PROXY_SLACK_SECONDS
        return (
            wait_seconds > 0
            and within_wait
            and answer.result in ENDINGS_OF_HELD_POLLS
            and answer.health is Health.UNKNOWN
        )

    def _room(self) -> int:
        return self.scheduler.room(self._waiting(), len(self.outbox), self._waiting_bytes())

    def _waiting(self) -> int:
        """Tasks that wait to run."""
        return len(self.backlog) + len(self.claims)

    def _waiting_bytes(self) -> int:
        """Bytes of their inputs."""
        return self.backlog.size_bytes + self.claims.size_bytes

    def _allows_new_tasks(self) -> bool:
        return self.api_gate.allows_new_tasks(owed=self.outbox.to_send + len(self.claims))

    def _is_due_for_tasks(self) -> bool:
        probe = self.api_gate.polls.waits_to_probe
        waiting, owed, held = self._waiting(), len(self.outbox), len(self.journal)
        return self.scheduler.due(waiting, owed, held, backlog_bytes=self._waiting_bytes(), probe=probe)

    def _next_at_for_tasks(self) -> float | None:
        if not self.api_gate.polls.allows():
            return self.api_gate.polls.opens_at()
        if not self._allows_new_tasks():
            return None
        probe = self.api_gate.polls.waits_to_probe
        waiting, owed = self._waiting(), len(self.outbox)
        return self.scheduler.due_at(waiting, owed, backlog_bytes=self._waiting_bytes(), probe=probe)

    def _next_look_at(self) -> float | None:
        """When to poll for the sake of reports that wait for a page."""
        if self.scheduler.polling or not len(self.gone_reports):
            return None
        if not self.api_gate.polls.allows():
            return self.api_gate.polls.opens_at()
        return self.gone_reports.next_poll_at()
