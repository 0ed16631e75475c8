"""Tokens of OAuth 2.0: fetched before they are needed, never in a hot loop."""

import base64
import itertools
from collections.abc import Callable
from urllib.parse import parse_qs, unquote_plus

import orjson
import pytest
from pydantic import SecretStr

from supervisor.task_api.http.exchange import Credential, Exchange, FailedStep, NoResponse, Response, Withheld
from supervisor.task_api.http.route import Target
from supervisor.task_api.http.transfer import Request
from supervisor.task_api.oauth2 import ClientCredentials, OAuth2Tokens
from tests.fakes.clock import Clock

URL = "https://id.test/oauth/token"
SECRET = "s3cret+/ %"
CREDENTIALS = ClientCredentials(URL, "the client", SecretStr(SECRET), "read write", "https://api.test/")
MAX_FETCHES_AN_HOUR = 80


class Endpoint:
    """The token endpoint: what it was asked, and what it answers."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.requests: list[Request] = []
        self.waiting: list[Request] = []

    def put(self, request: Request) -> None:
        self.requests.append(request)
        self.waiting.append(request)

    def answer(self, body: object, status: int = 200, **headers: str) -> None:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.give(Response(status, names, data, True, self.clock(), 0.0))

    def give(self, got: Exchange) -> None:
        self.waiting.pop(0).on_done(got)

    def grant(self, token: str = "token-1", **fields: object) -> None:
        self.answer({"access_token": token, "token_type": "bearer", "expires_in": 300, **fields})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoint(clock: Clock) -> Endpoint:
    return Endpoint(clock)


@pytest.fixture
def tokens(endpoint: Endpoint, clock: Clock) -> OAuth2Tokens:
    return OAuth2Tokens(
        CREDENTIALS, Target("API_OAUTH2_TOKEN_URL", "id.test", None), endpoint.put, 5.0, clock
    )


def obtain(tokens: OAuth2Tokens) -> list[Credential]:
    """What a request gets; empty as long as it waits."""
    got: list[Credential] = []
    tokens.obtain(got.append)
    return got


def withheld(tokens: OAuth2Tokens) -> Withheld:
    (got,) = obtain(tokens)
    assert isinstance(got, Withheld)
    return got


def fail(endpoint: Endpoint, answer: Callable[[Endpoint], None]) -> None:
    """The endpoint answers so, by however it is asked."""
    while endpoint.waiting:
        answer(endpoint)


def test_request_waits_for_the_first_token_and_all_share_it(tokens: OAuth2Tokens, endpoint: Endpoint) -> None:
    waiting = [obtain(tokens) for _ in range(5)]
    assert waiting == [[]] * 5
    endpoint.grant()
    assert waiting == [["Bearer token-1"]] * 5
    assert obtain(tokens) == ["Bearer token-1"]
    assert len(endpoint.requests) == 1


def test_request_for_a_token_says_who_asks_for_what(tokens: OAuth2Tokens, endpoint: Endpoint) -> None:
    obtain(tokens)
    (request,) = endpoint.requests
    assert (request.url, request.kind.method) == (URL, "POST")
    assert "Content-Type: application/x-www-form-urlencoded" in request.kind.headers
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["read write"],
        "audience": ["https://api.test/"],
    }
    (header,) = request.headers
    pair = base64.b64decode(header.removeprefix("Authorization: Basic ")).decode()
    assert [unquote_plus(part) for part in pair.split(":")] == ["the client", SECRET]


def test_token_is_renewed_while_it_is_still_good(
    tokens: OAuth2Tokens, endpoint: Endpoint, clock: Clock
) -> None:
    obtain(tokens)
    endpoint.grant("token-1", expires_in=300)
    clock.advance(239.0)
    assert obtain(tokens) == ["Bearer token-1"]
    assert len(endpoint.requests) == 1
    clock.advance(2.0)
    assert [obtain(tokens) for _ in range(3)] == [["Bearer token-1"]] * 3
    assert len(endpoint.requests) == 2
    endpoint.grant("token-2")
    assert obtain(tokens) == ["Bearer token-2"]


def test_token_is_used_to_its_end_where_it_cannot_be_renewed(
    tokens: OAuth2Tokens, endpoint: Endpoint, clock: Clock
) -> None:
    obtain(tokens)
    endpoint.grant(expires_in=100)
    clock.advance(81.0)
    obtain(tokens)
    endpoint.answer(b"busy", 503)
    assert obtain(tokens) == ["Bearer token-1"]
    clock.advance(18.0)
    assert "answered 503 without a token: busy" in withheld_or_waiting(tokens, endpoint).detail


def withheld_or_waiting(tokens: OAuth2Tokens, endpoint: Endpoint) -> Withheld:
    got = obtain(tokens)
    fail(endpoint, lambda at: at.answer(b"busy", 503))
    (credential,) = got
    assert isinstance(credential, Withheld)
    return credential


@pytest.mark.parametrize("life", ["300", 300, 300.9])
def test_life_of_a_token_may_be_said_in_any_way(
    tokens: OAuth2Tokens, endpoint: Endpoint, clock: Clock, life: object
) -> None:
    obtain(tokens)
    endpoint.grant(expires_in=life)
    clock.advance(301.0)
    assert obtain(tokens) == []


@pytest.mark.parametrize("life", [None, "", "soon", 0, -1, "300.5", []])
def test_token_whose_life_is_not_said_is_used_until_it_is_refused(
    tokens: OAuth2Tokens, endpoint: Endpoint, clock: Clock, life: object
) -> None:
    obtain(tokens)
    endpoint.grant(expires_in=life)
    clock.advance(86_400.0)
    assert obtain(tokens) == ["Bearer token-1"]
    assert not tokens.on_response("Bearer token-1", 200)
    assert tokens.on_response("Bearer token-1", 401)
    assert obtain(tokens) == []


@pytest.mark.parametrize("life", ["1e999", "-1e999", "NaN", "9" * 400, f'"{"9" * 400}"'])
def test_life_that_is_no_usable_number_does_not_make_the_token_useless(
    tokens: OAuth2Tokens, endpoint: Endpoint, clock: Clock, life: str
) -> None:
    obtain(tokens)
    endpoint.answer(f'{{"access_token":"t","token_type":"bearer","expires_in":{life}}}'.encode())
    clock.advance(86_400.0)
    assert obtain(tokens) == ["Bearer t"]


@pytest.mark.parametrize(
    "fields", [{}, {"token_type": "Bearer"}, {"token_type": "BearerToken"}, {"scope": "x"}]
)
def test_token_answers_of_many_kinds_are_taken(
    tokens: OAuth2Tokens, endpoint: Endpoint, fields: dict[str, str]
) -> None:
    waiting = obtain(tokens)
    endpoint.answer({"access_token": "t", "expires_in": 60, **fields})
    assert waiting == ["Bearer t"]


def test_secret_goes_into_the_body_where_the_endpoint_wants_it(
    tokens: OAuth2Tokens, endpoint: Endpoint, clock: Clock
) -> None:
    waiting = obtain(tokens)
    endpoint.answer({"error": "invalid_client"}, 401)
    assert waiting == []
    second = endpoint.requests[1]
    form = parse_qs(second.body.decode())
    assert (form["client_id"], form["client_secret"]) == (["the client"], [SECRET])
    assert second.headers == ()
    endpoint.grant()
    assert waiting == ["Bearer token-1"]
    clock.advance(301.0)
    obtain(tokens)
    assert "client_secret" in parse_qs(endpoint.requests[2].body.decode()), "that is remembered"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda at: at.answer({"error": "invalid_client"}, 401), "401 invalid_client"),
        (lambda at: at.answer({"error": "invalid_client"}, 401), "check API_OAUTH2_CLIENT_ID and"),
        (lambda at: at.answer({"error": "invalid_scope", "error_description": "no such"}, 400), "no such"),
        (lambda at: at.answer({"error": "invalid_scope"}, 400), "check API_OAUTH2_SCOPE"),
        (lambda at: at.answer({"error": "access_denied"}, 403), "check API_OAUTH2_AUDIENCE"),
        (lambda at: at.answer({"error": "odd"}, 400), "400 odd"),
        (lambda at: at.answer({"errorCode": "E0000"}, 403), '403 without a token: {"errorCode":"E0000"}'),
        (lambda at: at.answer(b"<html><title>Sign in</title>"), "an HTML page, 'Sign in'"),
        (lambda at: at.answer(b"", 302, location="https://x.test/"), "302, a redirect"),
        (lambda at: at.answer(b"busy", 503), "503 without a token: busy"),
        (lambda at: at.answer(b"[1]"), "answered 200 [1]"),
        (lambda at: at.answer(b"null"), "answered 200 null"),
        (lambda at: at.answer(b"\xff\x00"), "answered 200"),
        (lambda at: at.answer(b"[" * 60_000), "answered 200 [[["),
        (lambda at: at.answer(b'{"a":' * 10_000), 'answered 200 {"a":'),
        (lambda at: at.answer({"access_token": "two words"}), "cannot be sent in a header"),
        (lambda at: at.answer({"access_token": None}), "no token"),
        (lambda at: at.answer({"access_token": ""}), "cannot be sent in a header"),
        (
            lambda at: at.give(
                NoResponse(FailedStep.CONNECT, "cannot resolve the host of id.test", 0.0, 0.1)
            ),
            "cannot resolve the host of id.test",
        ),
    ],
)
def test_trouble_of_the_endpoint_is_said_as_its_own(
    tokens: OAuth2Tokens, endpoint: Endpoint, answer: Callable[[Endpoint], None], words: str
) -> None:
    waiting = obtain(tokens)
    fail(endpoint, answer)
    (got,) = waiting
    assert isinstance(got, Withheld)
    assert f"the token endpoint {URL}" in got.detail
    assert words in got.detail
    assert "API_OAUTH2_" in got.detail
    assert 0.0 < got.retry_after_seconds <= 1.0


def test_secret_that_the_endpoint_repeats_is_not_passed_on(tokens: OAuth2Tokens, endpoint: Endpoint) -> None:
    obtain(tokens)
    fail(
        endpoint, lambda at: at.answer({"error": "invalid_client", "error_description": f"is {SECRET}"}, 401)
    )
    assert SECRET not in withheld(tokens).detail
    endpoint.clock.advance(2.0)
    obtain(tokens)
    endpoint.grant("token-9")
    assert "token-9" not in tokens.redact("you sent token-9")


def test_endpoint_in_trouble_is_asked_ever_more_seldom(
    tokens: OAuth2Tokens, endpoint: Endpoint, clock: Clock
) -> None:
    asked_at: list[float] = []
    for _ in range(36_000):
        obtain(tokens)
        if endpoint.waiting:
            asked_at.append(clock())
        fail(endpoint, lambda at: at.answer(b"busy", 503))
        clock.advance(0.1)
    pauses = [round(later - sooner) for sooner, later in itertools.pairwise(asked_at)]
    assert pauses[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert max(pauses) <= 61


def test_retry_after_of_the_endpoint_is_obeyed(
    tokens: OAuth2Tokens, endpoint: Endpoint, clock: Clock
) -> None:
    obtain(tokens)
    endpoint.answer(b"", 429, retry_after="30")
    assert withheld(tokens).retry_after_seconds == 30.0
    clock.advance(29.0)
    assert withheld(tokens).retry_after_seconds == 1.0
    clock.advance(1.5)
    assert obtain(tokens) == []


def test_api_that_refuses_every_token_costs_few_of_them(
    tokens: OAuth2Tokens, endpoint: Endpoint, clock: Clock
) -> None:
    for number in range(36_000):
        got = obtain(tokens)
        if endpoint.waiting:
            endpoint.grant(f"token-{number}")
        for credential in got:
            if isinstance(credential, str):
                tokens.on_response(credential, 401)
        clock.advance(0.1)
    assert len(endpoint.requests) < MAX_FETCHES_AN_HOUR
    assert "the task API answers 401 to a new token" in withheld(tokens).detail


@pytest.mark.parametrize(
    ("status", "is_replaced"),
    [
        (503, True),
        (500, True),
        (429, True),
        (302, True),
        (400, True),
        (200, False),
        (403, False),
        (404, False),
    ],
)
def test_only_an_answer_to_a_known_caller_shows_that_the_token_is_good(
    tokens: OAuth2Tokens, endpoint: Endpoint, status: int, is_replaced: bool
) -> None:
    """A token that was good is not replaced within its first minute, whatever is refused with it."""
    obtain(tokens)
    endpoint.grant()
    assert not tokens.on_response("Bearer token-1", status)
    assert tokens.on_response("Bearer token-1", 401) is is_replaced


def test_api_that_refuses_some_requests_costs_a_token_a_minute(
    tokens: OAuth2Tokens, endpoint: Endpoint, clock: Clock
) -> None:
    for number in range(36_000):
        got = obtain(tokens)
        if endpoint.waiting:
            endpoint.grant(f"token-{number}", expires_in=3600)
        for credential in got:
            assert isinstance(credential, str), "the others are not held up"
            tokens.on_response(credential, 401 if number % 2 else 200)
        clock.advance(0.1)
    assert len(endpoint.requests) < MAX_FETCHES_AN_HOUR


def test_token_that_was_withdrawn_is_replaced_at_once_and_once(
    tokens: OAuth2Tokens, endpoint: Endpoint, clock: Clock
) -> None:
    obtain(tokens)
    endpoint.grant("old", expires_in=3600)
    tokens.on_response("Bearer old", 200)
    clock.advance(100.0)
    assert [tokens.on_response("Bearer old", 401) for _ in range(8)] == [True] * 8
    waiting = [obtain(tokens) for _ in range(8)]
    endpoint.grant("new")
    assert waiting == [["Bearer new"]] * 8
    assert len(endpoint.requests) == 2


def test_tokens_that_end_at_once_are_not_fetched_in_a_hot_loop(
    tokens: OAuth2Tokens, endpoint: Endpoint, clock: Clock
) -> None:
    for _ in range(600):
        obtain(tokens)
        if endpoint.waiting:
            endpoint.grant(expires_in=1)
        clock.advance(0.1)
    assert len(endpoint.requests) <= 61
