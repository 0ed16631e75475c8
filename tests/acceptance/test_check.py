"""`python run.py check`: the preflight."""

from pathlib import Path

import pytest

from tests.acceptance.command import Outcome, run_command
from tests.acceptance.conftest import Harness
from tests.acceptance.service import API_TOKEN, OPENAI_KEY
from tests.acceptance.task_api import Peer
from tests.stubs.provider import StubProvider


def marks(outcome: Outcome) -> dict[str, str]:
    """The mark of each subject, but for those that are only noted."""
    found = {line[9:].partition(": ")[0]: line.split()[0] for line in outcome.lines}
    return {subject: mark for subject, mark in found.items() if mark != "note"}


def test_check_finds_everything_in_order_with_settings_from_every_source(
    tmp_path: Path, task_api: Peer, provider: StubProvider
) -> None:
    (tmp_path / ".env").write_text(f"API_BASE_URL={task_api.url}\nOPENAI_BASE_URL={provider.base_url}\n")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "api_token").write_text(f"{API_TOKEN}\n")
    outcome = run_command(
        tmp_path,
        "check",
        OPENAI_API_KEY=OPENAI_KEY,
        CREDENTIALS_DIRECTORY=str(credentials),
        METRICS_PORT="0",
    )
    assert outcome.exit_code == 0, outcome
    subjects = ("settings", "processors", "STATE_DIR", "METRICS_PORT", "task API", "tasks", "provider")
    assert marks(outcome) == dict.fromkeys(subjects, "ok")
    assert outcome.errors == []
    assert API_TOKEN not in repr(outcome)
    assert OPENAI_KEY not in repr(outcome)


def test_check_says_what_is_wrong_in_a_line_each(tmp_path: Path, harness: Harness) -> None:
    outcome = run_command(
        tmp_path,
        "check",
        API_BASE_URL=harness.task_api.url,
        API_TOKEN="wrong-token",
        OPENAI_API_KEY=OPENAI_KEY,
        OPENAI_BASE_URL="http://127.0.0.1:9/v1",
        STATE_DIR=str(harness.service.state_dir),
        TASK_TIMEOUT_SECONDS="10",
        METRICS_HOST="127.0.0.1",
        METRICS_PORT=str(harness.service.port),
    )
    assert outcome.exit_code == 2
    assert marks(outcome) == {
        "settings": "ok",
        "processors": "ok",
        "TASK_TIMEOUT_SECONDS": "warning",
        "STATE_DIR": "failed",
        "METRICS_HOST, METRICS_PORT": "failed",
        "task API": "failed",
        "provider": "failed",
    }
    told = "\n".join(outcome.lines)
    assert "status 401" in told
    assert "check API_TOKEN" in told
    assert "Address already in use" in told
    assert "another service is running" in told
    assert "check OPENAI_BASE_URL" in told
    assert "wrong-token" not in told
    assert not harness.service.not_ready(), "the running service took no harm"


def test_check_without_settings_names_them(tmp_path: Path) -> None:
    outcome = run_command(tmp_path, "check")
    assert outcome.exit_code == 2
    assert marks(outcome) == {"API_BASE_URL": "failed", "OPENAI_API_KEY": "failed"}


@pytest.mark.slow
def test_check_names_what_is_set_and_no_setting(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BATCH_MAX_TASK=5\nGRAFANA_PASSWORD=x\n")
    settings = {
        "API_BASE_URL": "http://127.0.0.1:9",
        "EMBEDDING_PROVIDER": "local",
        "METRICS_PORT": "0",
        "TASK_LIMITS": '{"text-summary": 2, "text_embedding": 2}',
    }
    outcome = run_command(tmp_path, "check", **settings)
    unused = 'warning  TASK_LIMITS: limits "text-summary", and there is no processor for tasks of that type'
    assert [line for line in outcome.lines if "TASK_LIMITS" in line] == [unused]
    assert "warning  BATCH_MAX_TASK: in .env is no setting; did you mean BATCH_MAX_TASKS?" in outcome.lines
    assert "note     GRAFANA_PASSWORD: in .env is no setting of this service" in outcome.lines
