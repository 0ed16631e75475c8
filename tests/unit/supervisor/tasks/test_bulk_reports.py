"""BULK_REPORTS: several reports in one PATCH, each with an answer of its own."""

from collections.abc import Mapping
from dataclasses import replace

import orjson
import pytest

from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.task_api.bulk import BulkAnswer, BulkReportDone
from supervisor.task_api.optional import TRY_AGAIN_SECONDS
from supervisor.task_api.responses import Health, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.harness import Harness

DONE = ReportAnswer(ReportOutcome.DONE, Health.HEALTHY, 200)
REJECTED = ReportAnswer(ReportOutcome.REJECTED, Health.UNKNOWN, 422, "status 422: no")
GONE = ReportAnswer(ReportOutcome.GONE, Health.UNKNOWN, 409, "status 409: final already")
BUSY = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 503, "status 503: busy")
TOO_MANY = ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "status 429", 1.0)
NO_ANSWER = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, None, "no answer")
MISSING = BulkAnswer(
    ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 404, "status 404"),
    refused="status 404",
    is_missing=True,
)


def make_harness(*task_ids: str, **fields: object) -> Harness:
    """With these tasks done, and their reports on their way."""
    harness = Harness(make_settings(**{"concurrency_limit": 1, "bulk_reports": 10, **fields}))
    harness.start_workers()
    finish(harness, *task_ids)
    return harness


def finish(harness: Harness, *task_ids: str) -> None:
    if not harness.poller.requests:
        harness.pass_time(30.0)
    harness.list_tasks(*task_ids)
    harness.finish(0)


def calls(harness: Harness) -> list[tuple[str, ...]]:
    return [task_ids for task_ids, _ in harness.bulk_calls.calls]


def singles(harness: Harness) -> list[str]:
    return [job.task_id for job in harness.report_queue.jobs]


def say(harness: Harness, answer: BulkAnswer) -> None:
    """Answer the oldest call."""
    task_ids, _ = harness.bulk_calls.calls.pop(0)
    now = harness.clock()
    each = {task_id: replace(said, began_at=now) for task_id, said in answer.each.items()}
    call = replace(answer.call, began_at=now)
    harness.turn(BulkReportDone(task_ids, replace(answer, call=call, each=each)))


def say_each(harness: Harness, each: Mapping[str, ReportAnswer]) -> None:
    say(harness, BulkAnswer(DONE, each))


def test_what_is_finished_together_is_reported_in_one_call() -> None:
    harness = make_harness("a", "b", "c")
    assert (calls(harness), singles(harness)) == ([("a", "b", "c")], [])
    _, body = harness.bulk_calls.calls[0]
    items = orjson.loads(body)
    assert [item["id"] for item in items] == ["a", "b", "c"]
    assert all(item["status"] == "succeeded" and item["correlation_id"] for item in items)
    say_each(harness, {"a": DONE, "b": DONE, "c": DONE})
    assert (len(harness.outbox), len(harness.journal)) == (0, 0)


def test_one_report_goes_as_it_always_did() -> None:
    harness = make_harness("a")
    assert (calls(harness), singles(harness)) == ([], ["a"])


def test_no_call_holds_more_than_the_setting_allows() -> None:
    harness = make_harness(*[f"t{number}" for number in range(25)])
    assert [len(call) for call in calls(harness)] == [10, 10, 5]


def test_each_report_ends_as_its_own_answer_says() -> None:
    harness = make_harness("a", "b", "c", "d")
    say_each(harness, {"a": DONE, "b": REJECTED, "c": BUSY, "d": GONE})
    assert harness.journal.rejected == 1
    assert sorted(report.task_id for report in harness.outbox) == ["c", "d"]
    assert not harness.journal.holds("a")
    harness.pass_time(5.0)
    assert singles(harness) == ["c"]


@pytest.mark.parametrize("trouble", [BUSY, NO_ANSWER], ids=["503", "no answer"])
def test_trouble_of_the_call_is_one_failure_and_all_reports_wait(trouble: ReportAnswer) -> None:
    harness = make_harness(*[f"t{number}" for number in range(10)])
    say(harness, BulkAnswer(trouble))
    assert len(harness.outbox) == 10
    assert harness.supervisor.api_gate.reports.breaker.state is BreakerState.CLOSED
    for _ in range(10):
        harness.pass_time(60.0)
        if harness.report_queue.jobs:
            harness.answer()
        while harness.bulk_calls.calls:
            say_each(harness, dict.fromkeys(calls(harness)[0], DONE))
    assert len(harness.outbox) == 0


