"""How the service ends when it is told to."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.task_api.task import State, Task
from supervisor.journal.admin import JournalAdmin
from supervisor.journal.state_directory import JOURNAL_FILE
from tests.acceptance.conftest import StartService
from tests.acceptance.pace import Gate
from tests.acceptance.scripted_api import ScriptedApi, flat_task, page_of
from tests.acceptance.service import ServiceProcess
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider
from tests.stubs.scripted_http import ScriptedServer

TASKS = 200


def sigterm(service: ServiceProcess) -> None:
    service.send_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(sigterm, id="SIGTERM"),
        pytest.param(ServiceProcess.press_ctrl_c, id="Ctrl-C", marks=pytest.mark.slow),
    ],
)
def test_drain_in_the_middle_reports_what_runs_and_leaves_the_rest_pending(
    start_service: StartService,
    task_api: Peer,
    provider: StubProvider,
    gate: Gate,
    ask: Callable[[ServiceProcess], None],
) -> None:
    task_api.add(TASKS)
    service = start_service(BATCH_MAX_TASKS="10", CONCURRENCY_LIMIT="3")
    in_work = gate.wait_for_calls(3)
    ask(service)
    service.wait_for_log("drain_started")
    assert_draining_but_answering(service)
    gate.open()
    assert service.wait() == 0
    succeeded, pending = in_state(task_api, State.SUCCEEDED), in_state(task_api, State.PENDING)
    assert {task.final_reports for task in succeeded} == {1}
    assert {task.final_reports for task in pending} == {0}
    assert len(succeeded) + len(pending) == TASKS
    assert len(succeeded) == provider.paid.total() == len(in_work) == 30
    assert journal_states(service.state_dir) == []


def assert_draining_but_answering(service: ServiceProcess) -> None:
    eventually(lambda: service.not_ready() == ["draining"], what="/ready says draining")
    assert service.status()["phase"] == "draining"
    assert service.metrics().sum("ai_idle", reason="draining") == 0, "it is not idle: units still run"
    assert service.get("/health").status == 200


@pytest.mark.slow
def test_second_signal_stops_at_once_and_a_restart_finishes_the_work(
    start_service: StartService, task_api: Peer, gate: Gate
) -> None:
    task_api.add(TASKS)
    service = start_service(BATCH_MAX_TASKS="10", CONCURRENCY_LIMIT="3")
    gate.wait_for_calls(3)
    service.send_signal(signal.SIGINT)
    service.wait_for_log("drain_started")
    asked_at = time.monotonic()
    service.send_signal(signal.SIGTERM)
    assert service.wait() == 3
    assert time.monotonic() - asked_at < 1.5
    assert set(journal_states(service.state_dir)) == {"ready"}
    gate.open()
    start_service()
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()


def test_drain_gives_up_at_its_timeout_and_says_what_is_left(
    start_service: StartService, task_api: Peer, gate: Gate
) -> None:
    task_api.add(5)
    service = start_service(DRAIN_TIMEOUT_SECONDS="0.5", CONCURRENCY_LIMIT="1")
    gate.wait_for_calls(1)
    assert service.stop() == 3
    (line,) = service.log_lines("drain_timed_out")
    assert line["running"] == 5
    assert journal_states(service.state_dir) == ["ready"] * 5


@pytest.mark.slow
def test_api_that_hangs_holds_up_no_drain_and_its_reports_stay_in_the_journal(
    launch: StartService, provider: StubProvider
) -> None:
    api = ScriptedApi(page_of(flat_task(str(place), f"text {place}") for place in range(20)))
    with ScriptedServer(api) as server:
        api.before_receipt = server.closing.wait
        service = launch(
            API_BASE_URL=server.url,
            OPENAI_BASE_URL=provider.base_url,
            OPENAI_API_KEY="sk-none",
            DRAIN_TIMEOUT_SECONDS="0.5",
            CONCURRENCY_LIMIT="1",
        )
        eventually(lambda: api.reports, what="the first report is sent")
        asked_at = time.monotonic()
        assert service.stop() == 3
        assert time.monotonic() - asked_at < 3.0
    assert journal_states(service.state_dir) == ["finished"] * 20


def in_state(task_api: Peer, state: State) -> list[Task]:
    return [task for task in task_api.tasks() if task.state is state]


def journal_states(state_dir: Path) -> list[str]:
    """The state of each task that the journal of a stopped service holds."""
    with JournalAdmin(state_dir / JOURNAL_FILE) as journal:
        return [state.value for state in journal.states().values()]
