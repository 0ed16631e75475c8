"""The reference task API, over real HTTP on a real database."""

import http.client
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]  # its stubs are a package of their own

from examples.task_api.app import create_app
from examples.task_api.server import TaskApiServer
from examples.task_api.store import LONG_POLLS_AT_ONCE

CHECKOUT = Path(__file__).resolve().parents[2]
OPENAPI = CHECKOUT / "examples" / "task_api" / "openapi.yaml"
FLAT = {"type": "text-embedding", "input_data": {"text": "Basalt is a dark volcanic rock."}}
NESTJS = {"type": "text_embedding", "content": "Rye bread keeps for weeks."}
FLAT_SUCCESS = {"status": "succeeded", "output_data": {"embedding": [0.5, 0.25]}, "error_message": None}
NESTJS_SUCCESS = {"state": "succeeded", "result": [0.5, 0.25]}
HOSTILE_IDS = [
    "../../x",
    "..",
    ".",
    "/",
    "//etc//passwd",
    "a/b?c#d",
    "with spaces and + and %2F",
    "naïve-🦆",
    "%",
    "a\\b\x00c\r\nd",
    "x" * 10_000,
]


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> object:
        parsed: object = json.loads(self.body)
        return parsed

    @property
    def fields(self) -> dict[str, object]:
        assert isinstance(self.json, dict), self.body
        return self.json

    @property
    def tasks(self) -> list[dict[str, object]]:
        assert isinstance(self.json, list), self.body
        return self.json

    @property
    def error(self) -> str:
        return str(self.fields["error"])


@dataclass(frozen=True, slots=True)
class Client:
    """Sends the path exactly as given; most clients rewrite dots and percent signs."""

    url: str

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        try:
            data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, dict(headers or {}))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, names, response.read())
        finally:
            connection.close()

    def create(self, task: Mapping[str, object]) -> str:
        created = self.call("POST", "/api/ai-tasks", task).fields
        return str(created.get("id") or created["_id"])

    def patch(self, task_id: str, body: object, **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("PATCH", f"/api/ai-tasks/{quote(task_id, safe='')}", body, sent)

    def show(self, task_id: str) -> dict[str, object]:
        return self.call("GET", f"/api/ai-tasks/{quote(task_id, safe='')}").fields

    def pending(self, query: str = "") -> list[dict[str, object]]:
        return self.call("GET", f"/api/ai-tasks/pending{query}").tasks


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TaskApiServer]:
    with TaskApiServer(tmp_path / "tasks.sqlite3") as running:
        yield running


@pytest.fixture
def api(server: TaskApiServer) -> Client:
    return Client(server.url)


def test_pending_page_is_empty_at_first(api: Client) -> None:
    assert api.pending() == []


def test_page_mixes_both_shapes_oldest_first(api: Client) -> None:
    first, second = api.create(FLAT), api.create(NESTJS)
    flat, nestjs = api.pending("?limit=10")
    assert flat.keys() == {"id", "type", "status", "input_data", "created_at", "updated_at", "retry_count"}
    assert nestjs.keys() == {
        *("_id", "type", "state", "content", "callbackRoute", "callbackParams", "createdAt", "updatedAt")
    }
    assert (flat["id"], flat["status"], flat["input_data"]) == (first, "pending", FLAT["input_data"])
    assert (nestjs["_id"], nestjs["state"], nestjs["content"]) == (second, "pending", NESTJS["content"])


def test_ids_are_made_in_the_manner_of_the_shape(api: Client) -> None:
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", api.create(FLAT))
    assert re.fullmatch("[0-9a-f]{24}", api.create(NESTJS))


def test_what_the_creator_adds_comes_back_with_the_task(api: Client) -> None:
    api.create(FLAT | {"correlation_id": "abc", "retry_count": 2})
    api.create(NESTJS | {"correlationId": "def", "callbackRoute": "/done", "callbackParams": {"n": [1]}})
    flat, nestjs = api.pending()
    assert (flat["correlation_id"], flat["retry_count"]) == ("abc", 2)
    assert (nestjs["correlationId"], nestjs["callbackRoute"]) == ("def", "/done")
    assert nestjs["callbackParams"] == {"n": [1]}


