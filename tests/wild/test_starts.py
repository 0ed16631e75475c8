"""Rows of B and C about the surroundings: each fault is one readable line, before anything is paid."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.command import run_command
from tests.acceptance.service import RUN, clean_environment
from tests.eventually import eventually
from tests.stubs.scripted_http import Answer, Request, Script, ScriptedServer
from tests.wild import answers
from tests.wild.conftest import Wild
from tests.wild.world import limit_of

pytestmark = pytest.mark.slow


def test_b_host_name_of_61_characters_with_a_port_is_only_not_there(wild: Wild) -> None:
    host = "a" * 61
    service = wild.start(API_BASE_URL=f"http://{host}:8080")
    failed = service.wait_for_log("poll_failed", 30.0)
    assert service.running()
    assert host[:20] in failed["detail"]


@pytest.mark.slow
def test_b_multiprocess_directory_set_from_outside_changes_no_counter(wild: Wild, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    texts = wild.api.add(5)
    service = wild.start(PROMETHEUS_MULTIPROC_DIR=str(outside))
    wild.api.wait_until_done()
    eventually(lambda: service.metrics().sum("ai_tasks_processed_total") >= 5, what="they are counted")
    assert service.metrics().sum("ai_tasks_processed_total") == 5
    assert service.metrics().sum("openai_batch_size_sum") == 5
    wild.assert_each_succeeded_once(texts)
    assert not outside.exists()


def assert_configuration_fault(wild: Wild, folder: Path, word: str, **settings: str) -> None:
    wild.api.add(3)
    outcome = run_command(folder, "run", **wild.settings(METRICS_PORT="0", **settings))
    assert outcome.exit_code == 2, outcome
    told = [line for line in outcome.errors if word in line]
    assert told, outcome.errors
    assert not any("Traceback" in line for line in outcome.errors)
    assert wild.provider.calls == []
    assert wild.api.polls == []


def test_b_directory_in_place_of_env_file(wild: Wild, tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert_configuration_fault(wild, tmp_path, ".env")


def test_b_directory_in_place_of_a_secret_file(wild: Wild, tmp_path: Path) -> None:
    (tmp_path / "credentials" / "api_token").mkdir(parents=True)
    assert_configuration_fault(
        wild, tmp_path, "API_TOKEN", CREDENTIALS_DIRECTORY=str(tmp_path / "credentials"), API_TOKEN=""
    )


@pytest.mark.parametrize("name", ["SSL_CERT_FILE"])
def test_b_certificates_that_are_not_there(wild: Wild, tmp_path: Path, name: str) -> None:
    assert_configuration_fault(wild, tmp_path, name, **{name: str(tmp_path / "nowhere.pem")})


@pytest.mark.slow
def test_b_long_temporary_directory(wild: Wild, tmp_path: Path) -> None:
    """A socket's path has room for some hundred bytes: it works all the same, or says what to change."""
    long = tmp_path / ("t" * 100)
    long.mkdir()
    texts = wild.api.add(2)
    service = wild.start(TMPDIR=str(long))
    eventually(lambda: not wild.api.pending() or not service.running(), 20.0, "work is done, or it ends")
    if service.running():
        wild.assert_each_succeeded_once(texts)
    else:
        assert service.wait() == 2
        assert "TMPDIR" in service.errors.read_text()


def test_b_closed_standard_streams_harm_nothing(wild: Wild, tmp_path: Path) -> None:
    texts = wild.api.add(3)
    settings = wild.settings(METRICS_PORT="0", METRICS_HOST="127.0.0.1")
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'exec "$0" "$1" run <&- >&- 2>&-', sys.executable, RUN],
        cwd=tmp_path,
        env=clean_environment(settings),
        start_new_session=True,
    )
    try:
        eventually(lambda: not wild.api.pending() or process.poll() is not None, what="work is done")
        wild.assert_each_succeeded_once(texts)
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    "key",
    ["your_openai_api_key_here", "your_key", "sk-...", pytest.param("changeme", marks=pytest.mark.slow)],
)
def test_c_placeholder_of_another_project_is_no_key(wild: Wild, tmp_path: Path, key: str) -> None:
    outcome = run_command(
        tmp_path, "run", API_BASE_URL=wild.api_server.url, OPENAI_API_KEY=key, METRICS_PORT="0"
    )
    assert outcome.exit_code == 2
    assert any(line.startswith("OPENAI_API_KEY") or "OPENAI_API_KEY:" in line for line in outcome.errors)


