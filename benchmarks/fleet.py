"""Replicas of the service on one reference task API: how fast they are together, and what they cost it."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import count, islice
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.contenders import INHERITED, Contender, command, environment
from benchmarks.course import RunFailedError
from benchmarks.pickup import TOKEN, wake
from benchmarks.process_tree import ProcessTree, cpu_seconds_of
from benchmarks.stub_process import CHECKOUT, StubProcess
from benchmarks.stubs.task_api import text_of
from examples.task_api.store import Store
from examples.task_api.wire import parse_new_task
from shared.settings import ClaimMode

REPLICAS = (1, 2, 4, 8)
BULK_REPORTS = 100
PROVIDER_MS = 20
TEXT_CHARACTERS = 500
WARM_TASKS_A_REPLICA = 50
START_SECONDS = 90.0
LIMIT_SECONDS_A_TASK = 0.05
PATIENCE_SECONDS = 20.0
PAUSE_SECONDS = 0.05
SETTINGS = {
    "CONCURRENCY_LIMIT": "2",
    "BATCH_MAX_TASKS": "20",
    "WAKE_TOKEN": TOKEN,
}
"""Little for each replica, so that the tasks are enough for eight."""


class Way(StrEnum):
    """How the replicas share the tasks."""

    SHARDS = "shards"
    SHARDS_IN_BULK = "shards, bulk"
    EACH = "each"
    BATCH = "batch, bulk"

    def settings(self, replicas: int, index: int) -> dict[str, int | ClaimMode]:
        """Of one of the replicas, by the names of the fields."""
        bulk = {"bulk_reports": BULK_REPORTS if self in {Way.SHARDS_IN_BULK, Way.BATCH} else 0}
        if self in {Way.SHARDS, Way.SHARDS_IN_BULK}:
            return {"shard_count": replicas, "shard_index": index, **bulk}
        return {"claim_mode": ClaimMode.BATCH if self is Way.BATCH else ClaimMode.EACH, **bulk}


@dataclass(frozen=True, slots=True)
class Fleet:
    """One run. Calls are those of all replicas to the API. The last two should be 0."""

    way: Way
    replicas: int
    tasks: int
    tasks_per_second: float
    polls_a_task: float
    claims_a_task: float
    reports_a_task: float
    api_cpu_ms_a_task: float
    lost_claims: int
    repeated: int
    paid_twice: int


def run_fleets(tasks: int) -> Iterator[Fleet]:
    """Each way with each number of replicas."""
    for way in Way:
        for replicas in REPLICAS:
            yield run_fleet(way, replicas, tasks)


def run_fleet(way: Way, replicas: int, tasks: int) -> Fleet:
    """Give `tasks` to warm replicas and see them all reported. RunFailedError if they are not."""
    with _fleet(way, replicas) as fleet:
        fleet.work_off(WARM_TASKS_A_REPLICA * replicas, START_SECONDS)
        fleet.provider.post("reset")
        calls, cpu_seconds, began_at = fleet.calls(), cpu_seconds_of(fleet.api.pid), time.monotonic()
        fleet.work_off(tasks, START_SECONDS + LIMIT_SECONDS_A_TASK * tasks)
        wall_seconds = time.monotonic() - began_at
        cpu_seconds = cpu_seconds_of(fleet.api.pid) - cpu_seconds
        calls = fleet.calls() - calls
        return Fleet(
            way=way,
            replicas=replicas,
            tasks=tasks,
            tasks_per_second=tasks / wall_seconds,
            polls_a_task=calls[Call.POLL] / tasks,
            claims_a_task=calls[Call.CLAIM] / tasks,
            reports_a_task=calls[Call.REPORT] / tasks,
            api_cpu_ms_a_task=1000 * cpu_seconds / tasks,
            lost_claims=calls[Call.LOST_CLAIM],
            repeated=fleet.api.repeated(),
            paid_twice=fleet.provider.get("stats")["paid_twice"],
        )


class Call(StrEnum):
    """What a replica asks of the API. In bulk a claim is a page of tasks, a report a list of reports."""

    POLL = "poll"
    CLAIM = "claim"
    RENEWAL = "renewal"
    REPORT = "report"
    LOST_CLAIM = "lost claim"


class ReferenceApi:
    """The reference task API as a process, inside a `with`.

    Tasks are put into its database and counted there: that costs it nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._database = folder / "tasks.sqlite3"
        self._serials = count()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "examples.task_api", "--database", str(self._database)],
            cwd=CHECKOUT,
            env={name: os.environ[name] for name in INHERITED if name in os.environ},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().removeprefix("task API ").strip()
        if not self.url:
            raise RunFailedError("the reference API did not start; what it said stands above")
        self.pid = self._process.pid
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE_SECONDS)

    def add(self, tasks: int) -> None:
        """So many pending tasks, all at once."""
        texts = (text_of(serial, TEXT_CHARACTERS) for serial in islice(self._serials, tasks))
        bodies = [{"type": "text-embedding", "input_data": {"text": text}} for text in texts]
        with closing(Store(self._database)) as store:
            store.add([parse_new_task(body) for body in bodies])

    def open(self) -> int:
        """How many tasks have no final state."""
        return self._count("state IN ('pending', 'processing')")

    def repeated(self) -> int:
        """How many tasks were reported more than once."""
        return self._count("final_reports > 1")

    def _count(self, condition: str) -> int:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as database:
            row = database.execute(f"SELECT count(*) FROM tasks WHERE {condition}").fetchone()
        return int(row[0])


