"""One chaos run from its first task to its verdict."""

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil

from tests.acceptance.service import ServiceProcess, alive
from tests.chaos.faulty_api import THIRTY_PERCENT, FaultyApi
from tests.chaos.faulty_provider import FaultyProvider
from tests.chaos.feeder import Feeder
from tests.chaos.killer import WorkerKiller, workers_of
from tests.chaos.ledger import Kill
from tests.chaos.odds import Odds
from tests.chaos.outcome import Outcome
from tests.chaos.plan import API_TOKEN, PATIENCE_SECONDS, WORKERS, Plan, settings
from tests.eventually import eventually

CALM_AT = 0.98
"""The share of tasks with a final state at which the faults end; the last retries need not be waited out."""
EARLY_KILLS_EVERY = 4
"""Every so many kills one falls into the start of the service, whatever it has done."""
MAX_DELAY_SECONDS = 1.0
ORPHANS_GONE_SECONDS = 10.0


class Course:
    """Runs once. Ends every process that it started, however it goes."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._random = random.Random(plan.seed)
        self._api = FaultyApi(
            folder / "tasks.sqlite3", API_TOKEN, Odds(THIRTY_PERCENT, plan.seed), PATIENCE_SECONDS
        )
        self._provider = FaultyProvider(Odds(plan.provider_rates, plan.seed), PATIENCE_SECONDS)
        self._services: list[ServiceProcess] = []
        self._killer = WorkerKiller(self._current, plan.worker_kill_seconds, plan.seed)
        self._supervisor_kills: list[Kill] = []
        self._max_orphan_seconds = 0.0
        self._exit_code: int | None = None
        self._began_at = time.monotonic()

    def run(self) -> Outcome:
        """Raises nothing for a promise that is broken: the outcome tells."""
        with self._api, self._provider:
            feeder = Feeder(self._api, self._plan)
            try:
                feeder.start()
                self._killer.start()
                self._go_through()
            except AssertionError as error:
                print(f"gave up after {self._seconds():.0f} s: {error}")
            finally:
                feeder.stop()
                self._killer.stop()
                for service in self._services:
                    service.clean_up()
            return self._outcome()

    def _go_through(self) -> None:
        self._start_service()
        for number, threshold in enumerate(self._thresholds(), start=1):
            if number % EARLY_KILLS_EVERY:
                self._wait_for_final(threshold)
            self._wait(self._random.uniform(0.0, MAX_DELAY_SECONDS))
            self._kill_supervisor()
        self._wait_for_final(int(CALM_AT * self._plan.tasks))
        self._api.odds.cease()
        self._provider.odds.cease()
        self._killer.stop()
        self._wait_for_final(self._plan.tasks)
        service = self._services[-1]
        eventually(lambda: service.status().get("outbox") == 0, self._left(), "every report is answered")
        self._exit_code = service.stop()

    def _thresholds(self) -> list[int]:
        most = int(0.95 * self._plan.tasks)
        return sorted(self._random.randrange(most) for _ in range(self._plan.supervisor_kills))

    def _start_service(self) -> None:
        run = len(self._services)
        chosen = settings(self._api.url(run), self._provider.url(run), str(self._folder / "state"))
        chosen["CLAIM_MODE"] = str(self._plan.claims)
        chosen["BULK_REPORTS"] = str(self._plan.bulk_reports)
        chosen["WORKER_THREADS"] = str(self._plan.threads)
        chosen["CONCURRENCY_LIMIT"] = str(WORKERS * self._plan.threads)
        self._services.append(ServiceProcess(self._folder, chosen, f"service-{run}"))

    def _kill_supervisor(self) -> None:
        service = self._services[-1]
        orphans = workers_of(service.pid)
        self._supervisor_kills.append(Kill(len(self._services) - 1, time.monotonic()))
        service.kill9()
        died_at = time.monotonic()
        self._start_service()
        self._see_off(orphans, died_at)

    def _see_off(self, orphans: list[psutil.Process], died_at: float) -> None:
        eventually(
            lambda: not any(alive(orphan) for orphan in orphans), ORPHANS_GONE_SECONDS, "no orphan is left"
        )
        self._max_orphan_seconds = max(self._max_orphan_seconds, time.monotonic() - died_at)

    def _current(self) -> tuple[int, int] | None:
        run = len(self._services) - 1
        return (run, self._services[run].pid) if run >= 0 else None

    def _wait_for_final(self, count: int) -> None:
        eventually(lambda: self._final() >= count, self._left(), f"{count} tasks have a final state")

    def _final(self) -> int:
        service = self._services[-1]
        assert service.running(), f"the service ended by itself:\n{service.output()[-2000:]}"
        return self._api.final()

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)  # a moment drawn by lot is what is wanted, not a state to wait for

    def _seconds(self) -> float:
        return time.monotonic() - self._began_at

    def _left(self) -> float:
        return max(0.1, self._plan.limit_seconds - self._seconds())

    def _outcome(self) -> Outcome:
        kills = (*self._killer.kills, *self._supervisor_kills)
        return Outcome(
            plan=self._plan,
            seconds=self._seconds(),
            states=self._api.store.summary().by_state,
            first_errors=tuple(task.error for task in self._api.tasks() if task.error)[:3],
            worker_kills=tuple(self._killer.kills),
            supervisor_kills=tuple(self._supervisor_kills),
            max_orphan_seconds=self._max_orphan_seconds,
            patches=self._api.ledger.tally(kills, PATIENCE_SECONDS),
            calls=self._provider.ledger.tally(kills, PATIENCE_SECONDS),
            api_faults={str(fault): count for fault, count in self._api.odds.drawn.items()},
            api_requests=self._api.requests,
            provider_faults={str(fault): count for fault, count in self._provider.odds.drawn.items()},
            provider_requests=self._provider.requests,
            exit_code=self._exit_code,
            left_in_journal=_rows_in(self._folder / "state" / "journal.sqlite3"),
            complaints=tuple(_complaints(self._services)),
        )


def _rows_in(journal: Path) -> int:
    with closing(sqlite3.connect(journal)) as database:
        return int(database.execute("SELECT count(*) FROM tasks").fetchone()[0])


def _complaints(services: list[ServiceProcess]) -> Iterator[str]:
    for service in services:
        errors = service.errors.read_text(errors="replace")
        # The fork server of the standard library says so when it is asked for a worker by half: the
        # supervisor was killed in the middle of asking.
        cut_off = errors.count("in recvfds\n")
        if errors.count("Traceback") > cut_off:
            yield f"{service.errors.name}: {errors[-1500:]}"
        for line in service.log_lines("thread_crashed"):
            yield f"{service.log.name}: {line}"
