"""The bridge: a child process that is the Ray driver, between the pool and the actors.

Ray ends its driver's process when the head is gone for a minute, and handles SIGTERM in its own way. Neither
may reach the supervisor.
"""

import contextlib
import itertools
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from multiprocessing.connection import Connection

from setproctitle import setproctitle

from shared.metric_changes import AddedMetrics
from shared.models import InputPlace
from shared.plain_text import type_and_words
from supervisor.pool.ray.actor_slot import ActorSlot, Cluster
from supervisor.pool.ray.messages import (
    Alive,
    BridgeConfig,
    Close,
    Finish,
    Give,
    Joined,
    Kill,
    Report,
    Unreachable,
    receive_order,
    send,
)
from workers.process.entrypoint import die_with_parent, leave_signals_to_supervisor, show_stacks
from workers.process.threads import end_process_after, start_thread
from workers.process.worker import read_input

ALIVE_EVERY_SECONDS = 5.0
SLOW_JOIN_SECONDS = 15.0
CLOSE_SECONDS = 2.0
INSTALL = "pip install --require-hashes -r requirements-ray.txt"
RAY_ENVIRONMENT = {"RAY_ENABLE_AUTO_CONNECT": "0"}
"""Otherwise a thread that calls Ray after its end starts a cluster of its own."""


def bridge_main(pipe: Connection, config: BridgeConfig) -> None:
    """Run the bridge until the supervisor closes the pipe. The target of a multiprocessing.Process."""
    end_process_after(lambda: _work(pipe, config))


def _work(pipe: Connection, config: BridgeConfig) -> None:
    setproctitle("ai-task-processor: ray-bridge")
    leave_signals_to_supervisor()
    show_stacks()
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        raise RuntimeError("bridge_main runs in a process of multiprocessing only")
    die_with_parent(supervisor.sentinel)
    # What libraries print is no line of the log.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.environ.update(RAY_ENVIRONMENT)
    tell = Teller(pipe)
    start_thread("alive", tell.keep_alive)
    _join_and_serve(pipe, config, tell)


def _join_and_serve(pipe: Connection, config: BridgeConfig, tell: "Teller") -> None:
    try:
        from supervisor.pool.ray.cluster import JOINED, ClusterUnreachableError, RayCluster  # noqa: PLC0415  # Ray
    except ImportError as error:
        tell(Unreachable(f"Ray cannot be loaded: {type_and_words(error)}; {INSTALL}"))
        return
    slow = Unreachable(
        f"what answers at {config.address} does not let the service join a Ray cluster; check RAY_ADDRESS;"
        f" {JOINED}; Ray's own words are in the service's stderr"
    )
    try:
        with telling_if_slow(tell, slow):
            cluster = RayCluster.join(config.address, config.cpus, config.gpus)
    except ClusterUnreachableError as error:
        tell(Unreachable(str(error)))
        return
    leave_signals_to_supervisor()  # Ray has set a handler of its own
    tell(Joined())
    serve(pipe, config, cluster, tell)
    cluster.close()


@contextlib.contextmanager
def telling_if_slow(
    tell: Callable[[Report], None], report: Report, seconds: float = SLOW_JOIN_SECONDS
) -> Iterator[None]:
    """Send the report if what is done takes longer. Ray itself tries for minutes and says nothing."""
    timer = threading.Timer(seconds, tell, (report,))
    timer.name, timer.daemon = "slow-join", True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # so that it says nothing after this


class Teller:
    """Sends reports, one at a time. May be used from several threads."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def __call__(self, report: Report) -> None:
        """Raises OSError when the supervisor is gone: this process ends then."""
        with self._lock:
            send(self._pipe, report)

    def keep_alive(self) -> None:
        """So that the pool can tell a bridge that waits from one that hangs."""
        while True:
            self(Alive())
            time.sleep(ALIVE_EVERY_SECONDS)


def serve(pipe: Connection, config: BridgeConfig, cluster: Cluster, tell: Callable[[Report], None]) -> None:
    """Keep an actor alive in each slot and hand on what the pool orders, until it orders to close."""
    numbers = itertools.count(config.first_number)
    slots = [
        ActorSlot(
            slot,
            cluster=cluster,
            config=config.worker,
            numbers=numbers,
            metrics=AddedMetrics(config.metrics_directory, f"worker-{slot}"),
            tell=tell,
        )
        for slot in range(config.slots)
    ]
    for slot in slots:
        start_thread(f"slot-{slot.slot}", slot.run)
    inputs = partial(_inputs, config)
    while True:
        match receive_order(pipe):
            case Give() as order:
                slots[order.slot].give(order, inputs(order.places))
            case Finish() as order:
                slots[order.slot].finish(order.number)
            case Kill() as order:
                slots[order.slot].kill()
            case Close():
                break
    until = time.monotonic() + CLOSE_SECONDS
    for ending in [slot.close() for slot in slots]:
        if ending is not None:
            ending.join(max(0.0, until - time.monotonic()))


def _inputs(config: BridgeConfig, places: tuple[InputPlace, ...]) -> Mapping[InputPlace, bytes | str]:
    """Inputs that are in files of this machine, which another machine cannot read."""
    return {place: _input(config, place) for place in places}


def _input(config: BridgeConfig, place: InputPlace) -> bytes | str:
    try:
        return read_input(config.inputs_directory, place)
    except OSError as error:
        return str(error)
