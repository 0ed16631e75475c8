"""What a person does to rejected reports reaches the running service."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from shared.logs import LogEvent
from supervisor.journal.admin import JournalDesk
from supervisor.task_api.answers import ReportOutcome
from tests.fakes.house import House


def house_with_rejected(path: Path) -> House:
    house = House(path=path)
    house.start_workers()
    house.list_tasks("task-1")
    house.finish(0)
    house.answer(outcome=ReportOutcome.REJECTED)
    assert house.status.rejected == 1
    return house


def test_retried_report_is_sent_again_within_two_seconds(tmp_path: Path) -> None:
    house = house_with_rejected(tmp_path / "journal")
    with JournalDesk(tmp_path / "journal") as desk:
        desk.retry(["task-1"])
    house.pass_time(2.0)
    assert house.answer().task_id == "task-1"
    assert house.status.rejected == 0
    assert not house.journal.holds("task-1")


def test_retried_report_that_is_rejected_again_is_kept_again(tmp_path: Path) -> None:
    house = house_with_rejected(tmp_path / "journal")
    with JournalDesk(tmp_path / "journal") as desk:
        desk.retry(["task-1"])
        house.pass_time(2.0)
        house.answer(outcome=ReportOutcome.REJECTED)
        assert house.status.rejected == 1
        assert desk.entry("task-1").state == "rejected"


def test_dropped_task_is_new_when_it_is_listed_again(
    tmp_path: Path, log_lines: list[MutableMapping[str, Any]]
) -> None:
    house = house_with_rejected(tmp_path / "journal")
    with JournalDesk(tmp_path / "journal") as desk:
        desk.drop(["task-1"])
    house.pass_time(2.0)
    assert house.status.rejected == 0
    assert not house.journal.holds("task-1")
    assert [line["task_id"] for line in log_lines if line["event"] == LogEvent.REJECTED_DROPPED] == ["task-1"]
    house.list_tasks("task-1")
    assert house.status.in_flight == 1


def test_retry_while_the_service_is_down_is_obeyed_at_its_start(tmp_path: Path) -> None:
    house_with_rejected(tmp_path / "journal").journal.close()
    with JournalDesk(tmp_path / "journal") as desk:
        desk.retry(["task-1"])
    house = House(path=tmp_path / "journal")
    house.supervisor.recover()
    house.start_workers()
    assert house.answer().task_id == "task-1"
