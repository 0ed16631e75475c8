"""How the parts of the supervisor are tied together: each is made once and handed what it needs."""

import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.errors import RetryReason
from shared.logs import LogEvent, get_logger
from shared.metrics import SupervisorMetrics
from shared.provider_accounts import ProviderAccount
from shared.retry import Backoff
from shared.routes import Routes
from shared.settings import ClaimMode, Settings
from shared.version import VERSION
from supervisor.journal.journal import TaskJournal
from supervisor.journal.task_record import MAX_BYTES_IN_MEMORY, Report
from supervisor.loop import Supervisor
from supervisor.loop_state import LoopState
from supervisor.observer import Observer
from supervisor.pool.base import WorkerPool
from supervisor.pool.slot_table import SlotTable
from supervisor.providers.evidence import Canaries, Evidence
from supervisor.providers.gate import ProviderGate
from supervisor.providers.model_limits import ModelLimits
from supervisor.providers.rate_limiter import RateLimiter
from supervisor.providers.registry import Providers, ProviderState
from supervisor.runtime.circuit_breaker import BreakerState, CircuitBreaker
from supervisor.runtime.events import Inbox
from supervisor.runtime.trouble import Cause, TroubleRecord, Troubles
from supervisor.status.history import History
from supervisor.status.status import StatusBoard
from supervisor.task_api.bulk import BulkCalls, BulkQueue
from supervisor.task_api.client import Poller
from supervisor.task_api.gate import APIGate, CallGate
from supervisor.task_api.optional import OptionalOperation
from supervisor.task_api.poll_scheduler import (
    CLAIMED_UNITS_AHEAD,
    MIN_CAPACITY,
    UNITS_AHEAD,
    PollScheduler,
)
from supervisor.task_api.report_pace import ReportPace
from supervisor.task_api.sender import Outbox, PatchQueue, Sender
from supervisor.tasks.backlog import Backlog
from supervisor.tasks.claims import ClaimMessage, Claims
from supervisor.tasks.completion import Completion
from supervisor.tasks.dispatcher import Dispatcher
from supervisor.tasks.gone_reports import GoneReports
from supervisor.tasks.intake import Intake, IntakeRules
from supervisor.tasks.leases import Leases, RenewQueue
from supervisor.tasks.outcomes import OutcomeHandler
from supervisor.tasks.polling import Polling
from supervisor.tasks.reports import Reports
from workers.factory import ProcessorFactory

OUTBOX_LIMIT = 50_000
REPORTS_A_CONNECTION = 8
MIN_BULK_REPORTS = 2
BULK_CALLS_AHEAD = 2
"""One under way, and one that is ready to go."""
API_BACKOFF_FACTOR = 2.0

log = get_logger("composition")


@dataclass(frozen=True, slots=True)
class Outside:
    """What the loop acts on and hears from: threads, processes, disk, clocks and chance."""

    inbox: Inbox
    journal: TaskJournal
    poller: Poller
    report_queue: PatchQueue
    claim_queue: PatchQueue
    bulk_calls: BulkCalls
    renew_queue: RenewQueue
    pool: WorkerPool
    metrics: SupervisorMetrics
    board: StatusBoard
    notify: Callable[[str], None]
    processors: ProcessorFactory
    clock: Callable[[], float]
    wall: Callable[[], float] = time.time
    draw: Callable[[float, float], float] = random.uniform


@dataclass(frozen=True, slots=True)
class _Parts:
    """Everything that the loop owns, one owner for each piece."""

    backlog: Backlog
    reports: Sender[Report]
    bulk: BulkQueue | None
    renew_operation: OptionalOperation
    claims: Sender[ClaimMessage]
    table: SlotTable
    api_gate: APIGate
    providers: Providers
    scheduler: PollScheduler
    loop: LoopState
    processor_troubles: Troubles
    history: History


def compose(
    settings: Settings, outside: Outside, max_bytes_in_memory: int = MAX_BYTES_IN_MEMORY
) -> Supervisor:
    """The loop, with everything it owns and uses. `max_bytes_in_memory` are of inputs that wait."""
    clock, journal, metrics = outside.clock, outside.journal, outside.metrics
    parts = _parts(settings, outside, Backlog(max_bytes_in_memory))
    gone_reports = GoneReports(clock, claimed=settings.claims is not ClaimMode.OFF)
    completion = Completion(journal, parts.reports.outbox, metrics, parts.history, clock)
    reports = Reports(journal, parts.reports, gone_reports, metrics, clock, outside.wall, parts.bulk)
    claims = _claims(settings, outside, parts)
    polling = _polling(settings, outside, parts, completion, reports, claims)
    leases = _leases(settings, outside, parts, claims)
    return Supervisor(
        inbox=outside.inbox,
        journal=journal,
        backlog=parts.backlog,
        outbox=parts.reports.outbox,
        table=parts.table,
        polling=polling,
        claims=claims,
        leases=leases,
        dispatcher=_dispatcher(settings, outside, parts, completion),
        reports=reports,
        api_gate=parts.api_gate,
        state=parts.loop,
        observer=_observer(settings, outside, parts, polling, leases),
        notify=outside.notify,
        outbox_limit=OUTBOX_LIMIT,
        clock=clock,
    )