@dataclass(frozen=True, slots=True)
class Replicas:
    """The replicas that run, and what they talk to."""

    way: Way
    api: ReferenceApi
    provider: StubProcess
    processes: Sequence["subprocess.Popen[bytes]"]
    ports: Sequence[str]
    logs: Sequence[Path]

    def wait_until_ready(self) -> None:
        for port, log in zip(self.ports, self.logs, strict=True):
            deadline = time.monotonic() + START_SECONDS
            while not _is_ready(port):
                if time.monotonic() > deadline:
                    raise RunFailedError(f"a replica is not ready\n{log.read_text()[-2000:]}")
                time.sleep(PAUSE_SECONDS)

    def work_off(self, tasks: int, limit_seconds: float) -> None:
        """Add so many tasks, and wait until all of them are final."""
        self.api.add(tasks)
        for port in self.ports:
            wake(port)
        deadline = time.monotonic() + limit_seconds
        while left := self.api.open():
            ended = [log for process, log in zip(self.processes, self.logs, strict=True) if process.poll()]
            if ended or time.monotonic() > deadline:
                shown = (ended or self.logs)[0].read_text()[-2000:]
                raise RunFailedError(f"{left} of {tasks} tasks are left\n{shown}")
            time.sleep(PAUSE_SECONDS)

    def calls(self) -> Counter[Call]:
        """What the API was asked so far, as the replicas count it."""
        total: Counter[Call] = Counter()
        for port in self.ports:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS) as answer:
                total += calls_in(answer.read().decode(), self.way)
        return total


@contextmanager
def _fleet(way: Way, replicas: int) -> Iterator[Replicas]:
    """Start all; end all, and remove what they wrote."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
        api = stack.enter_context(ReferenceApi(folder))
        provider = stack.enter_context(StubProcess("provider", "--base-ms", str(PROVIDER_MS)))
        urls = {"API_BASE_URL": api.url, "OPENAI_BASE_URL": f"{provider.base_url}/v1"}
        started = Replicas(way, api, provider, processes := [], ports := [], logs := [])
        try:
            for index in range(replicas):
                home = folder / f"replica-{index}"
                home.mkdir()
                of_the_way = {
                    name.upper(): str(value) for name, value in way.settings(replicas, index).items()
                }
                effective = environment(Contender.SERVICE, {**urls, **SETTINGS, **of_the_way}, home)
                ports.append(effective["METRICS_PORT"])
                logs.append(home / "log")
                with logs[-1].open("wb") as sink:
                    processes.append(
                        subprocess.Popen(
                            command(Contender.SERVICE),
                            cwd=home,
                            env=effective,
                            stdout=sink,
                            stderr=sink,
                            start_new_session=True,
                        )
                    )
            started.wait_until_ready()
            yield started
        finally:
            for process in processes[1:]:
                process.send_signal(signal.SIGTERM)
            if processes:  # its tree has the others in it
                ProcessTree(processes[0], frozenset({api.pid, provider.pid})).end(PATIENCE_SECONDS)


def _is_ready(port: str) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/ready", timeout=PATIENCE_SECONDS) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


def calls_in(metrics: str, way: Way) -> Counter[Call]:
    """What one replica asked, by its own metrics. With `each`, a PATCH that is no report is a claim."""
    calls: Counter[Call] = Counter()
    for sample in (sample for family in text_string_to_metric_families(metrics) for sample in family.samples):
        number = int(sample.value)
        if sample.name == "ai_reports_total" and way is Way.EACH:
            calls[Call.REPORT] += number
            calls[Call.CLAIM] -= number
        elif sample.name == "api_requests_total":
            calls[_call(sample.labels, way)] += number
            calls[Call.LOST_CLAIM] += number if sample.labels["status_code"] == "409" else 0
    return calls


def _call(labels: Mapping[str, str], way: Way) -> Call:
    if labels["method"] == "GET":
        return Call.POLL
    if labels["method"] == "PATCH":
        return Call.CLAIM if way is Way.EACH else Call.REPORT
    return Call.RENEWAL if labels["endpoint"].endswith("/renew") else Call.CLAIM
