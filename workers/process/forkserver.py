"""The process all workers are forked from."""

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.util
import os
import socket
import tempfile
from collections.abc import Iterable
from multiprocessing.context import ForkServerContext
from pathlib import Path

from shared.errors import RAISE_PROCESS_LIMIT, ConfigurationError

PRELOAD_MODULES = ["workers.process.preload"]
PRELOAD_VARIABLE = "AI_TASK_PROCESSOR_PRELOAD"
"""Tells the forkserver which kinds of providers its workers will use, with commas between."""
PRELOAD_PROCESSORS_VARIABLE = "AI_TASK_PROCESSOR_PRELOAD_PROCESSORS"
"""Tells it the classes of their processors."""
_MEND = "set it to a directory with a short path that can be written, such as /tmp"
_CHECKOUT = Path(__file__).resolve().parent.parent.parent


def check_socket_directory() -> None:
    """The forkserver listens on a socket in TMPDIR. Raises ConfigurationError where it cannot."""
    wanted = os.environ.get("TMPDIR")
    try:
        if wanted and Path(wanted).resolve() != Path(tempfile.gettempdir()).resolve():
            raise ConfigurationError(f"TMPDIR: {wanted} does not exist or cannot be written; {_MEND}")
        # Names as long as those that multiprocessing gives.
        with tempfile.TemporaryDirectory(prefix="pymp-") as folder, socket.socket(socket.AF_UNIX) as trial:
            trial.bind(f"{folder}/listener-of_trial")
    except OSError as error:
        raise ConfigurationError(
            f"TMPDIR: workers cannot have a socket there: {error.strerror or error}; {_MEND}"
        ) from error


def start_forkserver(kinds: Iterable[str], processors: Iterable[str]) -> ForkServerContext:
    """Start the forkserver; a context to make workers with.

    What providers of these kinds and these processors import is imported there already.

    It ends with this process. If it dies earlier, the next Process.start() starts another. Raises
    ConfigurationError where the system does not let it start.
    """
    # The forkserver does not know this process's sys.path, and silently skips a preload it cannot import.
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(_CHECKOUT) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(_CHECKOUT), *filter(None, paths)])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD_MODULES)
    os.environ[PRELOAD_VARIABLE] = ",".join(kinds)
    os.environ[PRELOAD_PROCESSORS_VARIABLE] = ",".join(processors)
    try:
        multiprocessing.forkserver.ensure_running()
    except OSError as error:
        raise ConfigurationError(
            f"the system starts no process for the workers: {error.strerror or error}; {RAISE_PROCESS_LIMIT}"
        ) from error
    return context


def start_another_forkserver() -> None:
    """Needed when the socket of the running one was removed, for instance by a cleaner of TMPDIR.

    The old one and its workers go on. Its pipe stays open, so it ends with this process. Raises OSError.
    """
    server = multiprocessing.forkserver._forkserver
    # There is no public way.
    vars(server).update(_forkserver_alive_fd=None, _forkserver_address=None, _forkserver_pid=None)
    Path(multiprocessing.util.get_temp_dir()).mkdir(mode=0o700, exist_ok=True)
    server.ensure_running()
