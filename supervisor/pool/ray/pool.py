"""The pool on a Ray cluster: what the supervisor knows of it. No Ray is imported here."""

import importlib.metadata
import multiprocessing
import pickle
import queue
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol, TypeAlias, cast

from shared.errors import ConfigurationError
from shared.messages import Unit, UnitDone, UnitProgress
from shared.settings import Settings
from supervisor.pool.base import UnitFinished, UnitProgressed, WorkerDied, WorkersAwaited, WorkerStarted
from supervisor.pool.ray.bridge import INSTALL, bridge_main
from supervisor.pool.ray.messages import (
    Alive,
    Answered,
    Awaited,
    BridgeConfig,
    Close,
    Died,
    Finish,
    Give,
    Joined,
    Kill,
    Order,
    Report,
    Started,
    Unreachable,
    limit_reads,
    receive_report,
    send,
)
from supervisor.runtime.events import Event, start_thread
from workers.config import WorkerConfig
from workers.process.pipe import PICKLE_PROTOCOL

SILENCE_SECONDS = 30.0
"""A bridge that says nothing for so long hangs. It says something every 5 s."""
START_BACKOFF_SECONDS = 0.5
MAX_START_BACKOFF_SECONDS = 10.0
CLOSE_SECONDS = 5.0
KILLED_SECONDS = 1.0
NOT_INSTALLED = f"POOL: is ray, and Ray is not installed; {INSTALL}, or set POOL=local"


class BridgeProcess(Protocol):
    """What is needed of a multiprocessing.Process."""

    @property
    def sentinel(self) -> int: ...

    @property
    def exitcode(self) -> int | None: ...

    def kill(self) -> None: ...

    def join(self) -> None: ...


Launch = Callable[[int], tuple[BridgeProcess, Connection]]


