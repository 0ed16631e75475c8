"""Three replicas on one task API, whose workers and supervisors are killed: each task is done once."""

import random
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from examples.task_api.task import State
from tests.acceptance.service import ServiceProcess
from tests.chaos.faulty_api import FaultyApi
from tests.chaos.faulty_provider import FaultyProvider
from tests.chaos.feeder import Feeder
from tests.chaos.killer import WorkerKiller
from tests.chaos.ledger import Kill
from tests.chaos.odds import Odds
from tests.chaos.plan import API_TOKEN, PATIENCE_SECONDS, Plan, settings
from tests.eventually import eventually

REPLICAS = 3
TASKS = 180
KILLS = 4
LIMIT_SECONDS = 50.0
CLAIMS = [{"CLAIM_TASKS": "true"}] * REPLICAS
SHARDS = [{"SHARD_COUNT": str(REPLICAS), "SHARD_INDEX": str(index)} for index in range(REPLICAS)]


class Fleet:
    """The replicas, each with a state directory of its own. Every process is a run of its own number."""

    def __init__(
        self, folder: Path, api: FaultyApi, provider: FaultyProvider, replicas: list[dict[str, str]]
    ) -> None:
        self._folder = folder
        self._api = api
        self._provider = provider
        self._replicas = replicas
        self._processes: list[ServiceProcess] = []
        self._run_of: dict[int, int] = {}
        self._random = random.Random(1)
        self.kills: list[Kill] = []
        self.in_doubt: set[str] = set()
        """Tasks whose claim was asked for, and not answered, when their replica was killed."""

    def start(self, replica: int) -> None:
        run = len(self._processes)
        state = str(self._state(replica))
        chosen = settings(self._api.url(run), self._provider.url(run), state, **self._replicas[replica])
        self._processes.append(ServiceProcess(self._folder, chosen, f"replica-{replica}-{run}"))
        self._run_of[replica] = run

    def kill_one(self) -> None:
        """kill -9 for a supervisor, and another process on the same journal."""
        replica = self._random.randrange(REPLICAS)
        run = self._run_of[replica]
        self.kills.append(Kill(run, time.monotonic()))
        self._processes[run].kill9()
        self.in_doubt |= _asked(self._state(replica) / "journal.sqlite3")
        self.start(replica)

    def any_process(self) -> tuple[int, int] | None:
        """A replica for the killer of workers."""
        runs = list(self._run_of.values())
        if not runs:
            return None
        run = self._random.choice(runs)
        return run, self._processes[run].pid

    def stop(self) -> list[int]:
        return [self._processes[run].stop() for run in self._run_of.values()]

    def clean_up(self) -> None:
        for process in self._processes:
            process.clean_up()

    def _state(self, replica: int) -> Path:
        return self._folder / f"state-{replica}"


@pytest.mark.slow
@pytest.mark.timeout(100)
@pytest.mark.parametrize("replicas", [CLAIMS, SHARDS], ids=["claims", "shards"])
def test_replicas_that_are_killed_do_each_task_once(tmp_path: Path, replicas: list[dict[str, str]]) -> None:
    api = FaultyApi(tmp_path / "tasks.sqlite3", API_TOKEN, Odds({}, 1), PATIENCE_SECONDS)
    provider = FaultyProvider(Odds({}, 1), PATIENCE_SECONDS)
    with api, provider:
        fleet = Fleet(tmp_path, api, provider, replicas)
        killer = WorkerKiller(fleet.any_process, every_seconds=0.4, seed=1)
        feeder = Feeder(api, Plan(tasks=TASKS, open_tasks=60))
        try:
            for replica in range(REPLICAS):
                fleet.start(replica)
            feeder.start()
            killer.start()
            for number in range(1, KILLS + 1):
                _wait_for(api, number * TASKS // (KILLS + 2))
                fleet.kill_one()
            _wait_for(api, TASKS)
            killer.stop()
            assert fleet.stop() == [0] * REPLICAS
        finally:
            feeder.stop()
            killer.stop()
            fleet.clean_up()
        kills = (*fleet.kills, *killer.kills)
        assert api.store.summary().by_state[State.SUCCEEDED] == TASKS
        patches = api.ledger.tally(kills, PATIENCE_SECONDS)
        calls = provider.ledger.tally(kills, PATIENCE_SECONDS)
        texts = _texts(api)
        assert patches.unexcused.keys() <= fleet.in_doubt, patches.unexcused
        assert calls.unexcused.keys() <= {texts[task_id] for task_id in fleet.in_doubt}, calls.unexcused
        assert not fleet.in_doubt or replicas is CLAIMS


def _wait_for(api: FaultyApi, count: int) -> None:
    eventually(lambda: api.final() >= count, LIMIT_SECONDS, f"{count} tasks have a final state")


def _asked(journal: Path) -> set[str]:
    with closing(sqlite3.connect(journal)) as database:
        return {row[0] for row in database.execute("SELECT id FROM tasks WHERE claim = 'asked'")}


def _texts(api: FaultyApi) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for task in api.tasks():
        payload = orjson.loads(task.input)
        found[task.id] = payload if isinstance(payload, str) else payload["text"]
    return found
