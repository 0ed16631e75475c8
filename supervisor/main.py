"""Starts the service, runs it, and ends it in order."""

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from shared.errors import ConfigurationError
from shared.loading import find_unknown_names
from shared.logs import LogEvent, configure_logs, get_logger
from shared.metrics import (
    SupervisorMetrics,
    clean_metric_files,
    reserve_metric_files,
)
from shared.routes import Routes
from shared.settings import Settings
from shared.version import VERSION
from supervisor.composition import Outside, compose
from supervisor.console.connections import MAX_CONNECTIONS
from supervisor.console.gauges import StatusGauges
from supervisor.console.http_server import MetricsServer
from supervisor.console.wake import WakeEndpoint
from supervisor.journal.journal import TaskJournal
from supervisor.journal.report_bodies import BodyFiles
from supervisor.journal.state_directory import StateDirectory
from supervisor.pool.choice import make_pool
from supervisor.runtime.events import Inbox
from supervisor.runtime.notifier import Notifier
from supervisor.runtime.process import (
    ExitCode,
    calm_collector,
    check_open_files,
    leave_no_core,
    obey_signals,
    return_large_buffers,
    share_interpreter_evenly,
    take_open_files,
)
from supervisor.status.status import StatusBoard
from supervisor.task_api.client import Poller, WireBulkCalls, WirePatchQueue, WireRenewals, connect
from supervisor.task_api.http.wire import Wire
from supervisor.task_api.responses import ClaimDone, ReportDone
from workers.config import WorkerConfig
from workers.factory import ProcessorFactory, load_processors
from workers.process.forkserver import check_socket_directory

PROCESS_NAME = "supervisor"
CLAIMS_AT_ONCE = 4
BULK_CALLS_AT_ONCE = 1
"""What is finished meanwhile makes the next call larger."""

log = get_logger("main")


@dataclass(frozen=True, slots=True)
class Service:
    """The loop's view of the world, and the server that shows the world the loop."""

    outside: Outside
    server: MetricsServer
    wire: Wire


def run(settings: Settings) -> ExitCode:
    """Run the service until it is told to stop. Raises ConfigurationError where it cannot start."""
    os.umask(0o077)
    leave_no_core()
    take_open_files()
    return_large_buffers()
    share_interpreter_evenly()
    configure_logs(settings.log_level, settings.log_format, PROCESS_NAME)
    processors = load_processors(settings.processors, Routes.from_settings(settings).models)
    _tell_unknown_names(processors)
    _tell_broken(processors)
    for task_type in processors.without_processor(settings.task_limits):
        log.warning(LogEvent.TASK_LIMIT_UNUSED, task_type=task_type)
    notifier = Notifier.from_environment()
    check_open_files(settings.workers, MAX_CONNECTIONS + settings.report_concurrency)
    check_socket_directory()
    state = StateDirectory(settings.state_dir)
    _prepare_metric_files(state.metrics, settings.workers)
    service = _build(settings, processors, state, notifier)
    supervisor = compose(settings, service.outside)
    log.info(LogEvent.SERVICE_STARTING, version=VERSION, pid=os.getpid(), port=service.server.port)
    _start(service)
    calm_collector()
    supervisor.recover(_booted_at_seconds())
    notifier("READY=1")
    code = ExitCode.UNEXPECTED
    try:
        code = supervisor.run()
    finally:
        # Also after a fault of ours: slots that go on starting workers would keep the process alive.
        if code is not ExitCode.DRAINED:
            for slot in range(settings.workers):
                service.outside.pool.kill(slot)
        service.outside.pool.close()
        service.outside.journal.close()
        notifier.close()
    log.info(LogEvent.SERVICE_STOPPED, exit_code=code, reason=code.name.lower())
    return code


def _booted_at_seconds() -> float:
    """When (epoch) the machine was booted."""
    since_boot = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the first is Linux's
    return time.time() - time.clock_gettime(since_boot)


def _tell_broken(processors: ProcessorFactory) -> None:
    for broken in processors.broken:
        facts = {"processor": broken.source.path, "found": broken.source.found, "detail": broken.reason}
        log.error(LogEvent.PROCESSOR_BROKEN, **facts)


def _tell_unknown_names(processors: ProcessorFactory) -> None:
    for unknown in find_unknown_names(processors.settings_types()):
        facts = {"name": unknown.name, "source": unknown.source}
        if unknown.meant is None:
            log.debug(LogEvent.SETTING_UNKNOWN, **facts)
        else:
            log.warning(LogEvent.SETTING_UNKNOWN, **facts, meant=unknown.meant)


def _prepare_metric_files(directory: Path, workers: int) -> None:
    try:
        clean_metric_files(directory)
        reserve_metric_files(directory, [f"worker-{slot}" for slot in range(workers)])
    except OSError as error:
        raise ConfigurationError(
            f"STATE_DIR: metric files cannot be kept in {directory}: {error.strerror};"
            " they need a local disk with room"
        ) from error


def _make_registry(directory: Path, board: StatusBoard) -> CollectorRegistry:
    """What `/metrics` shows, but for what the supervisor counts: the workers' files, and the status."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]  # the library's own gap
    registry.register(StatusGauges(board))
    return registry


def _build(
    settings: Settings, processors: ProcessorFactory, state: StateDirectory, notifier: Notifier
) -> Service:
    inbox = Inbox()
    board = StatusBoard()
    registry = _make_registry(state.metrics, board)
    metrics = SupervisorMetrics(registry)
    wake_endpoint = WakeEndpoint(settings.wake_token, inbox.post, time.monotonic)
    server = MetricsServer(
        settings.metrics_host,
        settings.metrics_port,
        board,
        registry,
        wake_endpoint,
        allowed_hosts=(settings.metrics_allowed_hosts or "").split(","),
    )
    journal = TaskJournal(state.journal, BodyFiles(state.bodies), time.time)
    wire, api = connect(
        settings, inbox.post, metrics, processors, _new_correlation_id, journal.holds, state.worker_id
    )
    outside = Outside(
        inbox=inbox,
        journal=journal,
        poller=Poller(api, journal.inputs.store, inbox.post),
        report_queue=WirePatchQueue(
            api,
            wire.new_queue(settings.report_concurrency),
            lambda task_id, answer: inbox.post(ReportDone(task_id, answer)),
        ),
        claim_queue=WirePatchQueue(
            api,
            wire.new_queue(CLAIMS_AT_ONCE),
            lambda task_id, answer: inbox.post(ClaimDone(task_id, answer)),
            claims=True,
        ),
        bulk_calls=WireBulkCalls(api, wire.new_queue(BULK_CALLS_AT_ONCE), inbox.post),
        renew_queue=WireRenewals(api, inbox.post),
        pool=make_pool(
            settings,
            WorkerConfig.from_settings(settings, processors.specs(), state.metrics),
            inbox.post,
            settings.workers,
        ),
        metrics=metrics,
        board=board,
        notify=notifier,
        processors=processors,
        clock=time.monotonic,
    )
    return Service(outside, server, wire)


def _new_correlation_id() -> str:
    # Unique, not secret: a system call for each task of each page would be half of what parsing it takes.
    return f"{random.getrandbits(128):032x}"


def _start(service: Service) -> None:
    outside = service.outside
    obey_signals(outside.inbox.post)
    service.server.start(outside.inbox.post)
    outside.pool.start()
    outside.poller.start()
    service.wire.start()