def test_a_field_that_is_null_counts_as_missing(api: Client) -> None:
    api.create(FLAT | {"id": None, "correlation_id": None, "retry_count": None})
    api.create(NESTJS | {"_id": None, "correlationId": None, "callbackRoute": None, "callbackParams": None})
    flat, nestjs = api.pending()
    assert (flat["retry_count"], "correlation_id" in flat) == (0, False)
    assert re.fullmatch("[0-9a-f]{24}", str(nestjs["_id"]))
    assert (nestjs["callbackRoute"], nestjs["callbackParams"], "correlationId" in nestjs) == (
        *(None, None, False),
    )


def test_limit_takes_the_oldest(api: Client) -> None:
    ids = [api.create(FLAT) for _ in range(4)]
    assert [task["id"] for task in api.pending("?limit=3")] == ids[:3]


def test_higher_priority_is_listed_first_and_comes_with_the_task(api: Client) -> None:
    low, usual, high = {"id": "low", "priority": -1}, {"_id": "usual"}, {"_id": "high", "priority": 2}
    for task in (FLAT | low, NESTJS | usual, NESTJS | high):
        api.create(task)
    first, second, third = api.pending("?limit=9")
    assert (first["_id"], first["priority"], third["id"], third["priority"]) == ("high", 2, "low", -1)
    assert "priority" not in second


def test_database_from_before_priorities_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "tasks.sqlite3"
    with TaskApiServer(path) as server:
        task_id = Client(server.url).create(FLAT)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DROP INDEX tasks_in_order")
        database.execute("ALTER TABLE tasks DROP COLUMN priority")
    with TaskApiServer(path) as server:
        assert [task["id"] for task in Client(server.url).pending()] == [task_id]


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=ten", "limit=", "limit=1.5", "limit=٣"])
def test_bad_limit_is_refused(api: Client, query: str) -> None:
    reply = api.call("GET", f"/api/ai-tasks/pending?{quote(query, safe='=')}")
    assert reply.status == 400
    assert "limit" in reply.error


def test_limit_of_many_digits_is_the_largest(api: Client) -> None:
    api.create(FLAT)
    assert len(api.pending(f"?limit={'9' * 5000}")) == 1


def test_list_is_created_in_its_order(api: Client) -> None:
    reply = api.call("POST", "/api/ai-tasks", [FLAT | {"id": f"t{n}"} for n in range(500)])
    assert reply.status == 201
    assert [task["id"] for task in reply.tasks] == [f"t{n}" for n in range(500)]
    assert [task["id"] for task in api.pending("?limit=500")] == [f"t{n}" for n in range(500)]


def test_list_with_an_id_that_exists_creates_nothing(api: Client) -> None:
    api.create(FLAT | {"id": "here"})
    reply = api.call("POST", "/api/ai-tasks", [FLAT | {"id": "new"}, FLAT | {"id": "here"}])
    assert reply.status == 409
    assert "here" in reply.error
    assert len(api.pending()) == 1


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"{", "not JSON"),
        (b'{"type":"t","input_data":"\\ud800"}', "not JSON"),
        (7, "JSON object"),
        ([FLAT, None], "JSON object"),
        ({"type": "text-embedding"}, "'input_data' (flat shape) or 'content' (nestjs shape)"),
        (FLAT | NESTJS, "'input_data' (flat shape) or 'content' (nestjs shape)"),
        ({"input_data": {}}, "'type'"),
        (FLAT | {"type": 7}, "'type' must be a string"),
        (FLAT | {"id": ""}, "'id'"),
        (FLAT | {"id": "pending"}, "'id'"),
        (FLAT | {"id": "x" * 16_385}, "'id'"),
        (NESTJS | {"_id": 5}, "'_id' must be a string"),
        (NESTJS | {"callbackRoute": 5}, "'callbackRoute' must be a string"),
        (FLAT | {"retry_count": "2"}, "'retry_count' must be a whole number"),
        (FLAT | {"retry_count": True}, "'retry_count' must be a whole number"),
        (FLAT | {"priority": "2"}, "'priority' must be a whole number"),
        (FLAT | {"priority": 1_000_001}, "'priority' must be a whole number from -1000000"),
        (b'{"type":"t","input_data":' + b"[" * 300 + b"]" * 300 + b"}", "cannot be kept"),
    ],
)
def test_bad_task_is_refused_with_its_fault(api: Client, body: object, complaint: str) -> None:
    reply = api.call("POST", "/api/ai-tasks", body)
    assert reply.status == 400
    assert complaint in reply.error
    assert api.pending() == []


