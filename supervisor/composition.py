"""How the parts of the supervisor are tied together: each is made once and handed what it needs."""

import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from shared.logs import LogEvent, get_logger
from shared.metrics import SupervisorMetrics
from shared.models import OPENAI_URL, Provider
from shared.retry import Backoff
from shared.settings import LongText, Settings
from shared.version import VERSION
from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import MAX_BYTES_IN_MEMORY, Report
from supervisor.loop import Supervisor
from supervisor.observer import Conditions, Observer
from supervisor.polling import Polling
from supervisor.pool.base import WorkerPool
from supervisor.pool.slot_table import SlotTable
from supervisor.providers.evidence import Canaries, Evidence
from supervisor.providers.gate import ProviderGate
from supervisor.providers.model_limits import ModelLimits
from supervisor.providers.rate_limiter import RateLimiter
from supervisor.runtime.circuit_breaker import BreakerState, CircuitBreaker
from supervisor.runtime.events import Inbox
from supervisor.runtime.shutdown import ShutdownManager
from supervisor.runtime.trouble import TroubleRecord
from supervisor.status.history import History
from supervisor.status.status import StatusBoard
from supervisor.task_api.client import Poller
from supervisor.task_api.gate import APIGate, CallGate
from supervisor.task_api.poll_scheduler import TaskScheduler
from supervisor.task_api.report_pace import ReportPace
from supervisor.task_api.sender import Outbox, PatchQueue, Sender
from supervisor.tasks.backlog import Backlog
from supervisor.tasks.claims import ClaimMessage, Claims
from supervisor.tasks.completion import Completion
from supervisor.tasks.dispatcher import Dispatcher, DispatchLimits
from supervisor.tasks.gone_reports import GoneReports
from supervisor.tasks.intake import Intake, IntakeRules, Shard
from supervisor.tasks.outcomes import OutcomeHandler
from supervisor.tasks.reports import Reports

UNITS_AHEAD = 4
CLAIMED_UNITS_AHEAD = 2
MIN_CAPACITY = 100
OUTBOX_LIMIT = 50_000
REPORTS_A_THREAD = 8
API_BACKOFF_FACTOR = 2.0

log = get_logger("composition")


@dataclass(frozen=True, slots=True)
class Outside:
    """What the loop reaches the world through: threads, processes, disk, clock and chance."""

    inbox: Inbox
    journal: TaskJournal
    poller: Poller
    report_queue: PatchQueue
    claim_queue: PatchQueue
    pool: WorkerPool
    metrics: SupervisorMetrics
    board: StatusBoard
    notify: Callable[[str], None]
    clock: Callable[[], float]
    wall: Callable[[], float] = time.time
    draw: Callable[[float, float], float] = random.uniform


@dataclass(frozen=True, slots=True)
class _State:
    """Everything that the loop owns, one owner for each piece."""

    backlog: Backlog
    reports: Sender[Report]
    claims: Sender[ClaimMessage]
    table: SlotTable
    api_gate: APIGate
    provider_gate: ProviderGate
    limiter: RateLimiter
    model_limits: ModelLimits
    scheduler: TaskScheduler
    shutdown_manager: ShutdownManager
    conditions: Conditions
    history: History


def compose(
    settings: Settings, outside: Outside, max_bytes_in_memory: int = MAX_BYTES_IN_MEMORY
) -> Supervisor:
    """The loop, with everything it owns and everything it uses.

    Of inputs that wait, so many bytes are kept in memory.
    """
    clock, journal, metrics = outside.clock, outside.journal, outside.metrics
    state = _state(settings, outside, Backlog(max_bytes_in_memory))
    gone_reports = GoneReports(clock, claimed=settings.claim_tasks)
    completion = Completion(journal, state.reports.outbox, metrics, state.history, clock)
    reports = Reports(journal, state.reports, gone_reports, metrics, clock, outside.wall)
    claims = _claims(settings, outside, state)
    return Supervisor(
        inbox=outside.inbox,
        journal=journal,
        backlog=state.backlog,
        outbox=state.reports.outbox,
        table=state.table,
        scheduler=state.scheduler,
        polling=_polling(settings, outside, state, completion, reports, claims),
        claims=claims,
        dispatcher=_dispatcher(settings, outside, state, completion),
        reports=reports,
        api_gate=state.api_gate,
        shutdown_manager=state.shutdown_manager,
        conditions=state.conditions,
        observer=_observer(settings, outside, state),
        notify=outside.notify,
        outbox_limit=OUTBOX_LIMIT,
        clock=clock,
    )


def make_scheduler(settings: Settings, clock: Callable[[], float]) -> TaskScheduler:
    """How much the service asks for, and when."""
    return TaskScheduler(
        settings.polling_interval_seconds,
        settings.min_poll_seconds,
        max(MIN_CAPACITY, UNITS_AHEAD * _tasks_at_once(settings)),
        clock,
        settings.poll_wait_seconds,
    )


def make_intake_rules(settings: Settings) -> IntakeRules:
    """Which tasks of a page the service runs, fails and leaves."""
    has_limit = settings.embedding_provider is Provider.OPENAI
    return IntakeRules(
        policy=settings.unknown_task_policy,
        fail_long_texts=has_limit and settings.long_text is LongText.FAIL,
        max_text_bytes=settings.max_text_bytes,
        shard=Shard(settings.shard_count, settings.shard_index),
    )


