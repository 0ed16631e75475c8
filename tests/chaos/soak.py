"""`python -m tests.chaos.soak`: one service under faults for a while, and what it weighs minute by minute."""

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from examples.task_api.task import State
from tests.acceptance.service import ServiceProcess
from tests.chaos.faulty_api import THIRTY_PERCENT, FaultyApi
from tests.chaos.faulty_provider import TWENTY_PERCENT, FaultyProvider
from tests.chaos.feeder import Feeder
from tests.chaos.killer import WorkerKiller
from tests.chaos.odds import Odds
from tests.chaos.plan import API_TOKEN, PATIENCE_SECONDS, Plan, settings
from tests.eventually import eventually

MINUTE_SECONDS = 60.0
WARM_UP_MINUTES = 3
WORKER_KILL_SECONDS = 10.0
MAX_GROWTH = 1.1
"""The last third may weigh so much more than the first, after the warm-up."""
MAX_CPU_GROWTH = 1.25
SPARE_FILES = 5
DRAIN_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Minute:
    """What the service weighed at the end of a minute, and what it did in it."""

    tasks: int
    supervisor_mb: float
    all_mb: float
    files: int
    threads: int
    supervisor_cpu_seconds: float

    @property
    def cpu_ms_a_task(self) -> float:
        return 1000 * self.supervisor_cpu_seconds / max(1, self.tasks)


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=15)
    parser.add_argument("--calm", action="store_true", help="no faults, large batches: many tasks")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    found = list(soak(folder, options.minutes, calm=options.calm))
    print(f"{sum(minute.tasks for minute in found)} tasks")
    complaints = growth(found)
    print("\n".join(complaints) or "flat, and nothing was lost", flush=True)
    if not complaints:
        shutil.rmtree(folder)
    return 1 if complaints else 0


def soak(folder: Path, minutes: int, *, calm: bool = False) -> Iterator[Minute]:
    """Runs the service for so many minutes and prints each. AssertionError if a task is lost or FAILED."""
    api_odds = Odds({} if calm else THIRTY_PERCENT, 1)
    provider_odds = Odds({} if calm else TWENTY_PERCENT, 1)
    api = FaultyApi(folder / "tasks.sqlite3", API_TOKEN, api_odds, PATIENCE_SECONDS)
    provider = FaultyProvider(provider_odds, PATIENCE_SECONDS)
    with api, provider:
        feeder = Feeder(api, Plan(tasks=sys.maxsize, open_tasks=3000 if calm else Plan().open_tasks))
        chosen = settings(api.url(0), provider.url(0), str(folder / "state"))
        if calm:
            chosen |= {"BATCH_MAX_TASKS": "100", "REQUEST_TIMEOUT": "30", "OPENAI_TIMEOUT": "30"}
        service = ServiceProcess(folder, chosen)
        killer = WorkerKiller(lambda: (0, service.pid), WORKER_KILL_SECONDS, 1)
        try:
            feeder.start()
            if not calm:
                killer.start()
            print("| minute | tasks | supervisor MB | all MB | files | threads | supervisor CPU ms a task |")
            print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
            yield from _minutes(service, api, minutes)
            feeder.stop()
            killer.stop()
            api.odds.cease()
            provider.odds.cease()
            eventually(lambda: _open(api) == 0, DRAIN_SECONDS, "every task has a final state")
            assert service.stop() == 0
            assert api.store.summary().by_state[State.FAILED] == 0
        finally:
            feeder.stop()
            killer.stop()
            service.clean_up()


def growth(minutes: Sequence[Minute]) -> list[str]:
    """What is not flat."""
    warm = minutes[min(WARM_UP_MINUTES, len(minutes) // 3) :]
    third = max(1, len(warm) // 3)
    first, last = warm[:third], warm[-third:]
    complaints = []
    for name, allowed in (
        ("supervisor_mb", MAX_GROWTH),
        ("all_mb", MAX_GROWTH),
        ("cpu_ms_a_task", MAX_CPU_GROWTH),
    ):
        before, after = _mean(first, name), _mean(last, name)
        if after > before * allowed:
            complaints.append(f"{name} grew from {before:.2f} to {after:.2f}")
    before, after = _mean(first, "files"), _mean(last, "files")
    if after > before + SPARE_FILES:
        complaints.append(f"files grew from {before:.0f} to {after:.0f}")
    return complaints


def _minutes(service: ServiceProcess, api: FaultyApi, minutes: int) -> Iterator[Minute]:
    supervisor = psutil.Process(service.pid)
    tasks, cpu = 0, 0.0
    began_at = time.monotonic()
    for number in itertools.count(1):
        time.sleep(max(0.0, began_at + number * MINUTE_SECONDS - time.monotonic()))
        assert service.running(), f"the service ended by itself:\n{service.output()[-2000:]}"
        used = supervisor.cpu_times()
        now_tasks, now_cpu = api.final(), used.user + used.system
        minute = Minute(
            tasks=now_tasks - tasks,
            supervisor_mb=supervisor.memory_info().rss / 1e6,
            all_mb=sum(map(_pss_bytes, (supervisor, *supervisor.children(recursive=True)))) / 1e6,
            files=supervisor.num_fds(),
            threads=supervisor.num_threads(),
            supervisor_cpu_seconds=now_cpu - cpu,
        )
        tasks, cpu = now_tasks, now_cpu
        print(
            f"| {number} | {minute.tasks} | {minute.supervisor_mb:.0f} | {minute.all_mb:.0f} | {minute.files}"
            f" | {minute.threads} | {minute.cpu_ms_a_task:.2f} |",
            flush=True,
        )
        yield minute
        if number == minutes:
            return


def _open(api: FaultyApi) -> int:
    states = api.store.summary().by_state
    return states[State.PENDING] + states[State.PROCESSING]


def _pss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0  # a worker that was killed at this moment


def _mean(minutes: Sequence[Minute], name: str) -> float:
    return float(sum(getattr(minute, name) for minute in minutes) / len(minutes))


if __name__ == "__main__":
    sys.exit(main())