@pytest.mark.parametrize("task_id", HOSTILE_IDS)
def test_id_is_data_in_the_path(api: Client, task_id: str) -> None:
    assert api.create(FLAT | {"id": task_id}) == task_id
    assert api.patch(task_id, FLAT_SUCCESS).status == 200
    assert (api.show(task_id)["id"], api.show(task_id)["status"]) == (task_id, "succeeded")


def test_id_may_be_encoded_more_than_it_must(api: Client) -> None:
    api.create(FLAT | {"id": ".."})
    assert api.call("PATCH", "/api/ai-tasks/%2e%2E", FLAT_SUCCESS).status == 200


def test_slash_that_is_not_encoded_is_another_path(api: Client) -> None:
    api.create(FLAT | {"id": "a/b"})
    assert api.call("PATCH", "/api/ai-tasks/a/b", FLAT_SUCCESS).status == 404
    assert api.call("PATCH", "/api/ai-tasks//a%2Fb", FLAT_SUCCESS).status == 404
    assert api.show("a/b")["status"] == "pending"


def test_id_that_is_not_utf8_is_unknown(api: Client) -> None:
    assert api.call("PATCH", "/api/ai-tasks/%FF", FLAT_SUCCESS).status == 404


def test_request_for_an_absolute_address_is_routed_by_its_path(api: Client) -> None:
    assert api.call("GET", f"{api.url}/api/ai-tasks/pending?limit=1").json == []


def test_flat_task_succeeds(api: Client) -> None:
    task_id = api.create(FLAT)
    reply = api.patch(task_id, FLAT_SUCCESS, X_Correlation_ID="c-1")
    assert (reply.status, reply.json) == (200, {"id": task_id, "status": "succeeded"})
    task = api.show(task_id)
    assert task["output_data"] == FLAT_SUCCESS["output_data"]
    assert (task["error_message"], task["final_reports"], task["last_correlation_id"]) == (None, 1, "c-1")
    assert api.pending() == []


def test_nestjs_task_succeeds(api: Client) -> None:
    task_id = api.create(NESTJS)
    reply = api.patch(task_id, NESTJS_SUCCESS)
    assert (reply.status, reply.json) == (200, {"_id": task_id, "state": "succeeded"})
    task = api.show(task_id)
    assert (task["result"], task["error"], task["final_reports"]) == ([0.5, 0.25], None, 1)


def test_failure_is_kept_in_either_shape(api: Client) -> None:
    flat, nestjs = api.create(FLAT), api.create(NESTJS)
    api.patch(flat, {"status": "failed", "output_data": None, "error_message": "too long"})
    api.patch(nestjs, {"state": "failed", "result": None, "error": "too short"})
    assert (api.show(flat)["status"], api.show(flat)["error_message"]) == ("failed", "too long")
    assert (api.show(nestjs)["state"], api.show(nestjs)["error"]) == ("failed", "too short")


def test_report_of_an_unknown_task_is_404(api: Client) -> None:
    assert api.patch("nobody", FLAT_SUCCESS).status == 404
    assert api.call("GET", "/api/ai-tasks/nobody").status == 404


