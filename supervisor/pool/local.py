"""The pool on this machine: a worker process a slot, forked from a server with the heavy libraries loaded."""

import functools
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess

from shared.messages import Unit
from supervisor.pool.worker_slot import WorkerSlot
from supervisor.runtime.events import Event, start_thread
from workers.config import WorkerConfig
from workers.process.entrypoint import worker_main
from workers.process.forkserver import start_another_forkserver, start_forkserver

CLOSE_SECONDS = 3.0
FIRST_PROCESS = 1
ORPHANS_EVERY_SECONDS = 5.0


class LocalPool:
    """One thread and one process a slot. See WorkerPool for the contract."""

    def __init__(self, slots: int, config: WorkerConfig, post: Callable[[Event], None]) -> None:
        self._config = config
        self._post = post
        self._process_lock = threading.Lock()
        self._closing = threading.Event()
        self._slots = [WorkerSlot(number, self._launch, self._process_lock, post) for number in range(slots)]
        self._threads: list[threading.Thread] = []
        self._context: ForkServerContext

    def start(self) -> None:
        processors = [spec.source.path for spec in self._config.processors]
        self._context = start_forkserver(self._config.kinds, processors)
        self._threads = [
            start_thread(f"slot-{number}", slot.run, self._post) for number, slot in enumerate(self._slots)
        ]
        if inherits_orphans():
            collect = functools.partial(collect_orphans, self._closing, self._process_lock)
            self._threads.append(start_thread("orphans", collect, self._post))

    def dispatch(self, slot: int, pid: int, unit: Unit) -> None:
        self._slots[slot].dispatch(pid, unit)

    def kill(self, slot: int) -> None:
        self._slots[slot].kill()

    def recycle(self, slot: int, pid: int) -> None:
        self._slots[slot].recycle(pid)

    def rss_bytes(self, slot: int) -> int:
        return self._slots[slot].rss_bytes()

    def close(self) -> None:
        self._closing.set()
        for slot in self._slots:
            slot.close()
        for thread in self._threads:
            thread.join(CLOSE_SECONDS)

    def _launch(self, slot: int) -> tuple[BaseProcess, Connection]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=worker_main, args=(slot, theirs, self._config), name=f"worker-{slot}", daemon=True
        )
        try:
            process.start()
        except FileNotFoundError:
            start_another_forkserver()
            process.start()
        finally:
            theirs.close()
        return process, ours


def inherits_orphans() -> bool:
    """The first process of a container becomes the parent of every process whose parent has died."""
    return os.getpid() == FIRST_PROCESS


def collect_orphans(stop: threading.Event, process_lock: threading.Lock) -> None:
    """The work of a thread until `stop`. Without it the workers of a forkserver that died stay as zombies."""
    while not stop.wait(ORPHANS_EVERY_SECONDS):
        with process_lock:
            collect_dead_orphans()


def collect_dead_orphans() -> None:
    """Wait for all that are dead now, up to a child that multiprocessing itself waits for."""
    # There is no public way to know those two.
    forkserver = getattr(multiprocessing.forkserver._forkserver, "_forkserver_pid", None)
    tracker = getattr(multiprocessing.resource_tracker._resource_tracker, "_pid", None)
    while True:
        try:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if dead is None or dead.si_pid in (forkserver, tracker):
            return
        os.waitpid(dead.si_pid, 0)
