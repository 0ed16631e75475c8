"""Many reports in one call to the reference task API: each is answered as if it came alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.examples.task_api_caller import TaskApiCaller, task_api_caller

FLAT = {"type": "text-embedding", "input_data": "Basalt is a dark volcanic rock."}
NESTJS = {"type": "text_embedding", "content": "Rye bread keeps for weeks."}
FLAT_SUCCESS = {"status": "succeeded", "output_data": {"embedding": [0.5]}, "error_message": None}
NESTJS_SUCCESS = {"state": "succeeded", "result": [0.5]}
FLAT_FAILURE = {"status": "failed", "output_data": None, "error_message": "too long"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TaskApiCaller]:
    with task_api_caller(tmp_path / "tasks.sqlite3") as caller:
        yield caller


def test_reports_of_both_shapes_are_taken_in_one_call(api: TaskApiCaller) -> None:
    api.create(FLAT | {"id": "1"}, NESTJS | {"_id": "2"}, NESTJS | {"_id": "3"}, FLAT | {"id": "4"})
    answers = api.report_all(
        FLAT_SUCCESS | {"id": "1"},
        NESTJS_SUCCESS | {"_id": "2"},
        NESTJS_SUCCESS | {"id": "3"},
        FLAT_FAILURE | {"id": "4"},
    )
    assert answers == [{"id": task_id, "status": 200} for task_id in ("1", "2", "3", "4")]
    assert (api.show("1")["output_data"], api.show("2")["result"]) == ({"embedding": [0.5]}, [0.5])
    assert (api.show("4")["status"], api.show("4")["error_message"]) == ("failed", "too long")


def test_each_item_is_answered_as_a_single_report_and_hurts_no_other(api: TaskApiCaller) -> None:
    api.create(*(FLAT | {"id": task_id} for task_id in ("good", "final", "other shape", "no output", "last")))
    api.patch("final", FLAT_FAILURE)
    answers = api.report_all(
        FLAT_SUCCESS | {"id": "good"},
        FLAT_SUCCESS | {"id": "final"},
        FLAT_FAILURE | {"id": "final"},
        FLAT_SUCCESS | {"id": "unknown"},
        NESTJS_SUCCESS | {"id": "other shape"},
        {"id": "no output", "status": "succeeded"},
        FLAT_SUCCESS,
        FLAT_SUCCESS | {"id": 7},
        "text",
        None,
        FLAT_SUCCESS | {"id": "last"},
    )
    assert [(answer["id"], answer["status"]) for answer in answers] == [
        ("good", 200),
        ("final", 409),
        ("final", 200),
        ("unknown", 404),
        ("other shape", 400),
        ("no output", 400),
        *[(None, 400)] * 4,
        ("last", 200),
    ]
    assert all(("error" in answer) == (answer["status"] != 200) for answer in answers)
    assert answers[1]["error"] == "the task is already failed"
    assert api.counts() == {"pending": 2, "succeeded": 2, "failed": 1}


def test_repeated_list_changes_nothing_and_is_counted(api: TaskApiCaller) -> None:
    api.create(FLAT | {"id": "t"})
    api.report_all(FLAT_SUCCESS | {"id": "t"})
    before = api.show("t")
    other = {"status": "succeeded", "output_data": {"embedding": [9.0]}, "id": "t"}
    assert api.report_all(other) == [{"id": "t", "status": 200}]
    assert api.show("t") == before | {"final_reports": 2}


def test_first_of_two_reports_in_a_list_stands(api: TaskApiCaller) -> None:
    api.create(FLAT | {"id": "t"})
    answers = api.report_all(FLAT_SUCCESS | {"id": "t"}, FLAT_FAILURE | {"id": "t"})
    assert [answer["status"] for answer in answers] == [200, 409]
    assert (api.show("t")["status"], api.show("t")["final_reports"]) == ("succeeded", 2)


def test_item_has_its_own_correlation_id(api: TaskApiCaller) -> None:
    api.create(FLAT | {"id": "1"}, NESTJS | {"_id": "2"}, FLAT | {"id": "3"}, FLAT | {"id": "4"})
    answers = api.report_all(
        FLAT_SUCCESS | {"id": "1", "correlation_id": "one"},
        NESTJS_SUCCESS | {"_id": "2", "correlationId": "two"},
        FLAT_SUCCESS | {"id": "3"},
        FLAT_SUCCESS | {"id": "4", "correlation_id": 4},
    )
    assert [answer["status"] for answer in answers] == [200, 200, 200, 400]
    assert [api.show(task_id)["last_correlation_id"] for task_id in "123"] == ["one", "two", None]


def test_claims_and_returns_may_be_in_the_list(api: TaskApiCaller) -> None:
    api.create(FLAT | {"id": "1"}, NESTJS | {"_id": "2"}, FLAT | {"id": "3"})
    worker = api.worker("a", lease_seconds=60)
    claims = [{"id": "1", "status": "processing"}, {"_id": "2", "state": "in_progress"}]
    assert [answer["status"] for answer in worker.report_all(*claims)] == [200, 200]
    assert worker.renew(["1", "2", "3"]) == {"1", "2"}
    assert [answer["status"] for answer in api.worker("b").report_all(*claims)] == [409, 409]
    assert [answer["status"] for answer in worker.report_all({"id": "1", "status": "pending"})] == [200]
    assert api.listed() == ["1", "3"]


def test_empty_list_is_answered_with_an_empty_list(api: TaskApiCaller) -> None:
    assert api.report_all() == []


@pytest.mark.parametrize("body", [None, {}, FLAT_SUCCESS | {"id": "t"}, "t", 7])
def test_body_that_is_no_list_is_refused_and_changes_nothing(api: TaskApiCaller, body: object) -> None:
    api.create(FLAT | {"id": "t"})
    assert api.ask("PATCH", "", body)[0] == 400
    assert api.listed() == ["t"]


@pytest.mark.parametrize("task_id", ["a/b?c#d", "naïve-🦆", "a\\b\x00c\r\nd", "..", "x" * 10_000])
def test_id_is_data_in_a_list(api: TaskApiCaller, task_id: str) -> None:
    api.create(FLAT | {"id": task_id})
    assert api.report_all(FLAT_SUCCESS | {"id": task_id}) == [{"id": task_id, "status": 200}]
    assert api.counts() == {"succeeded": 1}
