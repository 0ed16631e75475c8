"""What `check` says of a task API, and that it asks what the service would ask."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from pydantic import SecretStr

from shared.settings import Settings, UnknownTaskPolicy
from supervisor.console.preflight import task_api
from supervisor.console.preflight.finding import Mark
from supervisor.console.preflight.task_api import JournalTasks, TaskApiReport, look_at_task_api
from supervisor.journal.task_record import TaskState
from tests.acceptance.scripted_api import flat_task, page_of
from tests.builders import PROCESSORS
from tests.stubs.proxy import StubProxy
from tests.stubs.scripted_http import NO_ANSWER, Answer, Request, ScriptedServer
from tests.stubs.tls import CA, server_context

TOKEN = "check-token-51d0"
FIRST_LIMIT = 2000
"""Of the default settings: four units for each of five workers, of a hundred tasks each."""
Look = Callable[..., TaskApiReport]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda _: Answer(200, b"[]")) as server:
        yield server


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """`look(url, held, **settings)`, with no other settings and no proxy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(task_api, "SMALLER_LIMIT_SECONDS", 0.0)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def look(url: str, held: JournalTasks | None = None, **settings: object) -> TaskApiReport:
        given = {"api_base_url": url, "openai_api_key": SecretStr("sk-test-1"), "api_token": SecretStr(TOKEN)}
        validated = Settings.model_validate({**given, **settings})
        return look_at_task_api(validated, PROCESSORS, held or JournalTasks())

    return look


def only(report: TaskApiReport) -> tuple[Mark, str]:
    (finding,) = report.findings
    return finding.mark, finding.text


def said(report: TaskApiReport, subject: str) -> tuple[Mark, str]:
    (finding,) = [finding for finding in report.findings if finding.subject == subject]
    return finding.mark, finding.text


def test_it_asks_what_the_service_asks_first(server: ScriptedServer, look: Look) -> None:
    report = look(server.url)
    (request,) = server.requests
    assert request.target == f"/api/ai-tasks/pending?limit={FIRST_LIMIT}"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert said(report, "task API") == (
        Mark.OK,
        f"{server.url}/api/ai-tasks/pending answers, and takes API_TOKEN",
    )
    assert said(report, "tasks") == (Mark.OK, "none is pending (asked for 2,000)")
    assert TOKEN not in repr(report.findings)


def test_it_asks_with_the_path_the_share_and_the_long_poll_of_the_settings(
    server: ScriptedServer, look: Look
) -> None:
    look(
        server.url,
        api_pending_path="/jobs?kind=ai",
        shard_count=3,
        poll_wait_seconds=20,
        concurrency_limit=1,
        batch_max_tasks=50,
        api_token=None,
    )
    (request,) = server.requests
    assert request.target == "/jobs?kind=ai&limit=600&wait=1"
    assert "authorization" not in request.headers


def test_what_is_in_the_journal_is_asked_for_again_and_not_taken(server: ScriptedServer, look: Look) -> None:
    server.script = lambda _: page_of([flat_task("1", "a"), flat_task("2", "b")])
    held = JournalTasks({"1": TaskState.READY, "3": TaskState.FINISHED})
    report = look(server.url, held)
    # One waits to run, so there is room for one less; two are listed until they are reported.
    assert server.requests[0].target.endswith("?limit=2001")
    assert said(report, "tasks")[1] == ("2 listed (asked for 2,001): 1 to be done, 1 in the journal already")


@pytest.mark.parametrize("body", [b"", b"null", b"[]"])
@pytest.mark.parametrize("status", [200, 204])
def test_nothing_pending_may_be_said_in_several_ways(look: Look, status: int, body: bytes) -> None:
    with ScriptedServer(lambda _: Answer(status, b"" if status == 204 else body)) as server:
        assert [finding.mark for finding in look(server.url).findings] == [Mark.OK, Mark.OK]


