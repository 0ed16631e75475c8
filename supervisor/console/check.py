"""Preflight: would the service start, and what would it get of its peers? A line for each thing looked at."""

from collections.abc import Callable, Iterator

from shared.errors import ConfigurationError
from shared.loading import find_unknown_names, load_settings
from shared.settings import Settings
from supervisor.console.preflight.finding import Finding, Mark, faults_of
from supervisor.console.preflight.machine import Held, look_at_machine, read_journal
from supervisor.console.preflight.provider import look_at_provider
from supervisor.console.preflight.task_api import look_at_task_api
from supervisor.runtime.exit_codes import ExitCode


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
    yield from _unknown_names()
    yield from _advice(settings)
    yield from look_at_machine(settings)
    try:
        held = read_journal(settings)
    except ConfigurationError as error:
        yield from faults_of(error)
        held = Held()
    task_api = look_at_task_api(settings, held)
    yield from task_api.findings
    yield look_at_provider(settings, task_api.models)


def _unknown_names() -> Iterator[Finding]:
    for unknown in find_unknown_names():
        if unknown.meant is None:
            yield Finding(Mark.NOTE, unknown.name, f"in {unknown.source} is no setting of this service")
        else:
            text = f"in {unknown.source} is no setting; did you mean {unknown.meant}?"
            yield Finding(Mark.WARNING, unknown.name, text)


def _advice(settings: Settings) -> Iterator[Finding]:
    if settings.task_timeout_seconds <= settings.openai_timeout:
        yield Finding(
            Mark.WARNING,
            "TASK_TIMEOUT_SECONDS",
            f"is not above OPENAI_TIMEOUT ({settings.openai_timeout:g} s): workers die in mid-call",
        )