@pytest.mark.parametrize(
    ("task", "body", "complaint"),
    [
        (FLAT, b"not json", "not JSON"),
        (FLAT, b"", "not JSON"),
        (FLAT, b'{"status":"succeeded","output_data":{"embedding":[NaN]}}', "not JSON"),
        (FLAT, ["succeeded"], "JSON object"),
        (FLAT, {}, "'status' (flat shape) or 'state' (nestjs shape)"),
        (FLAT, {"status": "failed", "state": "failed"}, "'status' (flat shape) or 'state' (nestjs shape)"),
        (FLAT, {"status": "done"}, "pending, processing, succeeded, failed"),
        (FLAT, {"status": "in_progress"}, "pending, processing, succeeded, failed"),
        (FLAT, {"status": 3}, "'status' must be a string"),
        (FLAT, {"status": "succeeded"}, "'output_data'"),
        (FLAT, {"status": "processing", "output_data": {}}, "'output_data'"),
        (FLAT, {"status": "failed"}, "'error_message'"),
        (FLAT, {"status": "failed", "error_message": ""}, "'error_message'"),
        (FLAT, FLAT_SUCCESS | {"error_message": "but"}, "'error_message'"),
        (FLAT, NESTJS_SUCCESS, "this is a flat task"),
        (NESTJS, FLAT_SUCCESS, "this is a nestjs task"),
        (NESTJS, {"state": "processing"}, "pending, in_progress, succeeded, failed"),
        (NESTJS, {"state": "succeeded", "result": None}, "'result'"),
        (NESTJS, {"state": "failed", "error": ["why"]}, "'error' must be a string"),
    ],
)
def test_bad_report_is_refused_and_changes_nothing(
    api: Client, task: Mapping[str, object], body: object, complaint: str
) -> None:
    task_id = api.create(task)
    before = api.show(task_id)
    reply = api.patch(task_id, body)
    assert reply.status == 400
    assert complaint in reply.error
    assert api.show(task_id) == before


def test_repeated_report_is_accepted_counted_and_changes_nothing(api: Client) -> None:
    task_id = api.create(FLAT)
    api.patch(task_id, FLAT_SUCCESS, X_Correlation_ID="first")
    before = api.show(task_id)
    again = api.patch(task_id, FLAT_SUCCESS | {"output_data": {"other": 1}}, X_Correlation_ID="second")
    assert again.status == 200
    assert api.show(task_id) == before | {"final_reports": 2, "last_correlation_id": "second"}


def test_contradicting_report_is_refused_but_counted(api: Client) -> None:
    task_id = api.create(NESTJS)
    api.patch(task_id, NESTJS_SUCCESS)
    contradiction = api.patch(task_id, {"state": "failed", "error": "no"})
    assert (contradiction.status, contradiction.error) == (409, "the task is already succeeded")
    task = api.show(task_id)
    assert (task["state"], task["result"], task["error"], task["final_reports"]) == (
        *("succeeded", [0.5, 0.25], None, 2),
    )


def test_summary_counts_states_and_repetitions(api: Client) -> None:
    ids = [api.create(FLAT), api.create(FLAT), api.create(NESTJS), api.create(NESTJS), api.create(FLAT)]
    for report in (FLAT_SUCCESS, FLAT_SUCCESS, FLAT_SUCCESS):
        api.patch(ids[0], report)
    api.patch(ids[1], {"status": "failed", "error_message": "no"})
    api.patch(ids[2], {"state": "in_progress"})
    assert api.call("GET", "/api/ai-tasks/summary").json == {
        "total": 5,
        "by_status": {"pending": 2, "processing": 1, "succeeded": 1, "failed": 1},
        "reported_more_than_once": 1,
    }


@pytest.mark.parametrize(
    ("task", "claim", "back"),
    [
        (FLAT, {"status": "processing"}, {"status": "pending"}),
        (NESTJS, {"state": "in_progress"}, {"state": "pending"}),
    ],
)
def test_claimed_task_is_listed_again_only_when_given_back(
    api: Client, task: Mapping[str, object], claim: object, back: object
) -> None:
    task_id = api.create(task)
    assert api.patch(task_id, claim).status == 200
    assert api.pending() == []
    assert api.patch(task_id, claim).status == 409
    assert api.patch(task_id, back).status == 200
    assert len(api.pending()) == 1
    assert api.patch(task_id, claim).status == 200
    assert api.show(task_id)["final_reports"] == 0


