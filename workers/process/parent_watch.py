"""No worker outlives its supervisor, whatever either is doing."""

import ctypes
import multiprocessing.connection
import multiprocessing.forkserver
import os
import signal
import sys
import threading

from shared.errors import RAISE_PROCESS_LIMIT, ConfigurationError

_PR_SET_PDEATHSIG = 1
_EXIT_CODE = 1


def die_with_parent(parent_sentinel: int) -> None:
    """Have this process killed when the supervisor dies.

    Twice over. A thread waits for `parent_sentinel`, which works everywhere but needs the interpreter. And
    the kernel kills the process when its parent ends, which also works while native code holds the
    interpreter's lock or the process is stopped. That parent is the forkserver, which ends with the
    supervisor, see `let_forkserver_end`. Raises ConfigurationError where the system starts no thread.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    watch = threading.Thread(target=_watch, args=(parent_sentinel,), name="parent-watch", daemon=True)
    try:
        watch.start()
    except RuntimeError as error:
        raise ConfigurationError(
            f"the system starts no thread for the worker: {error}; {RAISE_PROCESS_LIMIT}"
        ) from error


def let_forkserver_end() -> None:
    """Give up this worker's hold on the forkserver.

    A forkserver runs as long as any process it may serve is alive, which includes the workers: a stopped
    worker would keep it alive, and would itself never get the kernel's signal. Workers start no processes.
    """
    forkserver = multiprocessing.forkserver._forkserver  # there is no public way
    descriptor = getattr(forkserver, "_forkserver_alive_fd", None)
    if isinstance(descriptor, int):
        os.close(descriptor)
        forkserver._forkserver_alive_fd = None  # type: ignore[attr-defined]  # private, so not in the stubs


def _watch(parent_sentinel: int) -> None:
    multiprocessing.connection.wait([parent_sentinel])
    os._exit(_EXIT_CODE)
