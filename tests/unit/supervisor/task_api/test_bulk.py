"""What the answer to a PATCH of several reports means, and how they are put into calls."""

from collections.abc import Sequence

import orjson
import pytest

from shared.models import TaskStatus
from supervisor.journal.task_record import Report
from supervisor.task_api.bulk import MAX_CALL_BYTES, BulkQueue, bulk_body, classify_bulk
from supervisor.task_api.http.exchange import Exchange, FailedStep, NoResponse, Response
from supervisor.task_api.optional import OptionalOperation
from supervisor.task_api.responses import Health, ReportOutcome
from tests.fakes.api import HeldBulkCalls, HeldPatches
from tests.fakes.clock import Clock

URL = "http://api.test/api/ai-tasks"


def response(status: int, body: object = b"", **headers: str) -> Response:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(status, headers, data, True, 1.0, 0.1)


def outcomes(got: Exchange, *task_ids: str) -> dict[str, ReportOutcome]:
    answer = classify_bulk(got, task_ids, URL, lambda text: text)
    return {task_id: said.outcome for task_id, said in answer.each.items()}


def report(task_id: str) -> Report:
    return Report(task_id, "text-embedding", f"c-{task_id}", TaskStatus.SUCCEEDED)


@pytest.mark.parametrize("status", [200, 207])
def test_each_status_means_what_it_means_alone(status: int) -> None:
    items = [
        {"id": "a", "status": 200},
        {"id": "b", "status": 409, "error": "final already"},
        {"id": "c", "status": 400, "error": "no such field"},
        {"id": "d", "status": 503},
        {"_id": "e", "status": 204},
    ]
    assert outcomes(response(status, items), *"abcde") == {
        "a": ReportOutcome.DONE,
        "b": ReportOutcome.GONE,
        "c": ReportOutcome.REJECTED,
        "d": ReportOutcome.RETRY,
        "e": ReportOutcome.DONE,
    }


def test_the_words_of_a_rejected_report_are_kept() -> None:
    items = [{"id": "a", "status": 422, "error": "the vector is too long"}]
    answer = classify_bulk(response(207, items), ["a"], URL, lambda text: text)
    assert "the vector is too long" in answer.each["a"].detail


@pytest.mark.parametrize("item", [{"id": 17}, {"id": 17.0}, {"id": None, "_id": {"$oid": "17"}}])
def test_an_id_is_read_as_in_a_page(item: dict[str, object]) -> None:
    assert outcomes(response(207, [item | {"status": 200}]), "17") == {"17": ReportOutcome.DONE}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        {"ok": True},
        [{"id": "a"}, {"id": "b", "status": "200"}, {"id": "c", "status": True}, {"id": "d", "status": 102}],
        [1, None, "a", {"status": 200}],
        [{"id": "x", "status": 200}],
    ],
)
def test_what_has_no_status_for_a_report_does_not_count_as_taken(body: object) -> None:
    answer = classify_bulk(response(200, body), tuple("abcd"), URL, lambda text: text)
    assert (answer.each, bool(answer.refused), answer.is_missing) == ({}, True, False)


def test_the_first_of_two_words_on_a_report_counts() -> None:
    items = [{"id": "a", "status": 503}, {"id": "a", "status": 200}]
    assert outcomes(response(207, items), "a") == {"a": ReportOutcome.RETRY}


@pytest.mark.parametrize("status", [404, 405, 501])
def test_an_api_without_the_operation_is_told_apart(status: int) -> None:
    answer = classify_bulk(response(status, {"error": "not found"}), ["a"], URL, lambda text: text)
    assert (answer.is_missing, bool(answer.refused), answer.call.health) == (True, True, Health.UNKNOWN)


def test_a_framework_may_say_so_by_a_page() -> None:
    got = response(404, b"<html><title>Error</title><pre>Cannot PATCH /api/ai-tasks</pre>")
    assert classify_bulk(got, ["a"], URL, lambda text: text).is_missing


@pytest.mark.parametrize("status", [200, 403, 502])
def test_any_other_page_is_not_the_api_s(status: int) -> None:
    got = response(status, b"<html><title>Just a moment...</title></html>")
    answer = classify_bulk(got, ["a"], URL, lambda text: text)
    assert (answer.call.outcome, answer.refused) == (ReportOutcome.FOREIGN, "")


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 302])
def test_trouble_of_the_call_is_that_of_all(status: int) -> None:
    answer = classify_bulk(response(status, {"error": "no"}), ["a"], URL, lambda text: text)
    assert (answer.call.outcome, answer.each, answer.refused) == (ReportOutcome.RETRY, {}, "")


def test_no_answer_says_nothing_of_any() -> None:
    got = NoResponse(FailedStep.TIMEOUT, "no answer within 30 s", 1.0, 30.0)
    answer = classify_bulk(got, ["a"], URL, lambda text: text)
    assert (answer.call.outcome, answer.each, answer.refused) == (ReportOutcome.RETRY, {}, "")


def test_a_call_holds_each_report_as_it_stands_alone() -> None:
    body = bulk_body([(report('a"\n'), b'{"status":"succeeded"}'), (report("b"), b'{"state":"failed"}')])
    assert orjson.loads(body) == [
        {"id": 'a"\n', "correlation_id": 'c-a"\n', "status": "succeeded"},
        {"id": "b", "correlation_id": "c-b", "state": "failed"},
    ]


@pytest.mark.parametrize(
    ("sizes", "calls"),
    [
        ([100, 100, 100], [3]),
        ([MAX_CALL_BYTES - 100, 200], []),
        ([MAX_CALL_BYTES // 2, MAX_CALL_BYTES // 2, MAX_CALL_BYTES // 2], [2]),
        ([2 * MAX_CALL_BYTES, 100, 100], [2]),
    ],
)
def test_calls_are_bounded_in_bytes(sizes: Sequence[int], calls: Sequence[int]) -> None:
    single, bulk = HeldPatches(), HeldBulkCalls()
    operation = OptionalOperation("bulk reports", "one report a call", Clock(), wanted=True)
    queue = BulkQueue(single, bulk, operation, max_reports=100)
    queue.put([(report(str(number)), b"x" * size) for number, size in enumerate(sizes)])
    assert [len(task_ids) for task_ids, _ in bulk.calls] == list(calls)
    assert len(single.jobs) + sum(calls) == len(sizes), "what stands alone goes alone"
