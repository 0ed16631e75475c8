"""Polls: when one goes out, what it asks for, and what its answer changes."""

from collections.abc import Callable
from dataclasses import dataclass, field

from shared.logs import LogEvent, get_logger
from shared.metrics import SupervisorMetrics
from supervisor.journal.journal import TaskJournal
from supervisor.task_api.client import Poller
from supervisor.task_api.gate import APIGate
from supervisor.task_api.optional import OptionalOperation
from supervisor.task_api.poll_scheduler import MAX_TASKS_ASKED, Load, PollScheduler
from supervisor.task_api.responses import PAGES, Health, PollAnswer, PollRequest, PollResult, cause_of_poll
from supervisor.tasks.backlog import Backlog
from supervisor.tasks.claims import Claims
from supervisor.tasks.intake import Intake
from supervisor.tasks.reports import Reports

RESULTS_OF_CUT_OFF = frozenset({PollResult.SERVER_ERROR, PollResult.UNREACHABLE, PollResult.TIMEOUT})
MAX_CLAIM_SECONDS = 5.0
"""A drain waits no longer for a claim. What it would have brought comes back when its lease ends."""
PROXY_SLACK_SECONDS = 1.0
"""A poll that ends without an answer no later than this after its wait was cut off for waiting."""

log = get_logger("polling")