@pytest.mark.parametrize("state", ["processing", "pending"])
def test_final_task_can_be_neither_claimed_nor_given_back(api: Client, state: str) -> None:
    task_id = api.create(FLAT)
    api.patch(task_id, FLAT_SUCCESS)
    assert api.patch(task_id, {"status": state}).status == 409


def test_of_many_claims_at_once_exactly_one_wins(api: Client) -> None:
    task_id = api.create(FLAT)
    start = threading.Barrier(8)

    def claim(_: int) -> int:
        start.wait(timeout=10)
        return api.patch(task_id, {"status": "processing"}).status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(claim, range(8))) == [200] + [409] * 7


def test_many_reports_at_once_all_arrive(api: Client) -> None:
    created = api.call("POST", "/api/ai-tasks", [FLAT] * 200).tasks
    body = {"status": "succeeded", "output_data": {"embedding": [0.123456789] * 1536}}
    with ThreadPoolExecutor(8) as pool:
        replies = pool.map(lambda task: api.patch(str(task["id"]), body).status, created)
        assert set(replies) == {200}
    assert api.call("GET", "/api/ai-tasks/summary").json == {
        "total": 200,
        "by_status": {"pending": 0, "processing": 0, "succeeded": 200, "failed": 0},
        "reported_more_than_once": 0,
    }


@pytest.mark.parametrize(("query", "headers"), [("?wait=15", {}), ("", {"Prefer": "respond-async, wait=15"})])
def test_long_poll_is_answered_by_the_task_that_comes(
    server: TaskApiServer, query: str, headers: Mapping[str, str]
) -> None:
    api = Client(server.url)
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(api.call, "GET", f"/api/ai-tasks/pending{query}", headers=headers)
        wait_until_polled(server)
        assert not poll.done()
        task_id = api.create(FLAT)
        assert [task["id"] for task in poll.result(timeout=5).tasks] == [task_id]


def test_long_poll_is_answered_by_a_task_given_back(server: TaskApiServer) -> None:
    api = Client(server.url)
    task_id = api.create(FLAT)
    api.patch(task_id, {"status": "processing"})
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(api.pending, "?wait=15")
        wait_until_polled(server)
        api.patch(task_id, {"status": "pending"})
        assert [task["id"] for task in poll.result(timeout=5)] == [task_id]


def test_long_poll_ends_empty_when_its_time_is_over(api: Client) -> None:
    assert api.pending("?wait=0.05") == []


def test_long_poll_does_not_wait_when_a_task_is_there(api: Client) -> None:
    api.create(FLAT)
    assert len(api.pending("?wait=30")) == 1


def test_waiting_long_polls_hold_up_no_report(server: TaskApiServer) -> None:
    api = Client(server.url)
    task_id = api.create(FLAT)
    api.patch(task_id, {"status": "processing"})
    with ThreadPoolExecutor(40) as pool:
        polls = [pool.submit(api.pending, "?wait=15") for _ in range(40)]
        not_waited = list(islice(as_completed(polls, timeout=10), 40 - LONG_POLLS_AT_ONCE))
        assert all(poll.result() == [] for poll in not_waited)
        wait_until_polled(server, polls=LONG_POLLS_AT_ONCE)
        assert api.patch(task_id, FLAT_SUCCESS).status == 200
        server.store.stop_waiting()
        assert all(poll.result(timeout=5) == [] for poll in polls)


@pytest.mark.parametrize("wait", ["-1", "soon", "nan", "inf", ""])
def test_bad_wait_is_refused(api: Client, wait: str) -> None:
    reply = api.call("GET", f"/api/ai-tasks/pending?wait={wait}")
    assert reply.status == 400
    assert "wait" in reply.error


def test_bad_preference_is_ignored(api: Client) -> None:
    assert api.call("GET", "/api/ai-tasks/pending", headers={"Prefer": "wait=soon"}).status == 200


def test_close_answers_long_polls_first(tmp_path: Path) -> None:
    server = TaskApiServer(tmp_path / "tasks.sqlite3")
    server.start()
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(Client(server.url).pending, "?wait=15")
        wait_until_polled(server)
        server.close()
        assert poll.result(timeout=5) == []


