"""The service with nothing to do: how soon it is there, and what it takes while it waits."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.course import FAST, WARM_SECONDS, Course, RunFailedError, course

WORKERS = 5
MORE_WORKERS = 15
INTERVAL_SECONDS = 30
SETTLING_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Rest:
    """One run. The first poll counts from the start of the process, a slot from the kill of its worker."""

    contender: Contender
    first_poll_seconds: float
    ready_again_seconds: float
    cpu_percent: float
    pss_mb: float
    pss_mb_a_worker: float


def run_rest(contender: Contender, seconds: float) -> Rest:
    """Watch an idle service for `seconds`, kill one of its workers, and do it again with more of them.

    RunFailedError for a contender without workers of its own.
    """
    if not contender.is_service:
        raise RunFailedError(f"rest is about the service, and {contender} is none")
    with _idle(contender, WORKERS) as running:
        first_poll_seconds = running.api.get("stats")["first_poll_at"] - running.started_at
        before = running.tree.cpu_seconds()
        time.sleep(seconds)
        cpu_percent = 100 * (running.tree.cpu_seconds() - before) / seconds
        few = running.tree.pss_bytes()
        ready_again_seconds = _kill_a_worker(running)
    with _idle(contender, MORE_WORKERS) as running:
        many = running.tree.pss_bytes()
    return Rest(
        contender=contender,
        first_poll_seconds=first_poll_seconds,
        ready_again_seconds=ready_again_seconds,
        cpu_percent=cpu_percent,
        pss_mb=few / 1e6,
        pss_mb_a_worker=(many - few) / (MORE_WORKERS - WORKERS) / 1e6,
    )


@contextmanager
def _idle(contender: Contender, workers: int) -> Iterator[Course]:
    """A service that has started so many workers and has found nothing to do."""
    settings = {"CONCURRENCY_LIMIT": str(workers), "POLLING_INTERVAL_SECONDS": str(INTERVAL_SECONDS)}
    with course(contender, FAST, settings) as running:
        running.wait_until(lambda: bool(running.api.get("stats")["polls"]), "it polls", WARM_SECONDS)
        running.wait_until(
            lambda: len(running.events("worker_started")) == workers, "its workers are ready", WARM_SECONDS
        )
        time.sleep(SETTLING_SECONDS)
        yield running


def _kill_a_worker(running: Course) -> float:
    """Seconds from kill -9 to the log line that says that the slot has a worker again."""
    victim = running.events("worker_started")[0]
    killed_at = time.time()
    os.kill(victim["pid"], signal.SIGKILL)

    def successors() -> list[dict[str, Any]]:
        started = running.events("worker_started")
        return [one for one in started if one["slot"] == victim["slot"] and one["pid"] != victim["pid"]]

    running.wait_until(lambda: bool(successors()), "the slot has a worker again", WARM_SECONDS)
    return datetime.fromisoformat(successors()[0]["timestamp"]).timestamp() - killed_at
