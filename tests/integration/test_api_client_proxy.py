"""The task API behind a proxy of the environment."""

import socket

import pytest

from supervisor.task_api.http.route import choose_tls_files
from supervisor.task_api.responses import Health, PollAnswer, PollRequest, PollResult, ReportOutcome
from tests.integration.api_caller import api_caller
from tests.stubs.proxy import StubProxy
from tests.stubs.scripted_http import Answer, ScriptedServer
from tests.stubs.tls import CA, server_context

PASSWORD = "proxy-password-5e8a"
LOGIN_NEEDED = (
    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
)
FILTERED = b"<html><title>Filtered</title></html>"
FORBIDDEN = b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n%b" % (len(FILTERED), FILTERED)


def ask(url: str, environ: dict[str, str], timeout_seconds: float = 5.0) -> PollAnswer:
    """Poll and report. The report fails as the poll does."""
    tls = choose_tls_files(CA, None, None, {})
    with api_caller(url, timeout_seconds=timeout_seconds, environ=environ, tls=tls) as client:
        answer = client.get_pending_tasks(PollRequest(1))
        report = client.update_task("1", b"{}", "c")
    if answer.result is PollResult.EMPTY:
        assert report.outcome is ReportOutcome.DONE
    else:
        assert report.outcome in (ReportOutcome.RETRY, ReportOutcome.FOREIGN)
        assert report.health is Health.UNHEALTHY
    assert PASSWORD not in answer.detail + report.detail
    return answer


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_plain_requests_go_through_the_proxy(name: str) -> None:
    with ScriptedServer(lambda _: Answer(200, b"[]")) as server, StubProxy() as proxy:
        environ = {name: f"http://user:{PASSWORD}@{proxy.address}"}
        assert ask(server.url, environ).result is PollResult.EMPTY
        assert proxy.heads[0].startswith(f"GET {server.url}/api/ai-tasks/pending?limit=1 HTTP/1.1")
        assert "Proxy-Authorization: Basic" in proxy.heads[0]


@pytest.mark.parametrize("value", ["http://{}", "{}"])
def test_tls_goes_through_a_tunnel(value: str) -> None:
    with ScriptedServer(lambda _: Answer(200, b"[]"), tls=server_context()) as server, StubProxy() as proxy:
        assert ask(server.url, {"HTTPS_PROXY": value.format(proxy.address)}).result is PollResult.EMPTY
        assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{server.server_port} HTTP/1.1")
        assert "Authorization" not in proxy.heads[0]


def test_no_proxy_is_gone_around(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(lambda _: Answer(200, b"[]")) as server, StubProxy(FORBIDDEN) as proxy:
        for exempt in ("*", "127.0.0.1", "10.0.0.0/8, 127.0.0.0/8", f"127.0.0.1:{server.server_port}"):
            environ = {"HTTP_PROXY": proxy.address, "NO_PROXY": exempt}
            assert ask(server.url, environ).result is PollResult.EMPTY
        # Libcurl itself must not look at the environment.
        monkeypatch.setenv("http_proxy", proxy.address)
        monkeypatch.setenv("all_proxy", proxy.address)
        assert ask(server.url, {}).result is PollResult.EMPTY
        monkeypatch.setenv("no_proxy", "*")
        assert ask(server.url, {"HTTP_PROXY": proxy.address}).result is not PollResult.EMPTY
        assert proxy.heads


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("refusal", [LOGIN_NEEDED, FORBIDDEN], ids=["407", "403"])
def test_refusal_of_the_proxy_names_the_proxy(tls: bool, refusal: bytes) -> None:
    name, scheme = ("HTTPS_PROXY", "https") if tls else ("HTTP_PROXY", "http")
    with StubProxy(refusal) as proxy:
        environ = {name: f"http://user:{PASSWORD}@{proxy.address}"}
        answer = ask(f"{scheme}://api.test:9", environ)
        assert answer.result in (PollResult.UNREACHABLE, PollResult.FOREIGN)
        assert answer.health is Health.UNHEALTHY
        assert f"the proxy {proxy.address} of {name}" in answer.detail
        assert str(int(refusal.split(b" ")[1])) in answer.detail


def test_proxy_that_cannot_be_reached_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for url, name in (("http://api.test", "HTTP_PROXY"), ("https://api.test", "HTTPS_PROXY")):
        answer = ask(url, {name: f"http://user:{PASSWORD}@127.0.0.1:{port}"})
        assert answer.result is PollResult.UNREACHABLE
        assert f"cannot connect to the proxy 127.0.0.1:{port} of {name}" in answer.detail
        assert answer.detail.endswith(f": check {name}")


def test_proxy_whose_name_does_not_resolve_is_named() -> None:
    answer = ask("https://api.test", {"HTTPS_PROXY": "http://proxy.invalid:3128"})
    assert answer.result is PollResult.UNREACHABLE
    host = "the proxy proxy.invalid:3128 of HTTPS_PROXY"
    assert answer.detail == f"cannot resolve the host of {host}: check HTTPS_PROXY"


def test_proxy_that_hangs_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        answer = ask("https://api.test", {"HTTPS_PROXY": f"127.0.0.1:{port}"}, timeout_seconds=0.3)
    assert answer.result in (PollResult.UNREACHABLE, PollResult.TIMEOUT)
    assert f"the proxy 127.0.0.1:{port} of HTTPS_PROXY" in answer.detail
