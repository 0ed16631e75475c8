"""The composition root: everything is made and tied together here, and nowhere else."""

import os
import random
import time
import uuid
from dataclasses import dataclass

from shared.log_events import LogEvent
from shared.logs import configure_logs, get_logger
from shared.metrics import SupervisorMetrics, clean_metric_files, use_metric_files
from shared.retry import Backoff
from shared.settings import Settings
from shared.version import VERSION
from supervisor.api_client import APIClient
from supervisor.api_gate import APIGate
from supervisor.backlog import Backlog
from supervisor.circuit_breaker import BreakerState, CircuitBreaker
from supervisor.delivery import Delivery
from supervisor.dispatcher import Dispatcher, DispatchLimits
from supervisor.events import Inbox
from supervisor.exit_codes import ExitCode
from supervisor.history import History
from supervisor.intake import Intake, Shard
from supervisor.journal import TaskJournal
from supervisor.loop import Supervisor
from supervisor.metrics_server import MetricsServer
from supervisor.notifier import Notifier
from supervisor.observer import Conditions, Observer
from supervisor.outbox import Outbox
from supervisor.poller import Poller
from supervisor.pool.local import LocalPool
from supervisor.pool.slot_table import SlotTable
from supervisor.provider_gate import ProviderGate
from supervisor.reporter import Reporter
from supervisor.scheduler import TaskScheduler
from supervisor.settlement import Settlement
from supervisor.shutdown import ShutdownManager
from supervisor.signals import obey_signals
from supervisor.state_directory import StateDirectory
from supervisor.status import StatusBoard
from supervisor.verdicts import Verdicts
from workers.config import WorkerConfig

UNITS_AHEAD = 4
SMALLEST_CAPACITY = 100
OUTBOX_LIMIT = 50_000
REPORTS_A_THREAD = 8
API_BACKOFF_FACTOR = 2.0

clock = time.monotonic
log = get_logger("main")


@dataclass(frozen=True, slots=True)
class Service:
    """What must be started, run and closed."""

    supervisor: Supervisor
    pool: LocalPool
    reporter: Reporter
    poller: Poller
    server: MetricsServer
    inbox: Inbox


def run(settings: Settings) -> ExitCode:
    """Run the service until it is told to stop. Raises ConfigurationError where it cannot start."""
    os.umask(0o077)
    configure_logs(settings.log_level, settings.log_format, "supervisor")
    notifier = Notifier.from_environment()
    state = StateDirectory(settings.state_dir)
    clean_metric_files(state.metrics)
    use_metric_files(state.metrics, "supervisor")
    service = build(settings, state, notifier)
    log.info(LogEvent.SERVICE_STARTING, version=VERSION, pid=os.getpid(), port=service.server.port)
    obey_signals(service.inbox.post)
    service.server.start(service.inbox.post)
    service.pool.start()
    service.poller.start()
    service.reporter.start()
    service.supervisor.recover()
    notifier("READY=1")
    code = service.supervisor.run()
    service.pool.close()
    service.supervisor.journal.close()
    log.info(LogEvent.SERVICE_STOPPED, exit_code=code, reason=code.name.lower())
    return code


def build(settings: Settings, state: StateDirectory, notifier: Notifier) -> Service:
    """Make every part once and hand each what it needs."""
    metrics = SupervisorMetrics()
    inbox = Inbox()
    board = StatusBoard()
    server = MetricsServer(settings.metrics_host, settings.metrics_port, board, state.metrics)
    journal = TaskJournal(state.journal)
    api = APIClient(
        settings.api_base_url,
        settings.api_token,
        settings.request_timeout,
        metrics,
        lambda: uuid.uuid4().hex,
    )
    poller = Poller(api, inbox.post)
    reporter = Reporter(api, settings.report_concurrency, inbox.post)
    pool = LocalPool(
        settings.concurrency_limit, WorkerConfig.from_settings(settings, state.metrics), inbox.post
    )
    supervisor = _supervisor(settings, metrics, inbox, board, journal, poller, reporter, pool, notifier)
    return Service(supervisor, pool, reporter, poller, server, inbox)


def _supervisor(
    settings: Settings,
    metrics: SupervisorMetrics,
    inbox: Inbox,
    board: StatusBoard,
    journal: TaskJournal,
    poller: Poller,
    reporter: Reporter,
    pool: LocalPool,
    notifier: Notifier,
) -> Supervisor:
    provider = settings.embedding_provider.value
    api_gate = APIGate(_breaker(settings, "api"), clock)
    provider_gate = ProviderGate(_breaker(settings, provider), clock)
    backlog = Backlog()
    outbox = Outbox(
        Backoff(API_BACKOFF_FACTOR, random.uniform), settings.report_concurrency * REPORTS_A_THREAD
    )
    table = SlotTable(settings.concurrency_limit, clock())
    capacity = max(SMALLEST_CAPACITY, UNITS_AHEAD * settings.concurrency_limit * settings.batch_max_tasks)
    scheduler = TaskScheduler(
        settings.polling_interval_seconds, settings.shortest_poll_seconds, capacity, clock
    )
    shutdown_manager = ShutdownManager(settings.drain_timeout_seconds, clock)
    conditions = Conditions()
    settlement = Settlement(journal, outbox, metrics, clock)
    verdicts = Verdicts(
        journal,
        backlog,
        settlement,
        provider_gate,
        Backoff(settings.retry_backoff_factor, random.uniform),
        metrics,
        settings.max_retries,
        settings.worker_crash_limit,
        clock,
    )
    return Supervisor(
        inbox=inbox,
        journal=journal,
        backlog=backlog,
        outbox=outbox,
        table=table,
        scheduler=scheduler,
        poller=poller,
        intake=Intake(
            journal,
            backlog,
            settlement,
            metrics,
            settings.unknown_task_policy,
            Shard(settings.shard_count, settings.shard_index),
            clock,
        ),
        dispatcher=Dispatcher(
            pool, table, backlog, journal, provider_gate, verdicts, metrics, _limits(settings), clock
        ),
        delivery=Delivery(outbox, journal, reporter, api_gate, settlement, clock),
        settlement=settlement,
        api_gate=api_gate,
        shutdown_manager=shutdown_manager,
        conditions=conditions,
        observer=Observer(
            version=VERSION,
            provider=provider,
            conditions=conditions,
            journal=journal,
            backlog=backlog,
            outbox=outbox,
            table=table,
            pool=pool,
            scheduler=scheduler,
            shutdown_manager=shutdown_manager,
            api_gate=api_gate,
            provider_gate=provider_gate,
            history=History(clock),
            board=board,
            clock=clock,
        ),
        metrics=metrics,
        notify=notifier,
        outbox_limit=OUTBOX_LIMIT,
        shard_count=settings.shard_count,
        clock=clock,
    )


def _breaker(settings: Settings, service: str) -> CircuitBreaker:
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
