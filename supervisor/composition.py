"""How the parts of the supervisor are tied together: each is made once and handed what it needs."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from shared.log_events import LogEvent
from shared.logs import get_logger
from shared.metrics import SupervisorMetrics
from shared.retry import Backoff
from shared.settings import Settings
from shared.version import VERSION
from supervisor.api_gate import APIGate
from supervisor.backlog import Backlog
from supervisor.circuit_breaker import BreakerState, CircuitBreaker
from supervisor.claims import ClaimMessage, Claims
from supervisor.delivery import Delivery
from supervisor.dispatcher import Dispatcher, DispatchLimits
from supervisor.events import Inbox
from supervisor.history import History
from supervisor.intake import Intake, Shard
from supervisor.journal import TaskJournal
from supervisor.loop import Supervisor
from supervisor.observer import Conditions, Observer
from supervisor.outbox import Outbox
from supervisor.poller import Poller
from supervisor.pool.base import WorkerPool
from supervisor.pool.slot_table import SlotTable
from supervisor.provider_gate import ProviderGate
from supervisor.reporter import Reporter
from supervisor.scheduler import TaskScheduler
from supervisor.settlement import Settlement
from supervisor.shutdown import ShutdownManager
from supervisor.status import StatusBoard
from supervisor.task_record import Report
from supervisor.verdicts import Verdicts

UNITS_AHEAD = 4
CLAIMED_UNITS_AHEAD = 2
SMALLEST_CAPACITY = 100
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
    reporter: Reporter
    claimer: Reporter
    pool: WorkerPool
    metrics: SupervisorMetrics
    board: StatusBoard
    notify: Callable[[str], None]
    clock: Callable[[], float]
    draw: Callable[[float, float], float] = random.uniform


def compose(settings: Settings, outside: Outside) -> Supervisor:
    """The loop and everything it owns."""
    clock, journal, metrics = outside.clock, outside.journal, outside.metrics
    backlog = Backlog()
    table = SlotTable(settings.concurrency_limit, clock())
    api_gate = APIGate(_breaker(settings, "api", clock), clock)
    provider_gate = ProviderGate(_breaker(settings, settings.embedding_provider, clock), clock)
    window = settings.report_concurrency * REPORTS_A_THREAD
    api_backoff = Backoff(API_BACKOFF_FACTOR, outside.draw)
    outbox: Outbox[Report] = Outbox(api_backoff, window)
    claim_outbox: Outbox[ClaimMessage] = Outbox(api_backoff, window)
    units = settings.concurrency_limit * settings.batch_max_tasks
    history = History(clock)
    settlement = Settlement(journal, outbox, metrics, clock)
    claims = Claims(
        settings.claim_tasks,
        CLAIMED_UNITS_AHEAD * units,
        journal,
        backlog,
        claim_outbox,
        outside.claimer,
        api_gate,
        clock,
    )
    verdicts = Verdicts(
        journal,
        backlog,
        settlement,
        provider_gate,
        Backoff(settings.retry_backoff_factor, outside.draw),
        metrics,
        settings.max_retries,
        settings.worker_crash_limit,
        clock,
    )
    shard = Shard(settings.shard_count, settings.shard_index)
    scheduler = TaskScheduler(
        settings.polling_interval_seconds,
        settings.shortest_poll_seconds,
        max(SMALLEST_CAPACITY, UNITS_AHEAD * units),
        clock,
    )
    shutdown_manager = ShutdownManager(settings.drain_timeout_seconds, clock)
    conditions = Conditions()
    return Supervisor(
        inbox=outside.inbox,
        journal=journal,
        backlog=backlog,
        outbox=outbox,
        table=table,
        scheduler=scheduler,
        poller=outside.poller,
        intake=Intake(journal, claims, settlement, metrics, settings.unknown_task_policy, shard, clock),
        claims=claims,
        dispatcher=Dispatcher(
            outside.pool, table, backlog, journal, provider_gate, verdicts, metrics, _limits(settings), clock
        ),
        delivery=Delivery(outbox, journal, outside.reporter, api_gate, settlement, clock),
        settlement=settlement,
        api_gate=api_gate,
        shutdown_manager=shutdown_manager,
        conditions=conditions,
        observer=Observer(
            version=VERSION,
            provider=settings.embedding_provider,
            conditions=conditions,
            journal=journal,
            backlog=backlog,
            outbox=outbox,
            table=table,
            pool=outside.pool,
            scheduler=scheduler,
            shutdown_manager=shutdown_manager,
            api_gate=api_gate,
            provider_gate=provider_gate,
            history=history,
            board=outside.board,
            clock=clock,
        ),
        metrics=metrics,
        notify=outside.notify,
        outbox_limit=OUTBOX_LIMIT,
        shard_count=settings.shard_count,
        clock=clock,
    )


def _breaker(settings: Settings, service: str, clock: Callable[[], float]) -> CircuitBreaker:
    def tell(state: BreakerState) -> None:
        log.warning(LogEvent.BREAKER_CHANGED, service=service, state=state.name.lower())

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