class RayPool:
    """See WorkerPool for the contract. The pid of a worker is the number that the pool gave it.

    `launch(first_number)` starts a bridge, which numbers its workers from there, and returns it with our end
    of its pipe. One thread receives from the bridge and owns all that is known of it; another sends. `rest`
    waits for so many seconds before a bridge is started anew.
    """

    def __init__(
        self,
        slots: int,
        address: str,
        launch: Launch,
        post: Callable[[Event], None],
        *,
        silence_seconds: float = SILENCE_SECONDS,
        rest: Callable[[float], object] | None = None,
    ) -> None:
        self._slots = slots
        self._address = address
        self._launch = launch
        self._post = post
        self._orders: _Orders = queue.SimpleQueue()
        self._closing = threading.Event()
        self._silence_seconds = silence_seconds
        self._wait = rest or self._closing.wait
        self._thread: threading.Thread | None = None
        self._bridge: BridgeProcess | None = None
        self._rss_bytes = [0] * slots
        self._workers: dict[int, int] = {}
        """The number of the worker in each slot that has one."""
        self._next_number = 1
        self._awaited: dict[int, str] = {}
        self._joining: Joined | Unreachable | None = None
        """What the bridge said of joining the cluster."""
        self._unreachable = ""
        self._told = ""
        self._failed_bridges = 0

    @classmethod
    def from_settings(
        cls, settings: Settings, config: WorkerConfig, post: Callable[[Event], None], slots: int
    ) -> "RayPool":
        """Raises ConfigurationError where Ray is not installed."""
        check_ray_installed()
        address = settings.ray_address or ""

        def launch(first_number: int) -> tuple[BridgeProcess, Connection]:
            return start_bridge(
                BridgeConfig(
                    address=address,
                    slots=slots,
                    cpus=settings.ray_worker_cpus,
                    gpus=settings.ray_worker_gpus,
                    worker=pickle.dumps(config, PICKLE_PROTOCOL),
                    metrics_directory=config.metrics_directory,
                    inputs_directory=config.inputs_directory,
                    first_number=first_number,
                )
            )

        return cls(slots, address, launch, post)

    def start(self) -> None:
        self._thread = start_thread("ray-bridge", self._run, self._post)

    def dispatch(self, slot: int, pid: int, unit: Unit) -> None:
        self._orders.put(_Dispatch(slot, pid, unit))

    def kill(self, slot: int) -> None:
        self._orders.put(Kill(slot))

    def recycle(self, slot: int, pid: int) -> None:
        self._orders.put(Finish(slot, pid))

    def rss_bytes(self, slot: int) -> int:
        """As the worker said with its last answer."""
        return self._rss_bytes[slot]

    def close(self) -> None:
        self._closing.set()
        self._orders.put(Close())
        if not self._workers:
            self._kill_bridge()  # which may wait for a cluster that is gone, and hear no order
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
            self._kill_bridge()
            self._thread.join(KILLED_SECONDS)

    def _kill_bridge(self) -> None:
        bridge = self._bridge
        if bridge is not None:
            bridge.kill()

    def _run(self) -> None:
        """The work of the thread: one bridge after another until `close`."""
        while True:
            self._orders = queue.SimpleQueue()  # what was ordered of an earlier bridge goes with it
            if self._closing.is_set():
                return
            try:
                process, pipe = self._launch(self._next_number)
            except (OSError, EOFError) as error:
                self._unreachable = f"the bridge to Ray cannot be started: {error}"
                self._tell_awaited()
                self._rest()
                continue
            self._bridge = process
            self._joining = None
            with pipe:
                self._serve(process, pipe)
            self._end(process)

    def _serve(self, process: BridgeProcess, pipe: Connection) -> None:
        """Pass messages until the bridge is gone, or is asked to end and does."""
        orders = self._orders
        sender = start_thread("ray-orders", lambda: _send_orders(orders, pipe), self._post)
        try:
            limit_reads(pipe, self._silence_seconds)
            while wait([pipe, process.sentinel], self._silence_seconds):
                self._hear(receive_report(pipe))
        except (EOFError, OSError):
            pass
        finally:
            process.kill()
            orders.put(None)
            sender.join()

    def _hear(self, report: Report) -> None:
        match report:
            case Alive():
                return
            case Joined():
                self._joining = report
                self._unreachable = ""
                self._failed_bridges = 0
            case Unreachable(reason=reason):
                self._joining = report
                self._unreachable = reason
            case Awaited(slot=slot, reason=reason):
                self._awaited[slot] = reason
            case Started():
                self._started(report)
            case Answered() if self._workers.get(report.slot) == report.number:
                self._answered(report)
            case Died() if not self._closing.is_set():
                self._died(report)
        self._tell_awaited()

    def _started(self, report: Started) -> None:
        self._workers[report.slot] = report.number
        self._next_number = max(self._next_number, report.number + 1)
        self._awaited.pop(report.slot, None)
        self._post(WorkerStarted(report.slot, report.number, f"Ray node {report.where}"))

    def _answered(self, report: Answered) -> None:
        self._rss_bytes[report.slot] = report.rss_bytes
        for data in report.messages:
            message = cast("UnitProgress | UnitDone", pickle.loads(data))  # noqa: S301  pickled by our worker
            if isinstance(message, UnitProgress):
                self._post(UnitProgressed(report.slot, message))
            else:
                self._post(UnitFinished(report.slot, message))

    def _died(self, report: Died) -> None:
        if report.was_ready:
            if self._workers.get(report.slot) != report.number:
                return
            del self._workers[report.slot]
        self._rss_bytes[report.slot] = 0
        self._awaited.pop(report.slot, None)
        self._post(
            WorkerDied(report.slot, report.unit_ids, report.exit_code, report.was_ready, report.reason)
        )

    def _end(self, process: BridgeProcess) -> None:
        """The bridge is gone, and all workers with it. None of their units had a part in it."""
        process.join()
        self._bridge = None
        if self._closing.is_set():
            return
        ended = f"the connection to the Ray cluster at {self._address} ended"
        for slot in sorted(self._workers):
            self._post(WorkerDied(slot, (), process.exitcode, was_ready=True, reason=f"was lost: {ended}"))
        self._workers.clear()
        self._awaited.clear()
        self._rss_bytes = [0] * self._slots
        if isinstance(self._joining, Joined):
            self._unreachable = ended
        elif self._joining is None:
            self._unreachable = (
                f"the bridge process ended (exit code {process.exitcode}) before it had joined the Ray"
                f" cluster at {self._address}; the service's stderr has more"
            )
        self._tell_awaited()
        self._rest()

    def _tell_awaited(self) -> None:
        """Say why workers cannot start, when that has changed."""
        reasons = [reason for reason in self._awaited.values() if reason]
        told = self._unreachable
        if not told and reasons:
            told = f"{len(reasons)} of {self._slots} workers wait: {reasons[-1]}"
        if told != self._told:
            self._told = told
            self._post(WorkersAwaited(told))

    def _rest(self) -> None:
        backoff_seconds = START_BACKOFF_SECONDS * 2 ** min(self._failed_bridges, 10)
        self._failed_bridges += 1
        self._wait(min(backoff_seconds, MAX_START_BACKOFF_SECONDS))


class _Dispatch:
    """A unit for a worker. It becomes an order in the thread that sends: large units take a while."""

    def __init__(self, slot: int, pid: int, unit: Unit) -> None:
        self._slot = slot
        self._pid = pid
        self._unit = unit

    def as_order(self) -> Give:
        places = dict.fromkeys(task.input_place for task in self._unit.tasks if task.input_place)
        unit = pickle.dumps(self._unit, PICKLE_PROTOCOL)
        return Give(self._slot, self._pid, self._unit.id, unit, tuple(places))


_Orders: TypeAlias = "queue.SimpleQueue[Order | _Dispatch | None]"
"""For the bridge that runs; None ends them."""


def _send_orders(orders: _Orders, pipe: Connection) -> None:
    try:
        while (order := orders.get()) is not None:
            send(pipe, order.as_order() if isinstance(order, _Dispatch) else order)
    except OSError:
        return  # the bridge is gone


def check_ray_installed() -> None:
    """Raises ConfigurationError where it is not."""
    try:
        importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        raise ConfigurationError(NOT_INSTALLED) from None


def start_bridge(config: BridgeConfig) -> tuple[BaseProcess, Connection]:
    """A bridge process, and our end of its pipe. It ends with the thread that calls this. Raises OSError."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=bridge_main, args=(theirs, config), name="ray-bridge", daemon=True)
    try:
        process.start()
    finally:
        theirs.close()
    return process, ours
