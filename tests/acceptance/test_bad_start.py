"""A service that cannot start says why, in lines that a person can act on."""

import sqlite3
from pathlib import Path

import orjson
import pytest

from tests.acceptance.command import Outcome, run_command, run_command_as_ordinary_user
from tests.acceptance.conftest import Harness, StartService
from tests.acceptance.exposition import Exposition
from tests.acceptance.service import API_TOKEN, OPENAI_KEY
from tests.acceptance.task_api import Peer
from tests.eventually import eventually

GOOD = {"API_BASE_URL": "http://127.0.0.1:9", "OPENAI_API_KEY": OPENAI_KEY, "METRICS_PORT": "0"}


def assert_refused(outcome: Outcome, *starts: str) -> None:
    """Exit code 2 and one line on stderr for each of these, and nothing else."""
    assert outcome.exit_code == 2, outcome
    assert sorted(line.partition(": ")[0] for line in outcome.errors) == sorted(starts)
    assert all(line.partition(": ")[2] for line in outcome.errors)


def test_missing_settings_are_named_a_line_each_and_run_is_the_default_command(tmp_path: Path) -> None:
    outcome = run_command(tmp_path)
    assert_refused(outcome, "API_BASE_URL", "OPENAI_API_KEY")
    assert outcome.lines == []


def test_every_invalid_setting_is_named_and_no_secret_is_shown(tmp_path: Path) -> None:
    outcome = run_command(
        tmp_path,
        "run",
        API_BASE_URL="ftp://127.0.0.1",
        API_TOKEN=f"{API_TOKEN} with a space",
        OPENAI_API_KEY="your-openai-api-key-here",
        CONCURRENCY_LIMIT="0",
        BATCH_MAX_TASKS="2049",
        LOG_FORMAT="xml",
        SHARD_COUNT="2",
        SHARD_INDEX="2",
    )
    assert_refused(
        outcome,
        "API_BASE_URL",
        "API_TOKEN",
        "OPENAI_API_KEY",
        "CONCURRENCY_LIMIT",
        "BATCH_MAX_TASKS",
        "SHARD_INDEX",
        "LOG_FORMAT",
    )
    assert API_TOKEN not in "".join(outcome.errors)


def test_misspelt_setting_is_warned_of_with_the_one_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BATCH_MAX_TASK=5\nGRAFANA_PASSWORD=x\n")
    (tmp_path / "state").touch()
    outcome = run_command(tmp_path, "run", **GOOD)
    assert_refused(outcome, "STATE_DIR")
    (warning,) = [orjson.loads(line) for line in outcome.lines]
    assert (warning["event"], warning["level"]) == ("setting_unknown", "warning")
    assert (warning["name"], warning["source"], warning["meant"]) == (
        "BATCH_MAX_TASK",
        ".env",
        "BATCH_MAX_TASKS",
    )


def test_second_service_on_the_same_state_directory_or_port_is_refused(
    tmp_path: Path, harness: Harness
) -> None:
    state_dir, port = str(harness.service.state_dir), str(harness.service.port)
    assert_refused(run_command(tmp_path, "run", **GOOD, STATE_DIR=state_dir), "STATE_DIR")
    other = {**GOOD, "METRICS_HOST": "127.0.0.1", "METRICS_PORT": port, "STATE_DIR": str(tmp_path / "other")}
    refused = run_command(tmp_path, "run", **other)
    assert_refused(refused, "METRICS_HOST, METRICS_PORT")
    assert f"127.0.0.1:{port}" in refused.errors[0]
    before = harness.service.metrics()
    harness.task_api.add(10, prefix="second service")
    harness.task_api.wait_until_done()
    eventually(
        lambda: reports(harness.service.metrics()) == reports(before) + 10,
        what="the first service still has its metric files",
    )


def reports(metrics: Exposition) -> float:
    return metrics.sum("ai_reports_total", outcome="done")


def test_state_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = run_command(tmp_path, "run", **GOOD, STATE_DIR=str(tmp_path / "file" / "state"))
    assert_refused(outcome, "STATE_DIR")
    assert str(tmp_path / "file" / "state") in outcome.errors[0]


def test_what_may_not_be_read_or_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    refused = run_command_as_ordinary_user(tmp_path, "run", **GOOD, STATE_DIR="locked/state")
    assert_refused(refused, "STATE_DIR")
    assert "Permission denied for user" in refused.errors[0]
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "api_token").touch(mode=0o000)
    (tmp_path / ".env").touch(mode=0o000)
    refused = run_command_as_ordinary_user(tmp_path, "run", **GOOD, CREDENTIALS_DIRECTORY=str(credentials))
    assert_refused(refused, "API_TOKEN", ".env")
    assert all("cannot be read by user" in line for line in refused.errors)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "check"])
def test_long_path_for_temporary_files_is_refused(tmp_path: Path, command: str) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    outcome = run_command(tmp_path, command, **GOOD, TMPDIR=str(long))
    assert outcome.exit_code == 2
    said = outcome.errors if command == "run" else outcome.lines
    assert any("TMPDIR: workers cannot have a socket there: AF_UNIX path too long" in line for line in said)
    assert not any("Traceback" in line for line in outcome.errors)


@pytest.mark.slow
def test_metric_files_of_another_program_are_left_alone(
    tmp_path: Path, start_service: StartService, task_api: Peer
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    task_api.add(3)
    service = start_service(PROMETHEUS_MULTIPROC_DIR=str(elsewhere), CONCURRENCY_LIMIT="1")
    task_api.wait_until_done()
    eventually(lambda: reports(service.metrics()) == 3, what="each report counts once")
    assert service.metrics().sum("openai_requests_total") == 1
    assert list(elsewhere.iterdir()) == []


@pytest.mark.slow
def test_journal_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    journal = state / "journal.sqlite3"
    foreign = sqlite3.connect(journal)
    foreign.execute("CREATE TABLE precious (thing TEXT)")
    foreign.close()
    before = journal.read_bytes()
    outcome = run_command(tmp_path, "run", **GOOD, STATE_DIR=str(state))
    assert_refused(outcome, "STATE_DIR")
    assert str(journal) in outcome.errors[0]
    assert journal.read_bytes() == before


@pytest.mark.slow
def test_local_provider_without_its_package_ends_with_4_and_says_what_to_install(
    tmp_path: Path, start_service: StartService
) -> None:
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    (hiding / "wordllama.py").write_text("raise ImportError('not installed')\n")
    service = start_service(EMBEDDING_PROVIDER="local", PYTHONPATH=str(hiding), CONCURRENCY_LIMIT="1")
    assert service.wait() == 4
    deaths = service.log_lines("worker_died")
    assert all("pip install -r requirements-local.txt" in death["how"] for death in deaths)
    assert service.log_lines()[-1]["reason"] == "workers_keep_dying"
    assert "Traceback" not in service.output()
