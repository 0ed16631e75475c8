"""What the task API says of leases."""

import orjson
import pytest

from supervisor.task_api.http.exchange import FailedStep, NoResponse, Response
from supervisor.task_api.renewal import RenewAnswer, classify_renewal


def classify(status: int, body: object, **headers: str) -> RenewAnswer:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return classify_renewal(Response(status, headers, data, True, 1.0, 0.1), "http://api", lambda text: text)


@pytest.mark.parametrize("body", [{"ids": ["a", 7]}, ["a", 7], {"ids": [{"$oid": "a"}, 7.0]}])
def test_the_ids_that_are_listed_are_still_ours(body: object) -> None:
    assert classify(200, body).kept == frozenset({"a", "7"})


def test_an_empty_list_says_that_nothing_is_ours() -> None:
    assert classify(200, {"ids": []}).kept == frozenset()


@pytest.mark.parametrize(
    "body",
    [b"", b"OK", b"{", {"renewed": 3}, {"ids": "a"}, 3, [{"id": "a"}], ["a", None], ["a", True], ["a", ""]],
)
def test_what_is_no_list_of_ids_is_another_operation_and_not_the_loss_of_all_tasks(body: object) -> None:
    answer = classify(200, body)
    assert (answer.kept, answer.is_missing, answer.is_refused) == (None, False, True)
    assert "no list of ids" in answer.detail


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_renewal_that_is_refused_for_itself_is_told_apart(status: int) -> None:
    answer = classify(status, {"error": "no"})
    assert (answer.kept, answer.is_missing, answer.is_refused) == (None, False, True)


@pytest.mark.parametrize("status", [404, 405, 501])
def test_an_api_without_renewals_is_told_apart(status: int) -> None:
    answer = classify(status, {"error": "no"})
    assert (answer.kept, answer.is_missing) == (None, True)


@pytest.mark.parametrize("status", [302, 401, 403, 408, 429, 500, 503])
def test_trouble_says_nothing(status: int) -> None:
    answer = classify(status, {"error": "no"})
    assert (answer.kept, answer.is_missing, answer.is_refused) == (None, False, False)


def test_a_framework_may_say_so_by_a_page() -> None:
    assert classify(404, b"<html><title>Error</title><pre>Cannot POST /api/ai-tasks/renew</pre>").is_missing


@pytest.mark.parametrize("status", [200, 403, 502])
def test_any_other_page_is_not_the_api_s(status: int) -> None:
    answer = classify(status, b"<html><title>Just a moment...</title></html>")
    assert (answer.kept, answer.is_missing, answer.is_refused) == (None, False, False)


def test_no_answer_says_nothing() -> None:
    got = NoResponse(FailedStep.CONNECT, "cannot connect", 1.0, 0.1)
    assert classify_renewal(got, "http://api", lambda text: text) == RenewAnswer(1.0, detail="cannot connect")