def _polling(
    settings: Settings,
    outside: Outside,
    state: _State,
    completion: Completion,
    reports: Reports,
    claims: Claims,
) -> Polling:
    intake = Intake(
        journal=outside.journal,
        claims=claims,
        completion=completion,
        reports=reports,
        metrics=outside.metrics,
        rules=make_intake_rules(settings),
        clock=outside.clock,
    )
    return Polling(
        poller=outside.poller,
        scheduler=state.scheduler,
        api_gate=state.api_gate,
        intake=intake,
        reports=reports,
        gone_reports=reports.gone_reports,
        backlog=state.backlog,
        claims=claims,
        outbox=state.reports.outbox,
        journal=outside.journal,
        conditions=state.conditions,
        metrics=outside.metrics,
        shard_count=settings.shard_count,
        clock=outside.clock,
        wall=outside.wall,
    )


def _state(settings: Settings, outside: Outside, backlog: Backlog) -> _State:
    clock = outside.clock
    window = settings.report_concurrency * REPORTS_A_THREAD
    api_gate = APIGate(
        polls=_api_side(settings, "polls", clock), reports=_api_side(settings, "reports", clock)
    )
    pace = ReportPace(clock)
    backoff = Backoff(API_BACKOFF_FACTOR, outside.draw)
    requests, tokens = settings.openai_requests_per_minute, settings.openai_tokens_per_minute
    return _State(
        backlog=backlog,
        reports=Sender(Outbox(backoff, window), outside.report_queue, api_gate.reports, pace, clock),
        claims=Sender(Outbox(backoff, window), outside.claim_queue, api_gate.reports, pace, clock),
        table=SlotTable(settings.concurrency_limit, clock()),
        api_gate=api_gate,
        provider_gate=_provider_gate(settings, clock),
        limiter=RateLimiter(requests, tokens, clock),
        model_limits=ModelLimits(settings.openai_timeout, settings.concurrency_limit, clock, _tell_learned),
        scheduler=make_scheduler(settings, clock),
        shutdown_manager=ShutdownManager(settings.drain_timeout_seconds, clock),
        conditions=Conditions(),
        history=History(clock),
    )


def _claims(settings: Settings, outside: Outside, state: _State) -> Claims:
    return Claims(
        enabled=settings.claim_tasks,
        ahead=CLAIMED_UNITS_AHEAD * _tasks_at_once(settings),
        journal=outside.journal,
        backlog=state.backlog,
        sender=state.claims,
        clock=outside.clock,
        draw=outside.draw,
    )


def _dispatcher(settings: Settings, outside: Outside, state: _State, completion: Completion) -> Dispatcher:
    canaries = Canaries(lambda: secrets.token_hex(4))
    outcomes = OutcomeHandler(
        journal=outside.journal,
        backlog=state.backlog,
        completion=completion,
        gate=state.provider_gate,
        evidence=Evidence(outside.clock),
        limits=state.model_limits,
        canaries=canaries,
        backoff=Backoff(settings.retry_backoff_factor, outside.draw),
        metrics=outside.metrics,
        max_retries=settings.max_retries,
        crash_limit=settings.worker_crash_limit,
        clock=outside.clock,
    )
    return Dispatcher(
        pool=outside.pool,
        table=state.table,
        backlog=state.backlog,
        journal=outside.journal,
        gate=state.provider_gate,
        limiter=state.limiter,
        model_limits=state.model_limits,
        canaries=canaries,
        outcomes=outcomes,
        metrics=outside.metrics,
        history=state.history,
        limits=_limits(settings),
        clock=outside.clock,
    )


def _observer(settings: Settings, outside: Outside, state: _State) -> Observer:
    return Observer(
        version=VERSION,
        provider=settings.embedding_provider,
        conditions=state.conditions,
        journal=outside.journal,
        backlog=state.backlog,
        outbox=state.reports.outbox,
        table=state.table,
        pool=outside.pool,
        scheduler=state.scheduler,
        shutdown_manager=state.shutdown_manager,
        api_gate=state.api_gate,
        provider_gate=state.provider_gate,
        history=state.history,
        board=outside.board,
        clock=outside.clock,
        wall=outside.wall,
        limiter=state.limiter,
        model_limits=state.model_limits,
        report_pace=state.reports.pace,
    )


def _tell_learned(model: str, what: str, value: float) -> None:
    log.info(LogEvent.LIMIT_LEARNED, model=model, what=what, value=value)


def _tasks_at_once(settings: Settings) -> int:
    return settings.concurrency_limit * settings.batch_max_tasks


def _api_side(settings: Settings, calls: str, clock: Callable[[], float]) -> CallGate:
    trouble = TroubleRecord("api", settings.api_base_url, calls)
    return CallGate(_breaker(settings, "api", trouble, clock, calls=calls), trouble, clock)


def _provider_gate(settings: Settings, clock: Callable[[], float]) -> ProviderGate:
    provider = settings.embedding_provider
    address = settings.openai_base_url or OPENAI_URL if provider is Provider.OPENAI else ""
    trouble = TroubleRecord(provider, address)
    return ProviderGate(_breaker(settings, provider, trouble, clock), trouble, clock)


def _breaker(
    settings: Settings, service: str, trouble: TroubleRecord, clock: Callable[[], float], **which: str
) -> CircuitBreaker:
    def tell(state: BreakerState) -> None:
        facts = {**which, **trouble.facts()}
        log.warning(LogEvent.BREAKER_CHANGED, service=service, state=state.name.lower(), **facts)

    return CircuitBreaker(
        settings.circuit_breaker_threshold, settings.circuit_breaker_recovery_seconds, clock, tell
    )


def _limits(settings: Settings) -> DispatchLimits:
    return DispatchLimits(
        batch_max_tasks=settings.batch_max_tasks,
        task_timeout_seconds=settings.task_timeout_seconds,
        worker_max_tasks=settings.worker_max_tasks,
        worker_max_rss_bytes=settings.worker_max_rss_mb * 2**20,
    )