@pytest.mark.parametrize("name", ["tasks", "data", "items", "results", "content"])
def test_a_page_under_a_name_is_a_page(server: ScriptedServer, look: Look, name: str) -> None:
    server.script = lambda _: Answer(200, orjson.dumps({name: [flat_task("1", "a")]}))
    assert said(look(server.url), "tasks") == (Mark.OK, "1 listed (asked for 2,000): 1 to be done")


def test_tasks_that_would_not_be_done_are_counted_with_their_reasons(
    server: ScriptedServer, look: Look
) -> None:
    good = [flat_task(str(number), "a") for number in range(3)]
    empty = [flat_task(f"empty-{number}", " ") for number in range(2)]
    unknown = {**flat_task("x", "a"), "type": "translation"}
    done = {**flat_task("y", "a"), "status": "succeeded"}
    server.script = lambda _: page_of([*good, *empty, unknown, done, 7])
    report = look(server.url)
    mark, text = said(report, "tasks")
    assert mark is Mark.WARNING
    assert text.startswith(
        "8 listed (asked for 2,000): 3 to be done, 3 to be FAILED, 2 to be left as they are; 2 x input:"
    )
    assert "unknown task type 'translation'" in text
    left = look(server.url, unknown_task_policy=UnknownTaskPolicy.LEAVE)
    assert "2 to be FAILED, 3 to be left as they are" in said(left, "tasks")[1]


def test_a_share_of_the_tasks_is_of_other_replicas(server: ScriptedServer, look: Look) -> None:
    good = [flat_task(str(number), "a") for number in range(20)]
    empty = [flat_task(f"empty-{number}", " ") for number in range(20)]
    server.script = lambda _: page_of([*good, *empty])
    texts = [said(look(server.url, shard_count=2, shard_index=share), "tasks")[1] for share in (0, 1)]
    for words in ("to be done", "to be FAILED"):
        assert sum(int(found[1]) for text in texts for found in re.finditer(rf"(\d+) {words}", text)) == 20
    assert all("of other replicas" in text for text in texts)


def test_models_that_tasks_ask_for_are_told(server: ScriptedServer, look: Look) -> None:
    tasks = [flat_task(str(number), "a") for number in range(3)]
    for task in tasks[:2]:
        task["input_data"]["model"] = "nomic"
    server.script = lambda _: page_of(tasks)
    assert look(server.url).models.most_common(1) == [("nomic", 2)]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_limit_that_is_too_much_is_halved_as_the_service_halves(
    server: ScriptedServer, look: Look, status: int
) -> None:
    def max_are_600(request: Request) -> Answer:
        limit = int(request.target.partition("limit=")[2])
        return Answer(status, b'{"detail":"limit <= 600"}') if limit > 600 else Answer(200, b"[]")

    server.script = max_are_600
    report = look(server.url)
    assert [int(request.target.partition("limit=")[2]) for request in server.requests] == [2000, 1000, 500]
    mark, text = said(report, "limit")
    assert mark is Mark.NOTE
    assert "2,000 tasks in one page are too many" in text
    assert "limit <= 600" in text
    assert "it takes 500" in text
    assert said(report, "tasks")[0] is Mark.OK


def test_a_refusal_of_every_limit_is_told_once(server: ScriptedServer, look: Look) -> None:
    server.script = lambda _: Answer(400, b'{"error":"no such parameter"}')
    mark, text = only(look(server.url))
    assert mark is Mark.FAILED
    assert "no such parameter" in text
    assert "(the same with every limit from 2,000 to 1)" in text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(401, b'{"error":"who are you"}'), 'status 401: {"error":"who are you"}: check API_TOKEN'),
        (Answer(403, b'{"error":"not you"}'), 'status 403: {"error":"not you"}: check API_TOKEN'),
        (Answer(404, b'{"error":"no route"}'), "check API_BASE_URL and API_PENDING_PATH"),
        (Answer(503, b'{"error":"soon"}'), "status 503"),
        (Answer(404, b""), "status 404 without a body: check API_BASE_URL"),
        (
            Answer(302, b"", {"Location": "https://login.example/start?next=secret"}),
            "'https://login.example/start'",
        ),
        (Answer(200, b"<html><title>Sign in</title></html>", {"Content-Type": "text/html"}), "'Sign in'"),
        (Answer(200, b'{"error":"down"}'), "the page is no list"),
        (NO_ANSWER, "closed the connection without an answer"),
    ],
)
def test_trouble_is_said_in_the_words_of_the_service(
    server: ScriptedServer, look: Look, answer: Answer, words: str
) -> None:
    server.script = lambda _: answer
    mark, text = only(look(server.url))
    assert mark is Mark.FAILED
    assert words in text
    assert "secret" not in text
    assert text.endswith("; the service asks again and again, and gets no task")


