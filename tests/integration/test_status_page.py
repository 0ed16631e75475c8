"""The status page and `/status`, from the real server."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import orjson
import pytest
from pydantic import TypeAdapter

from shared.errors import RetryReason
from supervisor.status.status import Idle, Status
from tests.fakes.harness import Harness
from tests.integration.status_server import StatusServer, status_server
from tests.unit.supervisor.console.page.found import Found
from tests.unit.supervisor.status.statuses import WORKING

SCHEMA = Path(__file__).parents[2] / "docs" / "status.schema.json"
TEXT = "text of"
"""How the texts of a harness's tasks begin."""


@pytest.fixture
def server() -> Iterator[StatusServer]:
    with status_server() as server:
        yield server


@pytest.fixture
def lived() -> Status:
    """Of a service that has seen a success, a failure, a death and a refused key."""
    harness = Harness()
    harness.start_workers()
    harness.list_tasks("good", "bad", "poison", "waits", "unlucky")
    slots = {unit.tasks[0].id: slot for slot, unit in harness.held.items()}
    harness.finish(slots["good"])
    harness.fail(slots["bad"], "cannot embed 'text of bad'")
    harness.serve_canaries()
    harness.die(slots["poison"])
    harness.fail(slots["unlucky"], "Incorrect API key provided.", retry=RetryReason.UNAUTHORIZED)
    return harness.status


def test_status_is_as_its_schema_says(server: StatusServer, lived: Status) -> None:
    schema = orjson.loads(SCHEMA.read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for status in (lived, WORKING, *(replace(WORKING, idle=reason) for reason in Idle)):
        server.publish(status)
        code, headers, body = server.get("/status")
        assert (code, headers["Content-Type"]) == (200, "application/json")
        validator.validate(orjson.loads(body))
    assert not validator.is_valid({**orjson.loads(body), "idle": "lazy"})


def test_status_read_back_is_the_status(server: StatusServer, lived: Status) -> None:
    server.publish(lived)
    read = TypeAdapter(Status).validate_json(server.get("/status")[2])
    assert replace(read, loop_silent_seconds=0.0) == lived


def test_page_and_status_show_no_text_of_a_task(server: StatusServer, lived: Status) -> None:
    server.publish(lived)
    for path in ("/", "/status"):
        body = server.get(path)[2].decode()
        assert "cannot embed" in body
        assert TEXT not in body


def test_page_says_first_what_is_wrong(server: StatusServer, lived: Status) -> None:
    server.publish(lived)
    code, headers, body = server.get("/")
    assert (code, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    text = Found(body.decode().partition("<main")[2]).text
    assert text.index("the key is not accepted") < text.index("Throughput")
    for shown in ("“Incorrect API key provided.”", "SIGKILL", "cannot embed '[text]'"):
        assert shown in text


def test_page_before_the_first_look_says_that_the_service_starts(server: StatusServer) -> None:
    code, _, body = server.get("/")
    assert code == 200
    assert "<h1>Starting</h1>" in body.decode()


def test_pages_policy_is_strict_and_that_of_the_rest_lets_nothing_in(server: StatusServer) -> None:
    server.publish(WORKING)
    page = server.get("/")[1]["Content-Security-Policy"]
    assert page.startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in page
    for path in ("/status", "/metrics", "/health", "/ready", "/nothing"):
        headers = server.get(path)[1]
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Frame-Options"] == "DENY"
