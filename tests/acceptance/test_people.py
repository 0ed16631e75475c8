"""What a person on call uses: `run.py status` and `run.py journal` beside the running service."""

from pathlib import Path

from supervisor.runtime.process import ExitCode
from tests.acceptance.command import run_command
from tests.acceptance.conftest import StartService
from tests.acceptance.scripted_api import ScriptedApi, flat_task, page_of
from tests.eventually import eventually
from tests.stubs.provider import StubProvider
from tests.stubs.scripted_http import Answer, ScriptedServer

REFUSAL = Answer(422, b'{"message":"no such field"}')


def test_rejected_reports_are_seen_retried_and_dropped_while_the_service_runs(
    launch: StartService, provider: StubProvider, tmp_path: Path
) -> None:
    api = ScriptedApi(page_of(flat_task(task_id, f"text of {task_id}") for task_id in ("keep", "give-up")))
    api.receipts.extend((REFUSAL, REFUSAL))
    with ScriptedServer(api) as server:
        service = launch(
            API_BASE_URL=server.url,
            OPENAI_BASE_URL=provider.base_url,
            OPENAI_API_KEY="sk-any",
            CONCURRENCY_LIMIT="1",
        )
        eventually(lambda: service.status().get("rejected") == 2, 20.0, "both reports are refused")
        shown = run_command(tmp_path, "status", METRICS_PORT=str(service.port))
        assert shown.exit_code == ExitCode.DRAINED
        assert any("rejected 2 reports" in line for line in shown.lines)

        state = {"STATE_DIR": str(service.state_dir)}
        listed = run_command(tmp_path, "journal", "list", "--state", "rejected", **state)
        assert {line.split("\t")[0] for line in listed.lines} == {"keep", "give-up"}
        assert run_command(tmp_path, "journal", "retry", "keep", **state).exit_code == ExitCode.DRAINED
        assert run_command(tmp_path, "journal", "drop", "give-up", **state).exit_code == ExitCode.DRAINED
        eventually(lambda: len(api.reports["keep"]) == 2, 10.0, "the retried report is sent again")
        eventually(lambda: service.status()["rejected"] == 0, 10.0, "none is left")
        assert service.stop() == ExitCode.DRAINED
    assert len(api.reports["give-up"]) == 1
    assert api.reports["keep"][0] == api.reports["keep"][1]
    assert len(provider.paid) == provider.paid.total() == 2, "a retried report costs nothing"


def test_status_of_a_service_that_does_not_run_is_one_line_and_exit_2(tmp_path: Path) -> None:
    shown = run_command(tmp_path, "status", METRICS_PORT="9")
    assert shown.exit_code == ExitCode.CONFIGURATION
    assert len(shown.errors) == 1
    assert shown.lines == []
