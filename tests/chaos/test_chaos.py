"""The promise under fire: everything that can fail does so at random; nothing is lost or done for naught."""

import threading
from pathlib import Path

import psutil
import pytest

from examples.task_api.task import State
from tests.acceptance.service import ServiceProcess
from tests.chaos.course import Course
from tests.chaos.faulty_api import FaultyApi
from tests.chaos.faulty_provider import FaultyProvider
from tests.chaos.feeder import Feeder
from tests.chaos.killer import sockets_of, workers_of
from tests.chaos.odds import Odds
from tests.chaos.plan import API_TOKEN, PATIENCE_SECONDS, Plan, settings
from tests.eventually import eventually

POISON = "text 417"


@pytest.mark.timeout(100)
def test_nothing_is_lost_and_nothing_is_done_twice_without_a_reason(tmp_path: Path) -> None:
    plan = Plan(tasks=200, seed=1, worker_kill_seconds=0.4, supervisor_kills=2, limit_seconds=80.0)
    outcome = Course(plan, tmp_path).run()
    assert not outcome.broken_promises(), outcome.table()


@pytest.mark.slow
def test_poison_task_is_failed_by_name_of_the_signal_and_costs_no_other_its_success(tmp_path: Path) -> None:
    hunter = Hunter()
    api = FaultyApi(tmp_path / "tasks.sqlite3", API_TOKEN, Odds({}, 1), PATIENCE_SECONDS)
    provider = FaultyProvider(Odds({}, 1), PATIENCE_SECONDS, hunter.arrival)
    with api, provider:
        feeder = Feeder(api, Plan(tasks=1000, open_tasks=1000))
        chosen = settings(api.url(0), provider.url(0), str(tmp_path / "state"))
        chosen |= {"BATCH_MAX_TASKS": "50", "WORKER_CRASH_LIMIT": "3", "OPENAI_TIMEOUT": "30"}
        service = ServiceProcess(tmp_path, chosen)
        hunter.watch(service.pid)
        try:
            feeder.start()
            eventually(lambda: api.final() == 1000, 50.0, "1000 tasks have a final state")
            assert service.stop() == 0
        finally:
            feeder.stop()
            service.clean_up()
        states = api.store.summary().by_state
        assert states[State.SUCCEEDED] == 999
        (poison,) = [task for task in api.tasks() if task.state is State.FAILED]
        assert POISON.encode() in poison.input
        assert "died 3 times" in str(poison.error)
        assert "SIGKILL" in str(poison.error)
        assert hunter.deaths == 3
        patches = api.ledger.tally((), PATIENCE_SECONDS)
        assert (patches.exchanges, patches.names) == (1000, 1000)


class Hunter:
    """Kills the worker that sends the poisonous text, each time."""

    def __init__(self) -> None:
        self.deaths = 0
        self._supervisor_pid = 0
        self._lock = threading.Lock()

    def watch(self, supervisor_pid: int) -> None:
        self._supervisor_pid = supervisor_pid

    def arrival(self, texts: tuple[str, ...], port: int) -> None:
        """Called while the worker waits for the answer."""
        if POISON in texts:
            with self._lock:
                self._owner_of(port).kill()
                self.deaths += 1

    def _owner_of(self, port: int) -> psutil.Process:
        return next(worker for worker in workers_of(self._supervisor_pid) if port in sockets_of(worker))
