"""Prepares the forkserver: its signals, its forks, and the modules that its workers would load one by one.

Acts when it is imported, which the forkserver does before it forks. Nothing else may import it.
"""

import contextlib
import errno
import gc
import os
import signal
import sys

from setproctitle import setproctitle

from workers.process.entrypoint import leave_signals_to_supervisor
from workers.process.forkserver import PRELOAD_PROCESSORS_VARIABLE, PRELOAD_VARIABLE

SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Workers are the parallelism; and a process with threads cannot be forked safely."""
_fork = os.fork


def fork_or_refuse() -> int:
    """Fork for a request of the supervisor; refuse it where the system has no process to give.

    The standard library's forkserver would end instead, and every worker with it.
    """
    try:
        return _fork()
    except OSError as error:
        request = sys._getframe(1).f_locals
        for descriptor in (request["child_r"], request["child_w"], *request["fds"]):
            os.close(descriptor)
        # The one error after which the forkserver takes the next request.
        raise ConnectionAbortedError(errno.ECONNABORTED, str(error)) from error


setproctitle("ai-task-processor: forkserver")
leave_signals_to_supervisor()
# SIGQUIT shows the stacks of the workers, and would end the forkserver.
signal.signal(signal.SIGQUIT, signal.SIG_IGN)
os.environ.update(SINGLE_THREADED)
os.fork = fork_or_refuse

import workers.process.equipment  # noqa: E402, F401
from workers.plugins import PluginError, import_class  # noqa: E402
from workers.providers.registry import preload_providers  # noqa: E402  brings numpy, so after the variables are set

preload_providers(os.environ[PRELOAD_VARIABLE].split(","))
for path in filter(None, os.environ.get(PRELOAD_PROCESSORS_VARIABLE, "").split(",")):
    # Each worker says itself what cannot be imported.
    with contextlib.suppress(PluginError, Exception, SystemExit):
        import_class(path).preload()
# Keeps the garbage collector from touching, and so from copying, what the workers share.
gc.collect()
gc.freeze()
