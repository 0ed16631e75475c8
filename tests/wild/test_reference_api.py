"""Row C: the reference task API answers as real ones do."""

import http.client
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from examples.task_api.server import TaskApiServer
from tests.acceptance.service import Json


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TaskApiServer]:
    with TaskApiServer(tmp_path / "tasks.sqlite3") as running:
        yield running


def ask(
    server: TaskApiServer, method: str, path: str, body: Json | None = None
) -> tuple[http.client.HTTPResponse, Json]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    try:
        connection.request(
            method,
            path,
            None if body is None else orjson.dumps(body),
            {"Content-Type": "application/json"},
        )
        response = connection.getresponse()
        raw = response.read()
        return response, orjson.loads(raw) if raw else {}
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/api/ai-tasks/pending", {"GET", "OPTIONS"}), ("/api/ai-tasks/task-1", {"GET", "PATCH", "OPTIONS"})],
)
def test_c_options_lists_what_is_allowed(server: TaskApiServer, path: str, methods: set[str]) -> None:
    response, _ = ask(server, "OPTIONS", path)
    assert response.status in (200, 204)
    allowed = {method.strip() for method in (response.getheader("Allow") or "").split(",")}
    assert methods <= allowed


def test_c_report_in_the_other_shape_is_refused_and_changes_nothing(server: TaskApiServer) -> None:
    response, task = ask(
        server, "POST", "/api/ai-tasks", {"type": "text-embedding", "input_data": {"text": "a"}}
    )
    assert response.status == 201
    path = f"/api/ai-tasks/{task['id']}"
    refused, told = ask(server, "PATCH", path, {"state": "succeeded", "result": [1.0]})
    assert refused.status == 400
    assert told["error"]
    _, after = ask(server, "GET", path)
    assert after["status"] == "pending"
