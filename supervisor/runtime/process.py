"""How the supervisor's process is set up and ends: streams, signals, limits, memory, exit codes."""

import contextlib
import ctypes
import faulthandler
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Literal, TextIO

from shared.errors import ConfigurationError
from shared.plain_text import count
from supervisor.runtime.events import Event, PauseRequested, ResumeRequested, StopRequested

STANDARD_DESCRIPTORS = (0, 1, 2)
SIGNAL_EVENTS: dict[signal.Signals, Event] = {
    signal.SIGTERM: StopRequested(),
    signal.SIGINT: StopRequested(),
    signal.SIGUSR1: PauseRequested(),
    signal.SIGUSR2: ResumeRequested(),
}
FILES_OF_THE_SERVICE = 60
"""Journal, logs, listening sockets and libraries: 19 when nothing happens, and more at work."""
FILES_A_WORKER = 5
"""As counted: its pipe, what its process holds open here, and both ends of the pipe that wakes its thread."""
SWITCH_INTERVAL_SECONDS = 0.0005
COLLECTOR_THRESHOLDS = (50_000, 20, 50)
MMAP_THRESHOLD_BYTES = 4 * 2**20
TRIM_THRESHOLD_BYTES = 8 * 2**20
"""The messages of workers, some MB each, come and go all the time: their memory is kept."""
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
"""Source: malloc.h of the GNU C library."""


class ExitCode(IntEnum):
    DRAINED = 0
    UNEXPECTED = 1
    CONFIGURATION = 2
    LEFT_OVER = 3
    WORKERS_KEEP_DYING = 4


def open_standard_streams() -> None:
    """Open to /dev/null what is closed of the first three descriptors. Call before any file is opened.

    Otherwise the next file to be opened becomes "standard output", and log lines go into the journal.
    """
    for descriptor in STANDARD_DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest that is free
    # The interpreter has made no file objects of descriptors that were closed.
    sys.stdin = sys.stdin or _open_null("r")
    sys.stdout = sys.stdout or _open_null("w")
    sys.stderr = sys.stderr or _open_null("w")


def _open_null(mode: Literal["r", "w"]) -> TextIO:
    return Path(os.devnull).open(mode, encoding="utf-8")


def obey_signals(post: Callable[[Event], None]) -> None:
    """Turn signals into events. Call in the main thread. SIGQUIT prints the stack of each thread."""

    def handle(number: int, _: FrameType | None) -> None:
        post(SIGNAL_EVENTS[signal.Signals(number)])

    for number in SIGNAL_EVENTS:
        signal.signal(number, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNAL_EVENTS)
    faulthandler.register(signal.SIGQUIT, all_threads=True)


def take_open_files() -> None:
    """Raise the soft limit of open files to the hard one, for this process and those it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # some systems take no limit without a number
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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
        f"CONCURRENCY_LIMIT: with {count(workers, 'worker')} the service can need {needed:,} open files,"
        f" and its limit is {allowed:,}; raise the limit (ulimit -Hn, LimitNOFILE=, --ulimit nofile=){lower}"
    )


def leave_no_core() -> None:
    """Write no core file: the memory of these processes holds texts and keys."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def share_interpreter_evenly() -> None:
    """Let a thread that waits for the interpreter have it soon.

    By default another thread keeps it for 5 ms while the wire's thread has answers to take in. Measured: a
    tenth more reports a second, for the same CPU.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)


def calm_collector() -> None:
    """Collect seldom: few objects here are in cycles, and a full collection walks all tasks that wait."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    gc.enable()


def return_large_buffers() -> None:
    """Let pages of tasks go back to the system once they were read.

    After a large free, glibc raises its mmap threshold, and the heap fragments. Measured with 50,000 results
    waiting: 316 MB at the peak without this, 259 with it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries do not do this
        mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