def test_shed_load_is_a_warning(server: ScriptedServer, look: Look) -> None:
    server.script = lambda _: Answer(429, b'{"error":"slow down"}', {"Retry-After": "1"})
    mark, text = only(look(server.url))
    assert (mark, "the service waits, and asks again" in text) == (Mark.WARNING, True)


def test_an_api_that_never_answers_takes_no_longer_than_a_moment(
    server: ScriptedServer, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_api, "MAX_REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(task_api, "MAX_SEARCH_SECONDS", 0.1)

    def hang(_: Request) -> Answer:
        server.closing.wait(5)
        return NO_ANSWER

    server.script = hang
    mark, text = only(look(server.url))
    assert mark is Mark.FAILED
    assert "within 0.2 s" in text
    assert "(the service waits for 30 s, REQUEST_TIMEOUT)" in text
    assert len(server.requests) == 1


def test_the_proxy_on_the_way_is_named(
    server: ScriptedServer, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StubProxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@{proxy.address}")
        report = look(server.url)
        assert f"answers by way of the proxy {proxy.address} of HTTP_PROXY" in said(report, "task API")[1]
        assert "secret" not in repr(report.findings)
        assert len(proxy.heads) == 1
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert "proxy" not in said(look(server.url), "task API")[1]
        assert len(proxy.heads) == 1


def test_a_dead_proxy_is_named(server: ScriptedServer, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    mark, text = only(look(server.url))
    assert mark is Mark.FAILED
    assert "cannot connect to the proxy 127.0.0.1:9 of HTTP_PROXY" in text
    assert server.requests == []


def test_a_ca_of_ones_own_is_used(look: Look) -> None:
    with ScriptedServer(lambda _: Answer(200, b"[]"), tls=server_context()) as server:
        mark, text = only(look(server.url))
        assert (mark, "no TLS with" in text) == (Mark.FAILED, True)
        assert look(server.url, api_ca_file=CA).findings[0].mark is Mark.OK


def test_a_ca_that_cannot_be_read_is_a_fault_of_the_setting(
    server: ScriptedServer, look: Look, tmp_path: Path
) -> None:
    report = look(server.url, api_ca_file=tmp_path / "none.pem")
    (finding,) = report.findings
    assert (finding.mark, finding.subject) == (Mark.FAILED, "API_CA_FILE")


def test_a_token_endpoint_that_refuses_is_told_from_the_api(server: ScriptedServer, look: Look) -> None:
    server.script = lambda request: (
        Answer(401, b'{"error":"invalid_client"}') if request.method == "POST" else Answer(200, b"[]")
    )
    oauth = {
        "api_token": None,
        "api_oauth2_token_url": f"{server.url}/token",
        "api_oauth2_client_id": "us",
        "api_oauth2_client_secret": SecretStr(TOKEN),
    }
    mark, text = only(look(server.url, **oauth))
    assert mark is Mark.FAILED
    assert f"the token endpoint {server.url}/token" in text
    assert "check API_OAUTH2_CLIENT_ID" in text
    assert server.seen("GET") == []
    assert TOKEN not in text
    server.script = lambda request: Answer(
        200, b'{"access_token":"t","token_type":"bearer"}' if request.method == "POST" else b"[]"
    )
    assert f"takes the token of {server.url}/token" in said(look(server.url, **oauth), "task API")[1]
