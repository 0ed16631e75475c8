"""The dead children that nobody waits for."""

import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import threading

FIRST_PROCESS = 1
EVERY_SECONDS = 5.0


def inherits_orphans() -> bool:
    """As the first process of a container this one becomes the parent of those whose parent has died."""
    return os.getpid() == FIRST_PROCESS


def collect_orphans(stop: threading.Event, process_lock: threading.Lock) -> None:
    """A thread's work until `stop`: without it the workers of a forkserver that died stay as zombies.

    `process_lock` is held wherever multiprocessing starts or waits for a process.
    """
    while not stop.wait(EVERY_SECONDS):
        with process_lock:
            collect_dead_orphans()


def collect_dead_orphans() -> None:
    """Collect all that are dead now, up to a child that multiprocessing itself waits for."""
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
