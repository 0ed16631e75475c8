"""Makes the importing process a forkserver of ours: its title, its signals, its forks, one thread a worker.

Import before anything that brings native threads.
"""

import errno
import os
import signal
import sys

from setproctitle import setproctitle

from workers.process.signals import leave_signals_to_supervisor

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

    By itself the standard library's forkserver would end, and every worker with it.
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
# The workers show their stacks; the forkserver has none worth showing, and would end.
signal.signal(signal.SIGQUIT, signal.SIG_IGN)
os.environ.update(SINGLE_THREADED)
os.fork = fork_or_refuse
