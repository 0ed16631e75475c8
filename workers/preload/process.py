"""Makes the importing process a forkserver of ours: its title, its signals, one thread a worker.

Import before anything that brings native threads.
"""

import os
import signal

from setproctitle import setproctitle

from workers.process.signals import leave_signals_to_supervisor

SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Workers are the parallelism; and a process with threads cannot be forked safely."""

setproctitle("ai-task-processor: forkserver")
leave_signals_to_supervisor()
# The workers show their stacks; the forkserver has none worth showing, and would end.
signal.signal(signal.SIGQUIT, signal.SIG_IGN)
os.environ.update(SINGLE_THREADED)
