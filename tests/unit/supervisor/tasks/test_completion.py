"""From an outcome to an accepted report: written down first, sent until it is taken, logged once."""

import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from shared.models import TaskStatus, WireShape
from supervisor.journal.journal import Waiting
from supervisor.task_api.responses import Health, ReportAnswer, ReportOutcome
from supervisor.tasks.completion import Completion
from tests.builders import make_output, make_record, make_report
from tests.fakes.harness import Harness, item
from tests.readings import reading

Lines = list[MutableMapping[str, Any]]
TYPE = "text-embedding"


@pytest.fixture
def completion(harness: Harness) -> Completion:
    return harness.supervisor.dispatcher.outcomes.completion


@pytest.mark.parametrize("shape", WireShape)
def test_success_is_told_in_the_shape_the_task_came_in(
    harness: Harness, completion: Completion, shape: WireShape
) -> None:
    completion.succeed(make_record("a", shape=shape), make_output(b"[1,2]"), started_at=harness.clock())
    harness.turn()
    told = json.loads(harness.report_queue.send_one().body)
    if shape is WireShape.NESTJS:
        assert told == {"state": "succeeded", "result": [1, 2]}
    else:
        assert told["output_data"]["embedding"] == [1, 2]


@pytest.mark.parametrize("shape", WireShape)
def test_failure_is_told_in_the_shape_the_task_came_in(
    harness: Harness, completion: Completion, shape: WireShape
) -> None:
    completion.fail(make_record("a", shape=shape), "no good", started_at=harness.clock())
    harness.turn()
    told = json.loads(harness.report_queue.send_one().body)
    field = "error" if shape is WireShape.NESTJS else "error_message"
    assert told[field] == "no good"


def test_result_is_written_down_before_it_is_told(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.disk.fill()
    harness.finish(0)
    assert harness.report_queue.jobs == []
    harness.disk.free()
    harness.turn()
    assert [job.task_id for job in harness.report_queue.jobs] == ["a"]


def test_accepted_report_is_forgotten(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.finish(0)
    harness.answer()
    assert len(harness.journal) == len(harness.outbox) == 0
    assert reading(harness.metrics.reports, ReportOutcome.DONE) == 1


def test_rejected_report_is_kept_and_never_retried_by_itself(harness: Harness, log_lines: Lines) -> None:
    harness.list_tasks("a")
    harness.finish(0)
    harness.answer(outcome=ReportOutcome.REJECTED)
    assert harness.journal.rejected == 1
    assert harness.journal.holds("a")
    harness.pass_time(100.0)
    assert harness.report_queue.jobs == []
    assert "report_rejected" in [line["event"] for line in log_lines]


def test_report_that_failed_is_tried_again_for_as_long_as_it_takes(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.finish(0)
    for _ in range(20):
        first = harness.answer(outcome=ReportOutcome.RETRY)
        assert harness.journal.holds("a")
        harness.pass_time(130.0)
        assert [job.task_id for job in harness.report_queue.jobs] == ["a"]
        assert harness.report_queue.jobs[0].body == first.body
    harness.answer()
    assert len(harness.journal) == 0
    assert reading(harness.metrics.reports, "retry") == 20


def test_api_that_names_a_wait_gets_it(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.finish(0)
    busy = ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "busy", 40.0)
    harness.answer(answer=busy)
    harness.pass_time(39.0)
    assert harness.report_queue.jobs == []
    harness.pass_time(1.1)
    assert len(harness.report_queue.jobs) == 1


def test_task_is_counted_once_under_its_final_status(harness: Harness, completion: Completion) -> None:
    completion.succeed(make_record("a"), make_output(), started_at=harness.clock())
    completion.fail(make_record("b"), "no", started_at=harness.clock())
    harness.turn()
    harness.answer(outcome=ReportOutcome.RETRY)
    harness.pass_time(10.0)
    harness.answer_all()
    assert reading(harness.metrics.processed, TYPE, "succeeded") == 1
    assert reading(harness.metrics.processed, TYPE, "failed") == 1


def test_one_line_tells_of_a_task_at_its_end(harness: Harness, log_lines: Lines) -> None:
    harness.list_tasks(item("a", correlation_id="c-1"))
    harness.clock.advance(2.0)
    harness.finish(0, make_output(tokens=7))
    harness.answer(outcome=ReportOutcome.RETRY)
    harness.pass_time(3.0)
    harness.answer_all()
    (line,) = [line for line in log_lines if line["event"] == "task_finished"]
    line.pop("event")
    assert line == {
        "log_level": "info",
        "logger_name": "reports",
        "task_id": "a",
        "task_type": TYPE,
        "correlation_id": "c-1",
        "status": TaskStatus.SUCCEEDED,
        "outcome": ReportOutcome.DONE,
        "attempts": 0,
        "tokens": 7,
        "reports": 2,
        "queue_seconds": 0.0,
        "run_seconds": 2.0,
        "report_seconds": 3.0,
        "end_to_end_seconds": None,
    }


@pytest.mark.parametrize("outcome", [ReportOutcome.REJECTED, ReportOutcome.RETRY, ReportOutcome.DONE])
def test_every_line_about_a_task_names_it_in_full(
    harness: Harness, log_lines: Lines, outcome: ReportOutcome
) -> None:
    harness.list_tasks("a")
    harness.finish(0)
    harness.answer(outcome=outcome)
    about_tasks = [line for line in log_lines if "task_id" in line]
    assert about_tasks
    for line in about_tasks:
        assert line["task_id"] == "a"
        assert line.get("task_type") == TYPE
        assert line.get("correlation_id") == "made-here"


def test_neither_text_nor_vector_is_logged(harness: Harness, log_lines: Lines) -> None:
    harness.list_tasks(
        item("a", input_data="a very private text"), item("b", input_data="another private one")
    )
    harness.finish(0, make_output(b"[0.123456]"))
    harness.fail(1, 'refused: "another private one"')
    echo = ReportAnswer(ReportOutcome.REJECTED, Health.UNKNOWN, 422, "status 422: [0.123456] is no good")
    harness.answer(answer=echo)
    assert "private" not in str(log_lines)
    assert "0.123456" not in str(log_lines)


def test_time_from_creation_to_report_is_measured(harness: Harness, log_lines: Lines) -> None:
    harness.wall.seconds = 1_700_000_012.5
    harness.list_tasks(item("a", created_at="2023-11-14T22:13:20Z"))
    harness.finish(0)
    harness.answer()
    assert reading(harness.metrics.end_to_end, TYPE) == 1
    assert log_lines[-1]["end_to_end_seconds"] == 12.5


def test_report_owed_by_an_earlier_run_keeps_its_age(harness: Harness) -> None:
    harness.wall.seconds = 2000.0
    harness.supervisor.reports.restore(Waiting(make_report("a"), finished_at_seconds=1940.0))
    assert harness.outbox.oldest_age_seconds(harness.clock()) == 60.0


def test_clock_that_was_set_back_gives_no_negative_age(harness: Harness) -> None:
    harness.wall.seconds = 1000.0
    harness.supervisor.reports.restore(Waiting(make_report("a"), finished_at_seconds=9999.0))
    assert harness.outbox.oldest_age_seconds(harness.clock()) == 0.0
