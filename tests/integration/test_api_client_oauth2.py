"""Requests to the task API with tokens of a token endpoint."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
import pytest
from pydantic import SecretStr

from supervisor.task_api.http.route import Target
from supervisor.task_api.http.wire import Wire
from supervisor.task_api.oauth2 import ClientCredentials, OAuth2Tokens
from supervisor.task_api.responses import Health, PollRequest, PollResult, ReportOutcome
from tests.integration.api_caller import ApiCaller, api_caller
from tests.stubs.scripted_http import Answer, Request, ScriptedServer

SECRET = "client-secret-93d1"


class TokenEndpoint:
    """Grants `token-1`, `token-2` and so on. `refused` are those that the API does not take."""

    def __init__(self) -> None:
        self.granted = 0
        self.answer: Callable[[], Answer] = self.grant
        self.refused: set[str] = set()

    def grant(self) -> Answer:
        self.granted += 1
        token = {"access_token": f"token-{self.granted}", "token_type": "bearer", "expires_in": 3600}
        return Answer(200, orjson.dumps(token))

    def token_endpoint(self, _: Request) -> Answer:
        return self.answer()

    def task_api(self, request: Request) -> Answer:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return Answer(401, b"{}") if not token or token in self.refused else Answer(200, b"[]")


@pytest.fixture
def endpoint() -> TokenEndpoint:
    return TokenEndpoint()


@pytest.fixture
def servers(endpoint: TokenEndpoint) -> Iterator[tuple[ScriptedServer, ScriptedServer]]:
    """The task API, and the token endpoint."""
    with ScriptedServer(endpoint.task_api) as api, ScriptedServer(endpoint.token_endpoint) as tokens:
        yield api, tokens


@contextmanager
def caller(servers: tuple[ScriptedServer, ScriptedServer]) -> Iterator[ApiCaller]:
    api, endpoint = servers

    def authorization(wire: Wire) -> OAuth2Tokens:
        credentials = ClientCredentials(f"{endpoint.url}/token", "client", SecretStr(SECRET))
        target = Target("API_OAUTH2_TOKEN_URL", endpoint.url, None)
        return OAuth2Tokens(credentials, target, wire.new_queue(1).put, 0.5)

    with api_caller(api.url, authorization, timeout_seconds=5.0) as client:
        yield client


def test_one_token_serves_polls_and_reports(
    servers: tuple[ScriptedServer, ScriptedServer], endpoint: TokenEndpoint
) -> None:
    with caller(servers) as client:
        waiting = [client.begin_update(str(number), b"{}", "c") for number in range(20)]
        assert client.get_pending_tasks(PollRequest(1)).result is PollResult.EMPTY
        assert {wait().outcome for wait in waiting} == {ReportOutcome.DONE}
    assert endpoint.granted == 1


def test_token_that_was_withdrawn_is_replaced_without_a_failure(
    servers: tuple[ScriptedServer, ScriptedServer],
    endpoint: TokenEndpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("supervisor.task_api.oauth2.SECOND_TOKEN_SECONDS", 0.0)
    monkeypatch.setattr("supervisor.task_api.oauth2.FIRST_WAIT_SECONDS", 0.0)
    with caller(servers) as client:
        assert client.update_task("1", b"{}", "c").outcome is ReportOutcome.DONE
        endpoint.refused.add("token-1")
        waiting = [client.begin_update(str(number), b"{}", "c") for number in range(20)]
        assert {wait().outcome for wait in waiting} == {ReportOutcome.DONE}
    assert endpoint.granted == 2


def test_api_that_refuses_all_tokens_is_said_and_costs_one_now(
    servers: tuple[ScriptedServer, ScriptedServer], endpoint: TokenEndpoint
) -> None:
    endpoint.refused |= {f"token-{number}" for number in range(100)}
    with caller(servers) as client:
        for _ in range(20):
            poll = client.get_pending_tasks(PollRequest(1))
            report = client.update_task("1", b"{}", "c")
    assert endpoint.granted == 1
    assert (poll.result, poll.health) == (PollResult.UNAUTHORIZED, Health.UNKNOWN)
    assert "the task API answers 401 to a new token: check API_OAUTH2_SCOPE" in poll.detail
    assert (report.outcome, report.health) == (ReportOutcome.RETRY, Health.UNKNOWN)
    assert report.retry_after_seconds is not None
    assert len(servers[0].requests) == 1, "nothing is sent without a token"


def test_endpoint_that_refuses_for_good_is_asked_once_by_each_way_now(
    servers: tuple[ScriptedServer, ScriptedServer], endpoint: TokenEndpoint
) -> None:
    endpoint.answer = lambda: Answer(401, b'{"error":"invalid_client"}')
    with caller(servers) as client:
        for _ in range(20):
            poll = client.get_pending_tasks(PollRequest(1))
            report = client.update_task("1", b"{}", "c")
    assert len(servers[1].requests) == 2
    assert servers[0].requests == []
    for detail in (poll.detail, report.detail):
        assert f"the token endpoint {servers[1].url}/token answered 401 invalid_client" in detail
        assert "check API_OAUTH2_CLIENT_ID and API_OAUTH2_CLIENT_SECRET" in detail
        assert SECRET not in detail


def test_slow_endpoint_is_given_up_and_named(
    servers: tuple[ScriptedServer, ScriptedServer], endpoint: TokenEndpoint
) -> None:
    def drip() -> Iterator[bytes]:
        while not servers[1].closing.wait(0.02):
            yield b" "

    endpoint.answer = lambda: Answer(200, drip(), {"Content-Length": "50000"})
    with caller(servers) as client:
        poll = client.get_pending_tasks(PollRequest(1))
    assert (poll.result, poll.health) == (PollResult.UNAUTHORIZED, Health.UNKNOWN)
    assert "did not answer (no whole answer of" in poll.detail
    assert "within 0.5 s" in poll.detail


def test_page_in_place_of_a_token_is_named(
    servers: tuple[ScriptedServer, ScriptedServer], endpoint: TokenEndpoint
) -> None:
    endpoint.answer = lambda: Answer(200, b"<!doctype html><title>Sign in</title>" + b"x" * 500_000)
    with caller(servers) as client:
        assert "an HTML page, 'Sign in'" in client.get_pending_tasks(PollRequest(1)).detail
