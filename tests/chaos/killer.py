"""SIGKILL for workers, with a note of what each was in the middle of."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from tests.chaos.ledger import Kill


def workers_of(supervisor_pid: int) -> list[psutil.Process]:
    """The worker processes of a service, those that have only just been forked included."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(supervisor_pid).children(recursive=True)
        return [child for child in children if child.ppid() != supervisor_pid]
    return []


def sockets_of(process: psutil.Process) -> frozenset[int]:
    """The local ports of the connections that the process has open."""
    return frozenset(found.laddr.port for found in process.net_connections("tcp") if found.raddr)  # type: ignore[redundant-expr]  # the stubs do not know that a listener has none


def kill_worker(worker: psutil.Process, run: int) -> Kill:
    """SIGKILL. The worker is stopped for a moment first, to see which connections die with it."""
    at = time.monotonic()
    worker.suspend()
    ports = sockets_of(worker)
    worker.kill()
    return Kill(run, at, ports)


class WorkerKiller:
    """Kills a random worker of the current service every so often, from `start` to `stop`.

    `current` gives the number and the pid of the service's process, None while there is none.
    """

    def __init__(
        self, current: Callable[[], tuple[int, int] | None], every_seconds: float, seed: int
    ) -> None:
        self._current = current
        self._every_seconds = every_seconds
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="worker-killer")
        self.kills: list[Kill] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(self._every_seconds):
            if (current := self._current()) is not None:
                run, pid = current
                self._kill_one_of(run, pid)

    def _kill_one_of(self, run: int, pid: int) -> None:
        with suppress(psutil.NoSuchProcess):
            workers = workers_of(pid)
            if workers:
                self.kills.append(kill_worker(self._random.choice(workers), run))
