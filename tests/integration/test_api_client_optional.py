"""What the operations on several tasks, and claims, look like on the wire."""

from collections.abc import Iterator

import orjson
import pytest

from supervisor.task_api.responses import PollRequest, ReportOutcome
from tests.fakes.harness import item
from tests.integration.api_caller import LEASE_SECONDS, WORKER_ID, ApiCaller, api_caller
from tests.stubs.scripted_http import Answer, Request, ScriptedServer


def answer_all(request: Request) -> Answer:
    """Lists three tasks whatever the limit; the leases of all are renewed, and all reports are taken."""
    if request.method == "PATCH" and request.target == "/api/ai-tasks":
        answers = [{"id": each["id"], "status": 200} for each in orjson.loads(request.body)]
        return Answer(207, orjson.dumps(answers))
    if request.target == "/api/ai-tasks/renew":
        return Answer(200, request.body)
    if request.method == "PATCH":
        return Answer(200, b"")
    return Answer(200, orjson.dumps([item(task_id, status="processing") for task_id in "abc"]))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(answer_all) as server:
        yield server


@pytest.fixture
def caller(server: ScriptedServer) -> Iterator[ApiCaller]:
    with api_caller(server.url) as caller:
        yield caller


def test_a_claim_of_a_page_is_a_post_without_a_body(server: ScriptedServer, caller: ApiCaller) -> None:
    page = caller.get_pending_tasks(PollRequest(3, claims=True)).page
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/api/ai-tasks/claim?limit=3")
    assert [task.id for task in page.tasks] == ["a", "b", "c"]
    assert (request.body, request.headers["content-length"]) == (b"", "0")
    assert "content-type" not in request.headers, "some frameworks refuse an empty body that is to be JSON"


def test_all_that_was_claimed_is_read_even_if_it_is_more_than_was_asked_for(caller: ApiCaller) -> None:
    """What is left out would be nobody's until its lease ends."""
    assert len(caller.get_pending_tasks(PollRequest(1, claims=True)).page.tasks) == 3


def test_of_a_list_no_more_is_read_than_was_asked_for(caller: ApiCaller) -> None:
    assert caller.get_pending_tasks(PollRequest(1)).page.items == 1


def test_every_request_says_who_asks_and_what_claims_says_for_how_long(
    server: ScriptedServer, caller: ApiCaller
) -> None:
    caller.get_pending_tasks(PollRequest(3))
    caller.update_task("a", b'{"status":"succeeded"}', "c-1")
    caller.update_tasks(("a", "b"), b'[{"id":"a"},{"id":"b"}]')
    caller.get_pending_tasks(PollRequest(3, claims=True))
    caller.claim_task("a", b'{"status":"processing"}')
    caller.renew("a", "b")
    assert {request.headers.get("x-worker-id") for request in server.requests} == {WORKER_ID}
    lease = f"{LEASE_SECONDS:g}"
    leases = [request.headers.get("x-lease-seconds") for request in server.requests]
    assert leases == [None, None, None, lease, lease, lease]


def test_a_renewal_names_its_tasks_and_hears_which_are_still_ours(
    server: ScriptedServer, caller: ApiCaller
) -> None:
    assert caller.renew("a/b", "17").kept == frozenset({"a/b", "17"})
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/api/ai-tasks/renew")
    assert orjson.loads(request.body) == {"ids": ["a/b", "17"]}


def test_reports_in_bulk_are_one_patch_of_all_tasks(server: ScriptedServer, caller: ApiCaller) -> None:
    answer = caller.update_tasks(("a", "b"), b'[{"id":"a"},{"id":"b"}]')
    (request,) = server.requests
    assert (request.method, request.target) == ("PATCH", "/api/ai-tasks")
    assert {task_id: said.outcome for task_id, said in answer.each.items()} == dict.fromkeys(
        ("a", "b"), ReportOutcome.DONE
    )
