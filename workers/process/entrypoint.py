"""What a worker process runs from its first line to its end. No worker outlives its supervisor."""

import contextlib
import ctypes
import faulthandler
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import signal
import sys
import threading
from functools import partial
from multiprocessing.connection import Connection

from setproctitle import setproctitle

from shared.errors import RAISE_PROCESS_LIMIT, ConfigurationError
from shared.logs import configure_logs
from shared.messages import WorkerReady, WorkerUnfit
from shared.metrics import use_metric_files
from workers.config import WorkerConfig
from workers.process.pipe import SupervisorPipe, send_message
from workers.process.threads import end_process_after, end_process_later

EXIT_UNFIT = 2
CLOSE_SECONDS = 5.0
_EXIT_WITHOUT_SUPERVISOR = 1
_PR_SET_PDEATHSIG = 1
_FOR_THE_SUPERVISOR = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def worker_main(slot: int, pipe: Connection, config: WorkerConfig) -> None:
    """Run the worker of `slot` until its pipe is closed. The target of a multiprocessing.Process.

    Its first message is WorkerReady, or WorkerUnfit before it exits with 2. The process ends with this
    function: the interpreter would first wait for threads that a plug-in left.
    """
    end_process_after(lambda: _work(slot, pipe, config))


def _work(slot: int, pipe: Connection, config: WorkerConfig) -> None:
    # With numpy, which the supervisor does not need.
    from workers.process.equipment import Equipment  # noqa: PLC0415
    from workers.process.worker import read_input  # noqa: PLC0415

    name = f"worker-{slot}"
    setproctitle(f"ai-task-processor: {name}")
    leave_signals_to_supervisor()
    show_stacks()
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        raise RuntimeError("worker_main runs in a process of multiprocessing only")
    _let_forkserver_end()
    configure_logs(config.log_level, config.log_format, name)
    use_metric_files(config.metrics_directory, name)
    try:
        die_with_parent(supervisor.sentinel)
        equipment = Equipment.from_config(config)
    except ConfigurationError as error:
        with contextlib.suppress(OSError):  # the supervisor may have ended for the same reason
            send_message(pipe, WorkerUnfit(str(error)))
        sys.exit(EXIT_UNFIT)
    try:
        send_message(pipe, WorkerReady(os.getpid()))
    except OSError:
        return  # the supervisor died before this worker was ready
    ours = SupervisorPipe(pipe, supervisor.sentinel)
    equipment.worker(ours.receive, ours.send, partial(read_input, config.inputs_directory)).run()
    # A `close` of a plug-in that hangs would keep the worker from being replaced.
    end_process_later(CLOSE_SECONDS)
    equipment.close()


def leave_signals_to_supervisor() -> None:
    """Ignore what a terminal or service manager sends to the whole group: a drain needs its workers alive.

    The supervisor ends a worker by closing its pipe, or by SIGKILL.
    """
    for number in _FOR_THE_SUPERVISOR:
        signal.signal(number, signal.SIG_IGN)


def show_stacks() -> None:
    """Stacks to stderr on SIGQUIT, and before a native crash ends the process."""
    faulthandler.enable()
    faulthandler.register(signal.SIGQUIT, all_threads=True)


def die_with_parent(parent_sentinel: int) -> None:
    """Have this process killed when the supervisor dies, in two ways.

    A thread waits for `parent_sentinel`: it works on every system, but needs the interpreter. And the kernel
    kills the process when the thread that started it ends, in the forkserver or in the supervisor: that works
    also while the process is stopped or native code holds the interpreter's lock. Raises ConfigurationError
    where the system starts no thread.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)

    def watch() -> None:
        multiprocessing.connection.wait([parent_sentinel])
        os._exit(_EXIT_WITHOUT_SUPERVISOR)

    try:
        threading.Thread(target=watch, name="parent-watch", daemon=True).start()
    except RuntimeError as error:
        raise ConfigurationError(
            f"the system starts no thread for the worker: {error}; {RAISE_PROCESS_LIMIT}"
        ) from error


def _let_forkserver_end() -> None:
    """Close this worker's end of the pipe that keeps the forkserver alive.

    A forkserver runs as long as any process holds that end. A stopped worker would keep it alive, and so
    never get the kernel's signal of its death. Workers start no processes, so they do not need it.
    """
    forkserver = multiprocessing.forkserver._forkserver  # there is no public way
    descriptor = getattr(forkserver, "_forkserver_alive_fd", None)
    if isinstance(descriptor, int):
        os.close(descriptor)
        forkserver._forkserver_alive_fd = None  # type: ignore[attr-defined]  # private, so not in the stubs
