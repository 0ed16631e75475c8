"""Preflight: would the service start, and what would it get of its peers? A line for each thing looked at."""

from collections.abc import Callable, Iterator

from shared.errors import ConfigurationError
from shared.loading import find_unknown_names, load_settings
from shared.settings import Pool, Settings
from supervisor.console.connections import MAX_CONNECTIONS
from supervisor.console.listening import listen
from supervisor.console.preflight.finding import Finding, Mark, faults_of
from supervisor.console.preflight.operations import look_at_operations
from supervisor.console.preflight.processors import look_at_processors
from supervisor.console.preflight.provider import look_at_provider
from supervisor.console.preflight.ray import look_at_ray
from supervisor.console.preflight.task_api import JournalTasks, look_at_task_api, read_journal
from supervisor.journal.state_directory import StateDirectory
from supervisor.runtime.process import ExitCode, check_open_files, take_open_files
from workers.factory import ProcessorFactory
from workers.process.forkserver import check_socket_directory


def run_check(say: Callable[[str], None] = print) -> ExitCode:
    """Look at everything, say a line each; CONFIGURATION if anything failed."""
    failed = False
    for finding in _findings():
        failed = failed or finding.mark is Mark.FAILED
        say(str(finding))
    return ExitCode.CONFIGURATION if failed else ExitCode.DRAINED


def _findings() -> Iterator[Finding]:
    try:
        settings = load_settings()
    except ConfigurationError as error:
        yield from faults_of(error)
        return
    yield Finding(Mark.OK, "settings", "complete and valid")
    try:
        processors = look_at_processors(settings)
    except ConfigurationError as error:
        yield from faults_of(error)
        return
    yield from processors.findings
    yield from _unknown_names(processors.usable)
    yield from _advice(settings, processors.usable)
    yield from look_at_machine(settings)
    try:
        in_journal = read_journal(settings)
    except ConfigurationError as error:
        yield from faults_of(error)
        in_journal = JournalTasks()
    task_api = look_at_task_api(settings, processors.usable, in_journal)
    yield from task_api.findings
    if all(finding.mark is not Mark.FAILED for finding in task_api.findings):
        yield from look_at_operations(settings, processors.usable)
    if settings.pool is Pool.RAY:
        on_ray = look_at_ray(settings, processors.usable)
        yield on_ray
        if on_ray.mark is Mark.FAILED:
            return  # providers are asked by workers
    for name in settings.providers_in_use:
        yield look_at_provider(settings, name, processors.usable, task_api.models)


def _unknown_names(processors: ProcessorFactory) -> Iterator[Finding]:
    for unknown in find_unknown_names(processors.settings_types()):
        if unknown.meant is None:
            yield Finding(Mark.NOTE, unknown.name, f"in {unknown.source} is no setting of this service")
        else:
            text = f"in {unknown.source} is no setting; did you mean {unknown.meant}?"
            yield Finding(Mark.WARNING, unknown.name, text)


def _advice(settings: Settings, processors: ProcessorFactory) -> Iterator[Finding]:
    for task_type in processors.without_processor(settings.task_limits):
        text = f'limits "{task_type}", and there is no processor for tasks of that type'
        yield Finding(Mark.WARNING, "TASK_LIMITS", text)
    if settings.task_timeout_seconds <= settings.openai_timeout:
        yield Finding(
            Mark.WARNING,
            "TASK_TIMEOUT_SECONDS",
            f"is not above OPENAI_TIMEOUT ({settings.openai_timeout:g} s): workers die in mid-call",
        )


def look_at_machine(settings: Settings) -> Iterator[Finding]:
    try:
        check_socket_directory()
    except ConfigurationError as error:
        yield from faults_of(error)
    try:
        StateDirectory(settings.state_dir).close()
        yield Finding(Mark.OK, "STATE_DIR", f"{settings.state_dir.absolute()} is writable and free")
    except ConfigurationError as error:
        yield from faults_of(error)
    yield _port(settings)
    yield from _open_files(settings)


def _port(settings: Settings) -> Finding:
    host, port = settings.metrics_host, settings.metrics_port
    try:
        sockets = listen(host, port)
    except ConfigurationError as error:
        return next(faults_of(error))
    for bound in sockets:
        bound.close()
    return Finding(Mark.OK, "METRICS_PORT", f"{port or 'any port'} of {host} is free")


def _open_files(settings: Settings) -> Iterator[Finding]:
    take_open_files()
    try:
        check_open_files(settings.workers, MAX_CONNECTIONS + settings.report_concurrency)
    except ConfigurationError as error:
        yield from faults_of(error)