def test_token_is_asked_of_everything_but_health(tmp_path: Path) -> None:
    with TaskApiServer(tmp_path / "tasks.sqlite3", token="sesame") as server:
        api = Client(server.url)
        for method, path in [
            ("GET", "/api/ai-tasks/pending"),
            ("PATCH", "/api/ai-tasks/x"),
            ("PATCH", "/api/ai-tasks"),
            ("POST", "/api/ai-tasks/claim"),
            ("POST", "/api/ai-tasks/renew"),
            ("GET", "/"),
        ]:
            assert api.call(method, path).status == 401
            assert api.call(method, path, headers={"Authorization": "Bearer wrong"}).status == 401
            assert api.call(method, path, headers={"Authorization": "Bearer ségame"}).status == 401
        good = {"Authorization": "Bearer sesame"}
        assert api.call("GET", "/api/ai-tasks/pending", headers=good).json == []
        assert api.call("GET", "/health").json == {"status": "ok"}


def test_browser_opens_the_page_with_the_token_as_password(tmp_path: Path) -> None:
    with TaskApiServer(tmp_path / "tasks.sqlite3", token="sesame") as server:
        api = Client(server.url)
        assert api.call("GET", "/").headers["www-authenticate"] == "Basic"
        basic = {"Authorization": "Basic " + b64encode(b"anyone:sesame").decode()}
        assert api.call("GET", "/", headers=basic).status == 200


def test_page_counts_escapes_and_dumps_no_output(api: Client) -> None:
    task_id = api.create(FLAT | {"id": "<script>alert(1)</script>", "type": "<b>t</b>"})
    api.patch(task_id, {"status": "failed", "error_message": "<img src=x onerror=alert(2)>"})
    api.patch(api.create(FLAT), {"status": "succeeded", "output_data": "0.987654321"})
    html = api.call("GET", "/").body.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert not re.search(r"<script|<img|<b>t|0\.987654321|https?://", html)
    assert re.search(r"<b>1</b><span class=\"failed\">", html)
    assert "color-scheme: light dark" in html


def test_page_of_an_empty_api_says_so(api: Client) -> None:
    assert "no tasks yet" in api.call("GET", "/").body.decode()


def test_faults_of_the_request_are_json_too(api: Client) -> None:
    assert api.call("GET", "/nowhere").error
    wrong_method = api.call("DELETE", "/api/ai-tasks/pending")
    assert (wrong_method.status, wrong_method.headers["content-type"]) == (405, "application/json")
    assert "GET" in wrong_method.headers["allow"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/ai-tasks/pending", {"GET", "HEAD", "OPTIONS"}),
        ("/api/ai-tasks/summary", {"GET", "HEAD", "OPTIONS"}),
        ("/api/ai-tasks/17", {"GET", "HEAD", "OPTIONS", "PATCH"}),
        ("/api/ai-tasks", {"OPTIONS", "PATCH", "POST"}),
        ("/api/ai-tasks/claim", {"OPTIONS", "POST"}),
    ],
)
def test_what_is_allowed_is_listed_and_no_more(api: Client, path: str, methods: set[str]) -> None:
    for method, status in (("OPTIONS", 200), ("DELETE", 405)):
        reply = api.call(method, path)
        assert (reply.status, set(reply.headers["allow"].split(", "))) == (status, methods)


def test_the_words_of_the_api_are_no_tasks(api: Client) -> None:
    assert api.patch("pending", FLAT_SUCCESS).status == 405
    assert api.patch("summary", FLAT_SUCCESS).status == 405


def test_tasks_outlive_the_server(tmp_path: Path) -> None:
    with TaskApiServer(tmp_path / "tasks.sqlite3") as server:
        task_id = Client(server.url).create(FLAT)
    with TaskApiServer(tmp_path / "tasks.sqlite3") as server:
        assert [task["id"] for task in Client(server.url).pending()] == [task_id]


