"""TLS to the task API: a CA of one's own, certificates of clients, and what is said when it fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from supervisor.task_api.http.route import TlsFiles, choose_tls_files
from supervisor.task_api.responses import Health, PollAnswer, PollRequest, PollResult, ReportOutcome
from tests.integration.api_caller import api_caller
from tests.stubs.scripted_http import Answer, ScriptedServer
from tests.stubs.tls import CA, CERTIFICATES, CLIENT_CERT, CLIENT_KEY, LOCKED_KEY, OTHER_CA, server_context

PATIENCE_SECONDS = 5.0


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda _: Answer(200, b"[]"), tls=server_context()) as server:
        yield server


def poll(url: str, tls: TlsFiles) -> PollAnswer:
    with api_caller(url, timeout_seconds=PATIENCE_SECONDS, tls=tls) as client:
        answer = client.get_pending_tasks(PollRequest(1))
        report = client.update_task("1", b"{}", "c")
    assert (report.outcome is ReportOutcome.DONE) == (answer.result is PollResult.EMPTY)
    return answer


def test_unknown_ca_is_named_and_nothing_is_sent(server: ScriptedServer) -> None:
    answer = poll(server.url, choose_tls_files(None, None, None, {}))
    assert (answer.result, answer.health) == (PollResult.UNREACHABLE, Health.UNHEALTHY)
    assert "no TLS with 127.0.0.1" in answer.detail
    assert "certificate" in answer.detail
    assert answer.detail.endswith(": check API_CA_FILE")
    assert not answer.too_much
    assert server.requests == []


def test_ca_of_the_setting_is_trusted_beside_the_others(server: ScriptedServer) -> None:
    beside = choose_tls_files(CA, None, None, {"SSL_CERT_FILE": str(OTHER_CA)})
    assert poll(server.url, beside).result is PollResult.EMPTY
    other = choose_tls_files(OTHER_CA, None, None, {"SSL_CERT_FILE": str(CA)})
    assert poll(server.url, other).result is PollResult.EMPTY


def test_ssl_cert_file_takes_the_place_of_the_systems(server: ScriptedServer) -> None:
    assert poll(server.url, choose_tls_files(None, None, None, {"SSL_CERT_FILE": str(CA)})).result is (
        PollResult.EMPTY
    )
    assert poll(server.url, choose_tls_files(None, None, None, {"SSL_CERT_FILE": str(OTHER_CA)})).result is (
        PollResult.UNREACHABLE
    )


def test_name_that_is_not_the_certificates_is_refused(server: ScriptedServer) -> None:
    answer = poll(server.url.replace("127.0.0.1", "127.0.0.2"), choose_tls_files(CA, None, None, {}))
    assert answer.result is PollResult.UNREACHABLE
    assert answer.detail.endswith(": check API_BASE_URL")


@pytest.mark.parametrize("one_file", [False, True])
def test_certificate_of_the_client_is_shown(one_file: bool, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(CLIENT_CERT.read_bytes() + CLIENT_KEY.read_bytes())
    cert, key = (both, None) if one_file else (CLIENT_CERT, CLIENT_KEY)
    with ScriptedServer(lambda _: Answer(200, b"[]"), tls=server_context(wants_client=True)) as server:
        assert poll(server.url, choose_tls_files(CA, cert, key, {})).result is PollResult.EMPTY
        assert poll(server.url, choose_tls_files(CA, None, None, {})).result is PollResult.UNREACHABLE


def test_server_that_speaks_no_tls_is_named() -> None:
    with ScriptedServer(lambda _: Answer(200, b"[]")) as server:
        answer = poll(server.url.replace("http:", "https:"), choose_tls_files(None, None, None, {}))
    assert answer.result is PollResult.UNREACHABLE
    assert "no TLS with" in answer.detail


@pytest.mark.parametrize(
    ("extra_ca", "cert", "key", "setting"),
    [
        (Path("/nowhere.pem"), None, None, "API_CA_FILE"),
        (CERTIFICATES, None, None, "API_CA_FILE"),
        (CLIENT_KEY, None, None, "API_CA_FILE"),
        (None, Path("/nowhere.pem"), None, "API_CLIENT_CERT"),
        (None, CLIENT_CERT, None, "API_CLIENT_CERT"),
        (None, CLIENT_KEY, None, "API_CLIENT_CERT"),
        (None, CLIENT_CERT, Path("/nowhere.pem"), "API_CLIENT_KEY"),
        (None, CLIENT_CERT, CERTIFICATES / "server.pem", "API_CLIENT_KEY"),
        (None, CLIENT_CERT, LOCKED_KEY, "API_CLIENT_KEY"),
    ],
)
def test_file_that_cannot_be_used_is_a_fault_of_its_setting(
    extra_ca: Path | None, cert: Path | None, key: Path | None, setting: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{setting}: "):
        choose_tls_files(extra_ca, cert, key, {})
