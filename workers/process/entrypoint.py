"""What a worker process runs from its first line to its end."""

import contextlib
import multiprocessing
import os
import sys
import time
from multiprocessing.connection import Connection

from setproctitle import setproctitle

from shared.errors import ConfigurationError
from shared.logs import configure_logs
from shared.messages import WorkerReady, WorkerUnfit
from shared.metrics import WorkerMetrics, use_metric_files
from workers.process.config import WorkerConfig
from workers.process.parent_watch import die_with_parent, let_forkserver_end
from workers.process.pipe import send_message
from workers.process.signals import leave_signals_to_supervisor, show_stacks
from workers.process.worker import Worker
from workers.providers.openai.provider_calls import ProviderCalls

EXIT_UNFIT = 2


def worker_main(slot: int, pipe: Connection, config: WorkerConfig) -> None:
    """Run the worker of `slot` on its lane, until the lane is closed.

    Its first message is WorkerReady, or WorkerUnfit before it exits with 2. To be the target of a
    multiprocessing.Process.
    """
    from workers.factory import build_factory  # noqa: PLC0415  with numpy, which the supervisor does not need

    name = f"worker-{slot}"
    setproctitle(f"ai-task-processor: {name}")
    leave_signals_to_supervisor()
    show_stacks()
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        raise RuntimeError("worker_main runs in a process of multiprocessing only")
    let_forkserver_end()
    configure_logs(config.log_level, config.log_format, name)
    use_metric_files(config.metrics_directory, name)
    calls = ProviderCalls(WorkerMetrics(), time.monotonic)
    try:
        die_with_parent(supervisor.sentinel)
        factory = build_factory(config, calls)
    except ConfigurationError as error:
        with contextlib.suppress(OSError):  # the supervisor may have ended for the same reason
            send_message(pipe, WorkerUnfit(str(error)))
        sys.exit(EXIT_UNFIT)
    try:
        send_message(pipe, WorkerReady(os.getpid()))
    except OSError:
        return  # the supervisor is gone before we were ready: there is nobody to work for
    Worker(
        pipe=pipe,
        parent_sentinel=supervisor.sentinel,
        inputs_directory=config.inputs_directory,
        factory=factory,
        calls=calls,
        clock=time.monotonic,
    ).run()
