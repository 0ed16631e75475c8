"""What `check` says of the operations that not every task API has, and that it changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from examples.task_api.server import TaskApiServer
from shared.settings import ClaimMode, Settings
from supervisor.console.preflight.finding import Finding, Mark
from supervisor.console.preflight.operations import look_at_operations
from tests.builders import PROCESSORS
from tests.stubs.scripted_http import Answer, Request, ScriptedServer

ALL = {"claim_mode": ClaimMode.BATCH, "bulk_reports": 100}


def look(url: str, **fields: object) -> list[Finding]:
    given = {"api_base_url": url, "openai_api_key": SecretStr("sk-test-1"), **fields}
    return list(look_at_operations(Settings.model_validate(given), PROCESSORS))


@pytest.fixture
def reference_api(tmp_path: Path) -> Iterator[TaskApiServer]:
    with TaskApiServer(tmp_path / "tasks.sqlite3") as server:
        yield server


def test_the_reference_api_has_them_all(reference_api: TaskApiServer) -> None:
    findings = look(reference_api.url, **ALL)
    assert [(each.mark, each.subject) for each in findings] == [
        (Mark.OK, "CLAIM_MODE"),
        (Mark.OK, "CLAIM_LEASE_SECONDS"),
        (Mark.OK, "BULK_REPORTS"),
    ]


def test_only_what_the_service_would_use_is_asked_for(reference_api: TaskApiServer) -> None:
    assert look(reference_api.url) == []
    assert [each.subject for each in look(reference_api.url, bulk_reports=10)] == ["BULK_REPORTS"]
    assert [each.subject for each in look(reference_api.url, claim_tasks=True)] == ["CLAIM_LEASE_SECONDS"]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_what_an_api_lacks_is_told_with_what_the_service_does_instead(status: int) -> None:
    with ScriptedServer(lambda _: Answer(status, b'{"error":"no"}')) as server:
        findings = look(server.url, **ALL)
    assert {each.mark for each in findings} == {Mark.WARNING}
    assert [each.text.partition("; ")[2] for each in findings] == [
        "the service claims each task alone",
        "the service takes it that claims have no end",
        "the service reports each result alone",
    ]


def test_an_odd_answer_is_told_as_it_is() -> None:
    with ScriptedServer(lambda _: Answer(503, b"busy")) as server:
        findings = look(server.url, **ALL)
    assert all("503" in each.text and each.mark is Mark.WARNING for each in findings)


def test_no_task_is_named_and_a_claim_would_last_a_second() -> None:
    asked: list[Request] = []

    def answer(request: Request) -> Answer:
        asked.append(request)
        return Answer(200, b"[]")

    with ScriptedServer(answer) as server:
        look(server.url, **ALL)
    assert [request.target for request in asked] == [
        "/api/ai-tasks/claim?limit=0",
        "/api/ai-tasks/renew",
        "/api/ai-tasks",
    ]
    assert [request.body for request in asked] == [b"", b'{"ids":[]}', b"[]"]
    assert asked[0].headers["x-lease-seconds"] == "1"
