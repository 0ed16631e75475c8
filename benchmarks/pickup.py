"""Tasks that trickle in while the polling interval is long: how soon is each reported?"""

import time
from dataclasses import dataclass
from enum import StrEnum
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from benchmarks.contenders import Contender
from benchmarks.course import REAL, Course, course
from benchmarks.figures import percentile

EVERY_SECONDS = 0.5
INTERVAL_SECONDS = 30
LONG_POLL_SECONDS = 20
TOKEN = "benchmark-wake-token"
LIMIT_SECONDS = 120.0


class Way(StrEnum):
    """How the contender hears of new work."""

    POLLING = "polling"
    LONG_POLL = "long poll"
    WAKE = "wake"


SETTINGS = {
    Way.POLLING: {},
    Way.LONG_POLL: {"POLL_WAIT_SECONDS": str(LONG_POLL_SECONDS)},
    Way.WAKE: {"WAKE_TOKEN": TOKEN},
}


@dataclass(frozen=True, slots=True)
class Pickup:
    """One run: from a task's creation to its report."""

    contender: Contender
    way: Way
    tasks: int
    p50_ms: float
    p95_ms: float
    polls: int
    bad_vectors: int


def run_pickup(contender: Contender, way: Way, seconds: float) -> Pickup:
    """A task each half second for `seconds`, for a warm contender. RunFailedError if some stay unreported."""
    settings = {"POLLING_INTERVAL_SECONDS": str(INTERVAL_SECONDS), **SETTINGS[way]}
    with course(contender, REAL, settings) as running:
        running.warm_up()
        tasks = _trickle(running, way, seconds)
        done = f"{tasks} tasks are reported"
        running.wait_until(lambda: running.api.get("stats")["final"] >= tasks, done, LIMIT_SECONDS)
        latencies, counts = running.api.get("latencies"), running.api.get("stats")
    p50_ms, p95_ms = (1000 * percentile(latencies, share) for share in (0.5, 0.95))
    return Pickup(contender, way, tasks, p50_ms, p95_ms, counts["polls"], counts["bad_vectors"])


def _trickle(running: Course, way: Way, seconds: float) -> int:
    start, tasks = time.monotonic(), 0
    while tasks * EVERY_SECONDS < seconds:
        time.sleep(max(0.0, start + tasks * EVERY_SECONDS - time.monotonic()))
        running.api.post("seed?count=1")
        if way is Way.WAKE:
            wake(running.settings["METRICS_PORT"])
        tasks += 1
    return tasks


def wake(port: str) -> None:
    """Tell a service with this TOKEN on this port that there is work. RuntimeError if it refuses."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    request = Request(f"http://127.0.0.1:{port}/wake", method="POST", headers=headers)
    try:
        urlopen(request, timeout=5).close()
    except HTTPError as refusal:
        raise RuntimeError(f"the wake endpoint answered {refusal.code}") from refusal