@dataclass(slots=True)
class Polling:
    """One poll at a time. Owned by the loop; `clock` is monotonic, `wall` gives epoch seconds.

    Where `claim_operation` is in use, polls for tasks claim what they bring.

    A page brings new tasks. It also decides about reports that were answered as if their tasks were gone: for
    these a poll goes out even while no tasks may be taken.
    """

    poller: Poller
    scheduler: PollScheduler
    api_gate: APIGate
    intake: Intake
    reports: Reports
    backlog: Backlog
    claims: Claims
    journal: TaskJournal
    metrics: SupervisorMetrics
    shard_count: int
    claim_operation: OptionalOperation
    clock: Callable[[], float]
    wall: Callable[[], float]
    last_result: PollResult | None = field(init=False, default=None)
    last_success_at_seconds: float = field(init=False, default=0.0)
    """Epoch seconds; 0 before the first page."""
    _passed_over: int = field(init=False, default=0)
    """Items of the last page that were neither new nor ours: the next page lists them again."""
    _request: PollRequest = field(init=False, default=PollRequest(0))
    _asked_at: float = field(init=False, default=float("-inf"))
    _takes_tasks: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        # Prometheus sees no increase in a series that begins with its first poll, which may be held long.
        for result in PollResult:
            self.metrics.polls.labels(result)

    def poll_if_due(self, *, may_take_tasks: bool) -> None:
        """Call after the commit."""
        may_take_tasks = may_take_tasks and self._allows_new_tasks()
        reports_at = self._next_at_for_reports()
        for_reports = reports_at is not None and self.clock() >= reports_at
        probe = self.api_gate.polls.waits_to_probe
        if for_reports or (may_take_tasks and self.scheduler.due(self._load(), probe=probe)):
            self._poll(takes_tasks=may_take_tasks, for_reports=for_reports)

    def next_at(self, *, may_take_tasks: bool) -> float | None:
        """When the next poll may go out, unless an event comes first."""
        moments = [self._next_at_for_tasks() if may_take_tasks else None, self._next_at_for_reports()]
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def awaits_claimed_tasks(self) -> bool:
        """Is a claim under way that is soon to be answered? A drain waits, to give its tasks back."""
        asked = self.scheduler.polling and self._request.claims
        return asked and self.clock() < self._asked_at + MAX_CLAIM_SECONDS

    def next_at_with_room(self) -> float:
        """When the next poll goes out if there is room for tasks."""
        return max(self.scheduler.next_at, self.api_gate.polls.opens_at() or 0.0)

    def answered(self, answer: PollAnswer, *, may_take_tasks: bool) -> None:
        """The poll under way was answered, or not."""
        self.metrics.polls.labels(answer.result).inc()
        cause = None if answer.result in PAGES or self._was_cut_off(answer) else cause_of_poll(answer)
        self.api_gate.polls.on_response(answer.health, answer.began_at, answer.retry_after_seconds, cause)
        if answer.result in PAGES:
            self._paged(answer, may_take_tasks=may_take_tasks)
        elif answer.lacks_claim and self.claim_operation.failed_as_missing(answer.detail):
            self.scheduler.failed(None)
            self.scheduler.poll_now()
        else:
            self._failed(answer)

    def _poll(self, *, takes_tasks: bool, for_reports: bool) -> None:
        claims_pages = self.claim_operation.in_use and not self.intake.must_choose
        claims = takes_tasks and claims_pages and not for_reports
        takes_tasks = claims or (takes_tasks and not claims_pages)
        # What is in the journal is pending to the API until it is reported, so the page lists it again.
        listed_again = 0 if claims else len(self.journal)
        wanted = 0 if claims else listed_again + self._passed_over
        room = self.scheduler.room(self._load()) * self.shard_count if takes_tasks else 0
        gone_reports = self.reports.gone_reports
        wanted += max(room, gone_reports.limit) if for_reports else room
        limit = self.scheduler.limit(min(wanted, MAX_TASKS_ASKED))
        wait_seconds = 0.0 if len(gone_reports) else self.scheduler.long_poll_seconds
        sought = frozenset() if claims else gone_reports.seek()
        self._request = PollRequest(limit, wait_seconds, sought, claims=claims)
        self._asked_at = self.clock()
        self._takes_tasks = takes_tasks
        self.scheduler.started(listed_again, self._request, wanted)
        self.api_gate.polls.begin()
        self.poller.poll(self._request)

    def _paged(self, answer: PollAnswer, *, may_take_tasks: bool) -> None:
        self.last_result = answer.result
        self.last_success_at_seconds = self.wall()
        self.scheduler.learn_item_size(answer)
        if answer.is_claimed:
            self.claim_operation.worked()
            may_take_tasks = True  # in a drain they are given back
        else:
            self.reports.paged(answer)
        if not self._takes_tasks or not may_take_tasks:
            self.scheduler.found(0, full=False, answer=answer)
            if self.claim_operation.in_use:
                self.scheduler.poll_now()  # this page was for reports, and tells of no tasks
            return
        taken = self.intake.take(answer, self.scheduler.room(self._load()))
        log.debug(LogEvent.POLL_FINISHED, listed=answer.page.items, new=taken.new, full=taken.full)
        self._passed_over = taken.passed_over
        self.scheduler.found(taken.new, full=taken.full, answer=answer)

    def _failed(self, answer: PollAnswer) -> None:
        self.reports.gone_reports.poll_failed()
        if self._was_cut_off(answer):
            log.warning(LogEvent.POLL_FAILED, result=answer.result, detail=answer.detail)
            self.scheduler.cut_off(answer.took_seconds)
            return
        log.warning(LogEvent.POLL_FAILED, result=answer.result, **self.api_gate.polls.trouble.facts())
        self.last_result = answer.result
        if answer.asks_for_less:
            self.scheduler.too_much(answer.retry_after_seconds)
        else:
            self.scheduler.failed(answer.retry_after_seconds)

    def _was_cut_off(self, answer: PollAnswer) -> bool:
        """Did something between us and the API end the poll while the API waited for work?"""
        wait_seconds = self._request.wait_seconds
        within_wait = 0 < answer.took_seconds <= wait_seconds + PROXY_SLACK_SECONDS
        return (
            wait_seconds > 0
            and within_wait
            and answer.result in RESULTS_OF_CUT_OFF
            and answer.health is Health.UNKNOWN
        )

    def _load(self) -> Load:
        claims_pages = self.claim_operation.in_use  # then no page lists again what is in the journal
        return Load(
            waiting=len(self.backlog) + len(self.claims),
            waiting_bytes=self.backlog.size_bytes + self.claims.size_bytes,
            owed=0 if claims_pages else len(self.reports.sender.outbox),
            known=0 if claims_pages else len(self.journal),
        )

    def _allows_new_tasks(self) -> bool:
        return self.api_gate.allows_new_tasks(owed=self.reports.sender.outbox.to_send + len(self.claims))

    def _next_at_for_tasks(self) -> float | None:
        polls = self.api_gate.polls
        if not polls.allows():
            return polls.opens_at()
        if not self._allows_new_tasks():
            return None
        return self.scheduler.due_at(self._load(), probe=polls.waits_to_probe)

    def _next_at_for_reports(self) -> float | None:
        """When to poll because reports wait for a page to decide about them."""
        gone_reports, polls = self.reports.gone_reports, self.api_gate.polls
        if self.scheduler.polling or not len(gone_reports):
            return None
        return gone_reports.next_poll_at() if polls.allows() else polls.opens_at()