def test_b_misspelt_name_is_said_with_what_was_meant(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("API_BASEURL=http://127.0.0.1:9\nOPENAI_APIKEY=sk-1234567890\n")
    outcome = run_command(tmp_path, "run", METRICS_PORT="0")
    told = "\n".join(outcome.errors)
    assert outcome.exit_code == 2
    assert "API_BASEURL" in told
    assert "API_BASE_URL" in told
    assert "OPENAI_APIKEY" in told
    assert "sk-1234567890" not in told


@pytest.mark.slow
def test_c_proxy_that_is_dead_is_named_for_polls(wild: Wild) -> None:
    service = wild.start(
        API_BASE_URL="http://tasks.example.test", HTTP_PROXY="http://user:secret@127.0.0.1:9", NO_PROXY="x"
    )
    detail = service.wait_for_log("poll_failed", 30.0)["detail"]
    assert "proxy" in detail.lower()
    assert "127.0.0.1:9" in detail
    assert "secret" not in service.output()


def checked(wild: Wild, folder: Path, **settings: str) -> tuple[int, str]:
    outcome = run_command(folder, "check", **wild.settings(METRICS_PORT="0", **settings))
    return outcome.exit_code, "\n".join([*outcome.lines, *outcome.errors])


def test_b_check_and_service_agree_on_an_unusual_api(wild: Wild, tmp_path: Path) -> None:
    """DRF's `results`, gzipped whatever is asked for, at most 100 a page."""

    def unusual(request: Request) -> Answer | None:
        if request.method != "GET":
            return None
        if limit_of(request) > 100:
            return answers.fastapi_limit(limit_of(request), 100)
        page = {"count": 9, "next": None, "results": wild.api.pending()[: limit_of(request)]}
        return answers.gzipped(answers.json_answer(200, page))

    wild.api.front = unusual
    code, told = checked(wild, tmp_path)
    assert code == 0, told
    texts = wild.api.add(9)
    wild.start()
    wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)


def test_b_check_takes_204_for_an_api_with_nothing_pending(wild: Wild, tmp_path: Path) -> None:
    wild.api.front = lambda _: Answer(204)
    code, told = checked(wild, tmp_path)
    assert code == 0, told


def test_b_check_finds_a_dead_proxy_that_the_service_would_use(wild: Wild, tmp_path: Path) -> None:
    code, told = checked(
        wild,
        tmp_path,
        API_BASE_URL="http://tasks.example.test",
        HTTP_PROXY="http://127.0.0.1:9",
        NO_PROXY="x",
    )
    assert code == 2
    assert "proxy" in told.lower()


def test_b_check_and_service_reach_what_only_a_proxy_reaches(wild: Wild, tmp_path: Path) -> None:
    """A proxy that knows two names that nobody else does."""

    def forward(request: Request) -> Answer:
        host, _, path = request.target.removeprefix("http://").partition("/")
        peers: dict[str, Script] = {"tasks.example.test": wild.api, "provider.example.test": wild.provider}
        return peers[host](
            Request(request.method, f"/{path}", request.headers, request.body, request.client_port)
        )

    with ScriptedServer(forward) as proxy:
        settings = {
            "API_BASE_URL": "http://tasks.example.test",
            "OPENAI_BASE_URL": "http://provider.example.test/v1",
            "HTTP_PROXY": proxy.url,
        }
        code, told = checked(wild, tmp_path, **settings)
        assert code == 0, told
        texts = wild.api.add(5)
        wild.start(**settings)
        wild.api.wait_until_done()
    wild.assert_each_succeeded_once(texts)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_b_env_file_that_may_not_be_read(wild: Wild, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=INFO\n")
    (tmp_path / ".env").chmod(0)
    assert_configuration_fault(wild, tmp_path, ".env")
