"""What the system lets this process and its workers have: open files, and no core file."""

import contextlib
import resource

from shared.errors import ConfigurationError

FILES_OF_THE_SERVICE = 60
"""Journal, logs, listening sockets and libraries: it holds 19 when nothing happens, and more at work."""
FILES_A_WORKER = 5
"""As counted: its pipe, what its process holds open here, and both ends of the pipe that wakes its thread."""


def take_open_files() -> None:
    """Raise the soft limit of open files to the hard one, for this process and those it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # some systems take no limit without a number
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def leave_no_core() -> None:
    """The memory of these processes holds texts and keys: the system is not to write it to a file."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def check_open_files(workers: int, connections: int) -> None:
    """Raises ConfigurationError where so many workers and connections need more files than may be open."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = FILES_OF_THE_SERVICE + connections
    needed = others + FILES_A_WORKER * workers
    if allowed == resource.RLIM_INFINITY or allowed >= needed:
        return
    fitting = max(0, (allowed - others) // FILES_A_WORKER)
    lower = f", or lower it to {fitting}" if fitting else ""
    raise ConfigurationError(
        f"CONCURRENCY_LIMIT: with {workers} workers the service can need {needed:,} open files, and its limit"
        f" is {allowed:,}; raise the limit (ulimit -Hn, LimitNOFILE=, --ulimit nofile=){lower}"
    )
