"""What a person does to rejected reports reaches the running service."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from shared.logs import LogEvent
from supervisor.journal.admin import JournalAdmin
from supervisor.task_api.responses import ReportOutcome
from tests.fakes.harness import Harness


def house_with_rejected(path: Path) -> Harness:
    harness = Harness(path=path)
    harness.start_workers()
    harness.list_tasks("task-1")
    harness.finish(0)
    harness.answer(outcome=ReportOutcome.REJECTED)
    assert harness.status.rejected == 1
    return harness


def test_retried_report_is_sent_again_within_two_seconds(tmp_path: Path) -> None:
    harness = house_with_rejected(tmp_path / "journal")
    with JournalAdmin(tmp_path / "journal") as admin:
        admin.retry(["task-1"])
    harness.pass_time(2.0)
    assert harness.answer().task_id == "task-1"
    assert harness.status.rejected == 0
    assert not harness.journal.holds("task-1")


def test_retried_report_that_is_rejected_again_is_kept_again(tmp_path: Path) -> None:
    harness = house_with_rejected(tmp_path / "journal")
    with JournalAdmin(tmp_path / "journal") as admin:
        admin.retry(["task-1"])
        harness.pass_time(2.0)
        harness.answer(outcome=ReportOutcome.REJECTED)
        assert harness.status.rejected == 1
        assert admin.entry("task-1").state == "rejected"


def test_dropped_task_is_new_when_it_is_listed_again(
    tmp_path: Path, log_lines: list[MutableMapping[str, Any]]
) -> None:
    harness = house_with_rejected(tmp_path / "journal")
    with JournalAdmin(tmp_path / "journal") as admin:
        admin.drop(["task-1"])
    harness.pass_time(2.0)
    assert harness.status.rejected == 0
    assert not harness.journal.holds("task-1")
    assert [line["task_id"] for line in log_lines if line["event"] == LogEvent.REJECTED_DROPPED] == ["task-1"]
    harness.list_tasks("task-1")
    assert harness.status.in_flight == 1


def test_retry_while_the_service_is_down_is_obeyed_at_its_start(tmp_path: Path) -> None:
    house_with_rejected(tmp_path / "journal").journal.close()
    with JournalAdmin(tmp_path / "journal") as admin:
        admin.retry(["task-1"])
    harness = Harness(path=tmp_path / "journal")
    harness.supervisor.recover()
    harness.start_workers()
    assert harness.answer().task_id == "task-1"
