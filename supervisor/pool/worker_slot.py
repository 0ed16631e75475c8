"""One slot of the pool: a thread that keeps one worker process alive and speaks with it over its pipe.

Whatever waits for a worker waits here. A worker that is killed, stopped or stuck in the middle of a message
holds up its own slot and nothing else.
"""

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import psutil

from shared.errors import RAISE_PROCESS_LIMIT
from shared.messages import Unit, UnitDone, UnitProgress, WorkerReady, WorkerUnfit
from supervisor.pool.base import UnitFinished, UnitProgressed, WorkerDied, WorkerStarted
from supervisor.runtime.events import Event
from workers.process.pipe import receive_message, send_message

START_BACKOFF_SECONDS = 0.1
MAX_START_BACKOFF_SECONDS = 10.0
GENTLE_EXIT_SECONDS = 2.0
NO_PROCESS = f"the system gave the forkserver no process for it; {RAISE_PROCESS_LIMIT}"

Launch = Callable[[int], tuple[BaseProcess, Connection]]


@dataclass(frozen=True, slots=True)
class _Order:
    """For the worker with this pid: a unit, or None to end. A later worker ignores it."""

    pid: int | None
    unit: Unit | None


class WorkerSlot:
    """`launch(slot)` starts a process and returns it with the supervisor's end of its pipe.

    `process_lock` is shared by all slots. Whenever a thread starts or joins a process, multiprocessing reaps
    every dead child; two threads that reap the same child lose its exit code.
    """

    def __init__(
        self, number: int, launch: Launch, process_lock: threading.Lock, post: Callable[[Event], None]
    ) -> None:
        self._number = number
        self._launch = launch
        self._process_lock = process_lock
        self._post = post
        self._process: BaseProcess | None = None
        self._unit_ids: set[int] = set()
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._wake_out, self._wake_in = os.pipe()
        self._closing = threading.Event()
        self._failed_starts = 0

    def dispatch(self, pid: int, unit: Unit) -> None:
        """Give a unit to the worker `pid`. Dropped if that one is gone: its WorkerDied is on its way."""
        self._give(_Order(pid, unit))

    def recycle(self, pid: int) -> None:
        """Let the idle worker `pid` end; another takes its place."""
        self._give(_Order(pid, None))

    def kill(self) -> None:
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Let the worker end; the thread ends with it."""
        self._closing.set()
        self._give(_Order(None, None))

    def rss_bytes(self) -> int:
        process = self._process
        try:
            return int(psutil.Process(process.pid).memory_info().rss) if process and process.pid else 0
        except (psutil.Error, OSError):  # the second where no file can be opened to look
            return 0

    def run(self) -> None:
        """The work of the thread: one worker after another until `close`."""
        while not self._closing.is_set():
            try:
                with self._process_lock:
                    process, pipe = self._launch(self._number)
            except (OSError, EOFError) as error:
                why = NO_PROCESS if isinstance(error, (EOFError, BrokenPipeError)) else error
                self._tell_death(None, was_ready=False, reason=f"could not be started: {why}")
                continue
            self._process = process
            self._unit_ids.clear()
            with pipe:
                was_ready, reason = self._serve(process, pipe)
            self._tell_death(self._reap(process), was_ready=was_ready, reason=reason)

    def _serve(self, process: BaseProcess, pipe: Connection) -> tuple[bool, str]:
        """Pass messages until the worker is gone or asked to end. Says if it was ready, and why if unfit."""
        was_ready = False
        while True:
            heard = wait([pipe, process.sentinel, self._wake_out])
            try:
                if pipe in heard:
                    message = receive_message(pipe)
                    if isinstance(message, WorkerUnfit):
                        return was_ready, message.reason
                    was_ready = True
                    self._tell(message)
                elif self._wake_out in heard and process.sentinel not in heard:
                    order = self._take_order()
                    if self._closing.is_set() or (order.pid == process.pid and order.unit is None):
                        return was_ready, ""
                    if order.pid == process.pid and order.unit is not None:
                        self._unit_ids.add(order.unit.id)
                        send_message(pipe, order.unit)
                else:
                    return was_ready, ""
            except (EOFError, OSError):
                return was_ready, ""

    def _tell(self, message: WorkerReady | UnitProgress | UnitDone) -> None:
        if isinstance(message, WorkerReady):
            self._failed_starts = 0
            self._post(WorkerStarted(self._number, message.pid))
        elif isinstance(message, UnitProgress):
            self._post(UnitProgressed(self._number, message))
        else:
            self._unit_ids.discard(message.unit_id)
            self._post(UnitFinished(self._number, message))

    def _reap(self, process: BaseProcess) -> int | None:
        if not wait([process.sentinel], GENTLE_EXIT_SECONDS):
            process.kill()
            wait([process.sentinel])
        self._process = None
        with self._process_lock:
            process.join()
            return process.exitcode

    def _tell_death(self, exit_code: int | None, *, was_ready: bool, reason: str) -> None:
        if self._closing.is_set():
            return
        unit_ids = tuple(sorted(self._unit_ids))
        self._post(WorkerDied(self._number, unit_ids, exit_code, was_ready, reason))
        self._unit_ids.clear()
        if not was_ready:
            self._failed_starts += 1
            backoff = START_BACKOFF_SECONDS * 2 ** min(self._failed_starts, 10)
            self._closing.wait(min(backoff, MAX_START_BACKOFF_SECONDS))

    def _give(self, order: _Order) -> None:
        self._orders.put(order)
        os.write(self._wake_in, b"!")

    def _take_order(self) -> _Order:
        os.read(self._wake_out, 1)
        return self._orders.get()