def test_so_many_calls_without_an_answer_open_the_breaker() -> None:
    harness = make_harness(*[f"t{number}" for number in range(10)], circuit_breaker_threshold=2)
    say(harness, BulkAnswer(NO_ANSWER))
    harness.pass_time(3.0)
    assert harness.report_queue.jobs, "after trouble reports begin one at a time"
    harness.answer(answer=NO_ANSWER)
    assert harness.supervisor.api_gate.reports.breaker.state is BreakerState.OPEN


def test_an_api_without_the_operation_gets_one_by_one_at_once() -> None:
    harness = make_harness("a", "b")
    say(harness, MISSING)
    assert (calls(harness), singles(harness)) == ([], ["a", "b"])
    harness.answer_all()
    harness.pass_time(TRY_AGAIN_SECONDS)
    finish(harness, "c", "d")
    assert calls(harness) == [("c", "d")]


def test_a_gateway_that_says_404_only_delays_the_reports() -> None:
    harness = make_harness("a", "b")
    say_each(harness, {"a": DONE, "b": DONE})
    finish(harness, "c", "d")
    say(harness, MISSING)
    assert (calls(harness), singles(harness)) == ([], [])
    harness.pass_time(10.0)
    assert {task_id for call in calls(harness) for task_id in call} | set(singles(harness)) <= {"c", "d"}
    assert len(harness.outbox) == 2


def test_an_answer_that_leaves_reports_out_sends_these_alone() -> None:
    harness = make_harness("a", "b", "c")
    say(harness, BulkAnswer(DONE, {"a": DONE}, refused="its answer has no status for 2 of 3 reports"))
    assert (calls(harness), singles(harness)) == ([], ["b", "c"])
    assert not harness.journal.holds("a")


def test_a_call_that_is_too_large_is_made_smaller() -> None:
    harness = make_harness("a", "b", "c", "d", bulk_reports=4)
    too_large = ReportAnswer(ReportOutcome.REJECTED, Health.UNKNOWN, 413, "status 413")
    say(harness, BulkAnswer(too_large, refused="status 413", is_too_large=True))
    assert calls(harness) == [("a", "b", "c", "d")], "half of 4 MB is still enough for four small ones"
    for _ in range(7):
        if harness.bulk_calls.calls:
            say(harness, BulkAnswer(too_large, refused="status 413", is_too_large=True))
    assert (calls(harness), singles(harness)) == ([], ["a", "b", "c", "d"])


def test_a_drain_sends_all_in_calls() -> None:
    harness = make_harness("a", "b")
    harness.stop()
    say_each(harness, {"a": DONE, "b": DONE})
    assert len(harness.outbox) == 0


def test_an_api_that_asks_to_slow_down_gets_fewer_calls_and_not_smaller_ones() -> None:
    harness = make_harness(*[f"t{number}" for number in range(200)], batch_max_tasks=200, bulk_reports=20)
    for _ in range(5):
        say_each(harness, dict.fromkeys(calls(harness)[0], DONE))
    say(harness, BulkAnswer(TOO_MANY))
    while harness.bulk_calls.calls:
        say_each(harness, dict.fromkeys(calls(harness)[0], DONE))
    sent: list[int] = []
    for _ in range(50):
        harness.pass_time(0.1)
        sent += [1] * len(harness.report_queue.jobs) + [len(call) for call in calls(harness)]
        harness.answer_all()
        while harness.bulk_calls.calls:
            say_each(harness, dict.fromkeys(calls(harness)[0], DONE))
    assert len(harness.outbox) == 0
    assert sum(sent) / len(sent) > 10, sent


def test_a_call_is_filled_however_few_connections_there_are_for_single_reports() -> None:
    names = [f"t{number}" for number in range(100)]
    harness = make_harness(*names, batch_max_tasks=100, bulk_reports=100, report_concurrency=1)
    assert [len(call) for call in calls(harness)] == [100]
