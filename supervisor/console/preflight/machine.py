"""What the machine has to give: a state directory, a socket directory, a port, open files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from shared.errors import ConfigurationError
from shared.settings import Settings
from supervisor.console.connections import MAX_CONNECTIONS
from supervisor.console.listening import listen
from supervisor.console.preflight.finding import Finding, Mark, faults_of
from supervisor.journal.admin import JournalAdmin
from supervisor.journal.state_directory import JOURNAL_FILE, StateDirectory
from supervisor.journal.task_record import TaskState
from supervisor.runtime.limits import check_open_files, take_open_files
from workers.process.forkserver import check_socket_directory


@dataclass(frozen=True, slots=True)
class Held:
    """The tasks that are in the journal: they would not be taken again."""

    states: Mapping[str, TaskState] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Tasks that wait to run."""
        return len(self.states) - self.owed - self._in(TaskState.REJECTED)

    @property
    def owed(self) -> int:
        """Reports that wait to be sent."""
        return self._in(TaskState.FINISHED)

    def _in(self, state: TaskState) -> int:
        return sum(1 for found in self.states.values() if found is state)


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


def read_journal(settings: Settings) -> Held:
    """Raises ConfigurationError where there is a journal that cannot be read."""
    path = settings.state_dir.absolute() / JOURNAL_FILE
    if not path.exists():
        return Held()
    with JournalAdmin(path) as journal:
        return Held(journal.states())


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
        check_open_files(settings.concurrency_limit, MAX_CONNECTIONS + settings.report_concurrency)
    except ConfigurationError as error:
        yield from faults_of(error)