def _polling(
    settings: Settings,
    outside: Outside,
    parts: _Parts,
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
        processors=outside.processors,
        rules=IntakeRules.from_settings(settings),
        clock=outside.clock,
        max_waiting=_max_waiting(settings),
        is_closed=parts.providers.is_closed_among_others,
        max_closed=parts.scheduler.capacity // 2,
    )
    return Polling(
        poller=outside.poller,
        scheduler=parts.scheduler,
        api_gate=parts.api_gate,
        intake=intake,
        reports=reports,
        backlog=parts.backlog,
        claims=claims,
        journal=outside.journal,
        metrics=outside.metrics,
        shard_count=settings.shard_count,
        claim_operation=OptionalOperation(
            "claim",
            "each task is claimed alone",
            outside.clock,
            wanted=settings.claims is ClaimMode.BATCH,
        ),
        clock=outside.clock,
        wall=outside.wall,
    )


def _max_waiting(settings: Settings) -> dict[str, int]:
    """Of each type that has a limit, its share of the tasks that wait here."""
    tasks_ahead = UNITS_AHEAD * settings.batch_max_tasks
    return {
        task_type: max(MIN_CAPACITY // 2, units * tasks_ahead)
        for task_type, units in settings.task_limits.items()
        if units < settings.concurrency_limit
    }


def _parts(settings: Settings, outside: Outside, backlog: Backlog) -> _Parts:
    clock = outside.clock
    bulk = _bulk(settings, outside)
    window = max(settings.report_concurrency * REPORTS_A_CONNECTION, BULK_CALLS_AHEAD * settings.bulk_reports)
    api_gate = APIGate(
        polls=_call_gate(settings, outside, "polls"), reports=_call_gate(settings, outside, "reports")
    )
    pace = ReportPace(clock)
    backoff = Backoff(API_BACKOFF_FACTOR, outside.draw)
    return _Parts(
        backlog=backlog,
        reports=_reports_sender(outside, Outbox(backoff, window), bulk, api_gate.reports, pace),
        bulk=bulk,
        renew_operation=OptionalOperation(
            "renew", "claims have no end", clock, wanted=settings.claims is not ClaimMode.OFF
        ),
        claims=Sender(Outbox(backoff, window), outside.claim_queue, api_gate.reports, pace, clock),
        table=SlotTable(settings.concurrency_limit, clock(), settings.worker_threads),
        api_gate=api_gate,
        providers=_providers(settings, outside),
        scheduler=PollScheduler.from_settings(settings, clock),
        loop=LoopState(
            settings.drain_timeout_seconds,
            clock,
            TroubleRecord("journal", wall=outside.wall),
            TroubleRecord("workers", wall=outside.wall),
        ),
        processor_troubles=_processor_troubles(outside),
        history=History(clock),
    )


def _reports_sender(
    outside: Outside, outbox: Outbox[Report], bulk: BulkQueue | None, gate: CallGate, pace: ReportPace
) -> Sender[Report]:
    if bulk is None:
        return Sender(outbox, outside.report_queue, gate, pace, outside.clock)
    return Sender(outbox, bulk, gate, pace, outside.clock, bulk.reports_a_call)


def _processor_troubles(outside: Outside) -> Troubles:
    """With what is broken from the start: only a restart mends it."""
    troubles = Troubles(lambda name: TroubleRecord("processor", calls=name, wall=outside.wall))
    for broken in outside.processors.broken:
        troubles.failed(broken.source.path, Cause(RetryReason.NOT_STARTED, broken.reason, "PROCESSORS"))
    return troubles


def _claims(settings: Settings, outside: Outside, parts: _Parts) -> Claims:
    return Claims(
        enabled=settings.claims is not ClaimMode.OFF,
        ahead=CLAIMED_UNITS_AHEAD * settings.concurrency_limit * settings.batch_max_tasks,
        journal=outside.journal,
        backlog=parts.backlog,
        sender=parts.claims,
        knows_owners=lambda: parts.renew_operation.has_worked,
        clock=outside.clock,
        draw=outside.draw,
    )


def _leases(settings: Settings, outside: Outside, parts: _Parts, claims: Claims) -> Leases:
    return Leases(
        lease_seconds=settings.claim_lease_seconds,
        operation=parts.renew_operation,
        journal=outside.journal,
        backlog=parts.backlog,
        claims=claims,
        queue=outside.renew_queue,
        clock=outside.clock,
    )


def _bulk(settings: Settings, outside: Outside) -> BulkQueue | None:
    """None where each report goes alone."""
    if settings.bulk_reports < MIN_BULK_REPORTS:
        return None
    operation = OptionalOperation("bulk reports", "one report a call", outside.clock, wanted=True)
    return BulkQueue(outside.report_queue, outside.bulk_calls, operation, settings.bulk_reports)


def _dispatcher(settings: Settings, outside: Outside, parts: _Parts, completion: Completion) -> Dispatcher:
    outcomes = OutcomeHandler(
        journal=outside.journal,
        backlog=parts.backlog,
        completion=completion,
        providers=parts.providers,
        backoff=Backoff(settings.retry_backoff_factor, outside.draw),
        metrics=outside.metrics,
        max_retries=settings.max_retries,
        crash_limit=settings.worker_crash_limit,
        has_canary=outside.processors.has_canary,
        processor_troubles=parts.processor_troubles,
        clock=outside.clock,
    )
    return Dispatcher(
        pool=outside.pool,
        table=parts.table,
        backlog=parts.backlog,
        journal=outside.journal,
        providers=parts.providers,
        outcomes=outcomes,
        processors=outside.processors,
        metrics=outside.metrics,
        history=parts.history,
        settings=settings,
        clock=outside.clock,
    )


def _observer(
    settings: Settings, outside: Outside, parts: _Parts, polling: Polling, leases: Leases
) -> Observer:
    return Observer(
        version=VERSION,
        state=parts.loop,
        journal=outside.journal,
        backlog=parts.backlog,
        outbox=parts.reports.outbox,
        table=parts.table,
        pool=outside.pool,
        polling=polling,
        leases=leases,
        api_gate=parts.api_gate,
        providers=parts.providers,
        history=parts.history,
        board=outside.board,
        task_types=outside.processors.task_types,
        task_limits=settings.task_limits,
        clock=outside.clock,
        wall=outside.wall,
        report_pace=parts.reports.pace,
        processor_troubles=parts.processor_troubles,
    )


def _call_gate(settings: Settings, outside: Outside, calls: str) -> CallGate:
    trouble = TroubleRecord("api", settings.api_base_url, calls, outside.wall)
    return CallGate(_breaker(settings, outside, "api", trouble, calls=calls), trouble, outside.clock)


def _providers(settings: Settings, outside: Outside) -> Providers:
    accounts = settings.accounts

    def make(name: str) -> ProviderState:
        return _provider(accounts.get(name, ProviderAccount(name, kind="")), settings, outside)

    return Providers(Routes.from_settings(settings), settings.providers_in_use, make)


def _provider(account: ProviderAccount, settings: Settings, outside: Outside) -> ProviderState:
    def log_learned(model: str, what: str, value: float) -> None:
        log.info(LogEvent.LIMIT_LEARNED, provider=account.name, model=model, what=what, value=value)

    clock = outside.clock
    trouble = TroubleRecord(account.name, account.address, wall=outside.wall)
    breaker = _breaker(settings, outside, account.name, trouble)
    return ProviderState(
        name=account.name,
        gate=ProviderGate(breaker, trouble, clock, _settings_to_check(account)),
        limiter=RateLimiter(
            account.requests_per_minute, account.tokens_per_minute, clock, settings.rate_share
        ),
        limits=ModelLimits(settings.openai_timeout, settings.concurrency_limit, clock, log_learned),
        evidence=Evidence(clock),
        canaries=Canaries(outside.processors.canary, lambda: secrets.token_hex(4)),
    )


def _settings_to_check(account: ProviderAccount) -> Mapping[RetryReason, str]:
    """Which setting to look at, by what a call to the provider failed of."""
    return {
        RetryReason.CONNECTION: account.setting("base_url"),
        RetryReason.TIMEOUT: "OPENAI_TIMEOUT",
        RetryReason.RATE_LIMIT: account.setting("requests_per_minute"),
        RetryReason.UNAUTHORIZED: account.setting("api_key"),
        RetryReason.WRONG_URL: account.setting("base_url"),
        RetryReason.BAD_RESPONSE: account.setting("base_url"),
    }


def _breaker(
    settings: Settings, outside: Outside, service: str, trouble: TroubleRecord, **which: str
) -> CircuitBreaker:
    def log_change(state: BreakerState) -> None:
        facts = {**which, **trouble.facts()}
        log.warning(LogEvent.BREAKER_CHANGED, service=service, state=state.name.lower(), **facts)

    return CircuitBreaker(
        settings.circuit_breaker_threshold,
        settings.circuit_breaker_recovery_seconds,
        outside.clock,
        log_change,
    )
