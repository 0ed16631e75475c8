"""`run.py status`, asking a real server."""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from shared.errors import ConfigurationError
from shared.plain_text import is_plain
from supervisor.cli import main
from supervisor.console.status_command import fetch_status, run_status
from supervisor.runtime.process import ExitCode
from supervisor.status.status import TokensStatus
from tests.integration.status_server import status_server
from tests.stubs.scripted_http import Answer, ScriptedServer
from tests.unit.supervisor.status.statuses import WORKING


@pytest.fixture
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No setting is set and there is no `.env`."""
    for name in ("API_BASE_URL", "METRICS_HOST", "METRICS_PORT", "STATE_DIR", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_status_needs_the_port_and_no_other_setting(
    bare_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with status_server() as server:
        server.publish(WORKING)
        bare_environment.setenv("METRICS_PORT", str(server.port))
        assert main(["status"]) == ExitCode.DRAINED
    assert "Working on 100 tasks in 1 worker" in capsys.readouterr().out


def test_json_is_the_status_as_served(
    bare_environment: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with status_server() as server:
        server.publish(WORKING)
        assert main(["status", "--json", "--url", server.url]) == ExitCode.DRAINED
    assert orjson.loads(capfdbinary.readouterr().out)["backlog"] == 1203


def test_what_a_terminal_would_obey_or_hide_is_escaped_as_served_and_in_all_outputs(
    bare_environment: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    hostile = "m\x1b[2J\x9b\u202e\u200b"
    with status_server() as server:
        server.publish(replace(WORKING, tokens=(TokensStatus(hostile, 1, 2),)))
        outputs = [server.get("/status")[2]]
        for options in ([], ["--json"]):
            assert main(["status", "--url", server.url, *options]) == ExitCode.DRAINED
            outputs.append(capfdbinary.readouterr().out)
    for document in (outputs[0], outputs[2]):
        assert orjson.loads(document)["tokens"][0]["model"] == hostile
    assert all(is_plain(line) for output in outputs for line in output.decode().splitlines())


def test_no_service_is_exit_2_and_one_line_that_says_what_to_do(
    bare_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare_environment.setenv("METRICS_PORT", str(closed_port()))
    assert main(["status"]) == ExitCode.CONFIGURATION
    (line,) = capsys.readouterr().err.splitlines()
    assert "no service answers" in line
    assert "python run.py" in line


def test_starting_service_is_told_apart_from_none() -> None:
    with status_server() as server, pytest.raises(ConfigurationError, match="only starting"):
        fetch_status(server.url)


@pytest.mark.parametrize(
    "answer", [Answer(200, b"<h1>hello</h1>"), Answer(200, b'{"phase":"running"}'), Answer(404, b"no")]
)
def test_another_service_on_that_port_is_told_as_such(answer: Answer) -> None:
    with ScriptedServer(lambda _: answer) as server, pytest.raises(ConfigurationError, match="/status"):
        fetch_status(server.url)


class Interrupted:
    """Stands in for time.sleep: lets `looks` pass, then Ctrl-C."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def __call__(self, _: float) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_watching_shows_it_again_until_ctrl_c(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with status_server() as server:
        server.publish(WORKING)
        assert run_status(server.url, as_json=True, watch=True, sleep=Interrupted(2)) == ExitCode.DRAINED
    lines = capfdbinary.readouterr().out.splitlines()
    assert [orjson.loads(line)["in_flight"] for line in lines] == [100, 100, 100]


def test_watching_goes_on_while_the_service_is_away() -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(status_server())
        server.publish(WORKING)
        leave = AwayAfterOneLook(stack.close)
        assert run_status(server.url, as_json=False, watch=True, sleep=leave) == ExitCode.DRAINED
    assert leave.looks == 3


class AwayAfterOneLook:
    """Stands in for time.sleep: the service ends after the first look, Ctrl-C comes after the third."""

    def __init__(self, end_service: Callable[[], None]) -> None:
        self._end_service = end_service
        self.looks = 0

    def __call__(self, _: float) -> None:
        self.looks += 1
        self._end_service()
        if self.looks == 3:
            raise KeyboardInterrupt
