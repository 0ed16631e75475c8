"""What `check` says of the machine: its limit of open files, and what the journal holds."""

import resource
import socket
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.errors import ConfigurationError
from shared.settings import Settings
from supervisor.console.preflight.check import look_at_machine
from supervisor.console.preflight.finding import Finding, Mark
from supervisor.console.preflight.task_api import read_journal
from supervisor.journal.journal import TaskJournal
from supervisor.journal.report_bodies import BodyFiles
from supervisor.journal.state_directory import StateDirectory
from supervisor.journal.task_record import TaskRecord
from tests.builders import make_task


def settings_in(folder: Path, **more: object) -> Settings:
    given = {
        "api_base_url": "http://127.0.0.1:9",
        "openai_api_key": SecretStr("sk-check-key-77aa"),
        "state_dir": folder / "state",
        "metrics_host": "127.0.0.1",
        "metrics_port": 0,
    }
    return Settings.model_validate({**given, **more})


def findings(settings: Settings) -> dict[str, Finding]:
    return {finding.subject: finding for finding in look_at_machine(settings)}


def test_a_machine_in_order_is_ok(tmp_path: Path) -> None:
    found = findings(settings_in(tmp_path))
    assert {subject: finding.mark for subject, finding in found.items()} == {
        "STATE_DIR": Mark.OK,
        "METRICS_PORT": Mark.OK,
    }


def test_a_port_that_is_taken_is_a_failure_and_one_that_is_free_stays_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finding = findings(settings_in(tmp_path, metrics_port=port))["METRICS_HOST, METRICS_PORT"]
        assert finding.mark is Mark.FAILED
        assert "Address already in use" in finding.text
    settings = settings_in(tmp_path, metrics_port=port)
    assert [findings(settings)["METRICS_PORT"].mark for _ in range(2)] == [Mark.OK, Mark.OK]


@pytest.mark.parametrize(("workers", "is_told"), [(5, False), (256, True)])
def test_too_few_open_files_for_the_workers_are_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, is_told: bool
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    found = findings(settings_in(tmp_path, concurrency_limit=workers))
    assert ("CONCURRENCY_LIMIT" in found) is is_told
    assert not is_told or found["CONCURRENCY_LIMIT"].mark is Mark.FAILED


def test_tasks_in_the_journal_are_known_beside_the_running_service(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert not read_journal(settings).states
    state = StateDirectory(settings.state_dir)
    journal = TaskJournal(state.journal, BodyFiles(state.bodies), time.time)
    journal.note_ready([TaskRecord(make_task("1"), 0.0), TaskRecord(make_task("2"), 0.0)])
    journal.commit()
    held = read_journal(settings)
    assert (set(held.states), held.waiting, held.owed) == ({"1", "2"}, 2, 0)
    journal.close()
    state.close()


def test_a_journal_that_is_none_is_named(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    StateDirectory(settings.state_dir).close()
    (settings.state_dir / "journal.sqlite3").write_bytes(b"no journal" * 1000)
    with pytest.raises(ConfigurationError, match="cannot use the journal"):
        read_journal(settings)