def test_pages_stay_fast_behind_many_finished_tasks(server: TaskApiServer, tmp_path: Path) -> None:
    Client(server.url).create(FLAT)
    with sqlite3.connect(tmp_path / "tasks.sqlite3") as database:
        order = "WHERE state = 'pending' ORDER BY priority DESC, number LIMIT 5"
        query = f"EXPLAIN QUERY PLAN SELECT * FROM tasks {order}"
        plan = " ".join(str(row) for row in database.execute(query))
    database.close()
    assert "USING INDEX tasks_in_order" in plan
    assert "TEMP B-TREE" not in plan
    assert "TEMP B-TREE" not in plan


def test_description_names_the_routes_of_the_app(tmp_path: Path) -> None:
    app = create_app(tmp_path / "tasks.sqlite3", None)
    routes = {
        (re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static"
    }
    app.extensions["task_store"].close()
    described = {
        (path, method)
        for path, operations in yaml.safe_load(OPENAPI.read_text())["paths"].items()
        for method in operations
        if method != "parameters"
    }
    assert described == routes


def test_examples_of_the_description_work(api: Client) -> None:
    paths = yaml.safe_load(OPENAPI.read_text())["paths"]

    def examples(path: str, method: str) -> list[object]:
        content = paths[path][method]["requestBody"]["content"]["application/json"]
        return [example["value"] for example in content["examples"].values()]

    assert [api.call("POST", "/api/ai-tasks", body).status for body in examples("/api/ai-tasks", "post")] == [
        *(201, 201, 201),
    ]
    for body in examples("/api/ai-tasks/{task_id}", "patch"):
        assert isinstance(body, dict)
        assert api.patch(api.create(FLAT if "status" in body else NESTJS), body).status == 200
    [reports] = examples("/api/ai-tasks", "patch")
    assert isinstance(reports, list)
    api.create(NESTJS | {"_id": reports[1]["_id"]})
    answers = api.call("PATCH", "/api/ai-tasks", reports)
    assert (answers.status, [answer["status"] for answer in answers.tasks]) == (207, [200, 200])
    [renewal] = examples("/api/ai-tasks/renew", "post")
    leased = {"X-Worker-ID": "replica-0", "X-Lease-Seconds": "60"}
    assert api.call("POST", "/api/ai-tasks/renew", renewal, leased).json == {"ids": []}
    page = paths["/api/ai-tasks/pending"]["get"]["responses"]["200"]["content"]["application/json"]
    for shown, task in zip(page["examples"]["both"]["value"], (FLAT, NESTJS), strict=True):
        assert shown.keys() == api.call("POST", "/api/ai-tasks", task).fields.keys()


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_command_serves_until_it_is_told_to_stop(tmp_path: Path, stop_signal: signal.Signals) -> None:
    process = start_command(tmp_path / "tasks.sqlite3", {"API_TOKEN": "sesame"})
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.fullmatch(r"task API (http://127\.0\.0\.1:[1-9][0-9]*)\n", line)
        assert address, line
        api = Client(address[1])
        assert api.call("GET", "/api/ai-tasks/pending").status == 401
        good = {"Authorization": "Bearer sesame"}
        assert api.call("GET", "/api/ai-tasks/pending", headers=good).json == []
        process.send_signal(stop_signal)
        rest, faults = process.communicate(timeout=20)
    assert (process.returncode, rest, faults) == (0, "", "")


def test_server_without_a_database_leaves_no_socket_open(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        TaskApiServer(tmp_path / "missing" / "tasks.sqlite3")


def test_command_says_why_it_cannot_start(tmp_path: Path) -> None:
    with start_command(tmp_path / "missing" / "tasks.sqlite3", {}) as process:
        output, faults = process.communicate(timeout=20)
    assert (process.returncode, output) == (1, "")
    assert re.fullmatch(r"cannot serve .*tasks\.sqlite3 on 127\.0\.0\.1:0: .+\n", faults)


def start_command(database: Path, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "examples.task_api", "--database", str(database)],
        cwd=CHECKOUT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_polled(server: TaskApiServer, polls: int = 1) -> None:
    """Wait until so many long polls wait inside the store."""
    deadline = time.monotonic() + 10
    while server.store.long_polls < polls:
        assert time.monotonic() < deadline, f"{server.store.long_polls} of {polls} long polls came"
        time.sleep(0.002)
