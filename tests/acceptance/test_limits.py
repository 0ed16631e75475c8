"""The limits of the system: taken as far as they go, refused where they do not do, outlived when reached."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.acceptance.command import run_command
from tests.acceptance.conftest import StartService
from tests.acceptance.pace import Gate
from tests.acceptance.scripted_api import ScriptedApi, flat_task, page_of
from tests.acceptance.service import OPENAI_KEY, ServiceProcess
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider
from tests.stubs.scripted_http import ScriptedServer

GOOD = {"API_BASE_URL": "http://127.0.0.1:9", "OPENAI_API_KEY": OPENAI_KEY, "METRICS_PORT": "0"}


@pytest.mark.slow
def test_more_workers_than_there_are_files_for_are_refused_with_the_numbers(tmp_path: Path) -> None:
    few = ("prlimit", "--nofile=1024:1024")
    refused = run_command(tmp_path, "run", through=few, **GOOD, CONCURRENCY_LIMIT="256")
    assert refused.exit_code == 2
    (line,) = refused.errors
    assert line.startswith("CONCURRENCY_LIMIT: with 256 workers the service can need 1,")
    assert "its limit is 1,024" in line
    checked = run_command(tmp_path, "check", through=few, **GOOD, CONCURRENCY_LIMIT="256")
    assert any("with 256 workers" in said for said in checked.lines)


@pytest.mark.slow
def test_all_processes_may_open_what_the_system_allows_and_leave_no_core_file(tmp_path: Path) -> None:
    settings = {**GOOD, "CONCURRENCY_LIMIT": "1"}
    service = ServiceProcess(tmp_path, settings, through=("prlimit", "--nofile=100:5000", "--core=unlimited"))
    try:
        service.wait_for_log("service_ready", 20.0)
        for process in (psutil.Process(service.pid), *service.descendants()):
            assert process.rlimit(psutil.RLIMIT_NOFILE) == (5000, 5000)
            assert process.rlimit(psutil.RLIMIT_CORE)[0] == 0
    finally:
        service.clean_up()


@pytest.mark.slow
def test_service_whose_open_files_run_out_goes_on_as_soon_as_there_are_some(
    start_service: StartService, task_api: Peer, gate: Gate
) -> None:
    service = start_service(CONCURRENCY_LIMIT="2", BATCH_MAX_TASKS="1", REQUEST_TIMEOUT="1")
    service.wait_until_ready(workers=2)
    task_api.add(10)
    gate.wait_for_calls(2)
    pid = service.worker_pids()[0]
    process = psutil.Process(service.pid)
    soft, hard = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (8, hard))
    os.kill(pid, signal.SIGKILL)
    gate.open()
    for tried in (2, 3, 4):  # over more than a second, in which all that the loop does was due
        said = service.wait_for_log("worker_died", count=tried)["how"]
        assert "could not be started: [Errno 24] Too many open files" in said
    process.rlimit(psutil.RLIMIT_NOFILE, (soft, hard))
    task_api.wait_until_done()
    task_api.assert_each_succeeded_once()
    eventually(lambda: not service.not_ready(), what="the service is ready again")
    assert "Traceback" not in service.output()
    assert service.stop() == 0


@pytest.mark.slow  # test_input_files shows it within one process
def test_texts_that_are_too_large_for_the_journal_outlive_the_service_and_leave_no_file(
    launch: StartService, provider: StubProvider, gate: Gate
) -> None:
    texts = [f"{number} " + '"\\' * 600_000 for number in range(2)]
    items = [
        {**flat_task(f"t{n}", text), "input_data": {"text": text, "model": "m"}}
        for n, text in enumerate(texts)
    ]
    api = ScriptedApi(page_of(items))
    with ScriptedServer(api) as server:
        peers = {
            "API_BASE_URL": server.url,
            "OPENAI_BASE_URL": provider.base_url,
            "OPENAI_API_KEY": OPENAI_KEY,
        }
        first = launch(**peers, CONCURRENCY_LIMIT="1")
        gate.wait_for_calls(1)
        first.kill9()
        second = launch(**peers, CONCURRENCY_LIMIT="1")
        gate.open()
        eventually(lambda: len(api.reports) == len(texts), what="every text was reported")
        assert {api.last_status(task_id) for task_id in api.reports} == {"succeeded"}
        assert set(provider.paid) == set(texts)
        inputs = second.state_dir / "inputs"
        eventually(lambda: not list(inputs.iterdir()), what="no input is left")
