"""OAuth 2.0 client credentials (RFC 6749, section 4.4): a token for the task API, renewed before it ends."""

import base64
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from oauthlib.oauth2 import BackendApplicationClient, MissingTokenError, OAuth2Error
from pydantic import SecretStr

from shared.plain_text import one_line
from shared.retry import parse_retry_after
from supervisor.task_api.foreign import foreign_sign
from supervisor.task_api.http.exchange import Credential, Exchange, FixedToken, NoResponse, Response, Withheld
from supervisor.task_api.http.route import Target
from supervisor.task_api.http.transfer import Request, RequestKind

MAX_ANSWER_BYTES = 64 * 1024
MAX_WORDS_CHARACTERS = 160
FIRST_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0
RENEWAL_MARGIN_SECONDS = 60.0
RENEWAL_MARGIN_SHARE = 0.2
"""Of a token's life; the smaller margin counts."""
SECOND_TOKEN_SECONDS = 60.0
"""A token that was accepted before is replaced at most this often, whatever is refused with it."""
_TIMES_OF_LIFE = frozenset({"expires_in", "expires_at"})
_USABLE_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_BAD_REQUEST, _UNAUTHORIZED = 400, 401
_TAKEN_REFUSALS = frozenset({403, 404, 409, 410, 412, 422})
"""The API knows the caller where it answers one of these. A gateway may answer others without a look."""
_ADVICE = {
    "invalid_client": "check API_OAUTH2_CLIENT_ID and API_OAUTH2_CLIENT_SECRET",
    "unauthorized_client": "the client must be allowed the grant client_credentials",
    "invalid_scope": "check API_OAUTH2_SCOPE",
    "invalid_target": "check API_OAUTH2_AUDIENCE",
    "access_denied": "check API_OAUTH2_AUDIENCE and API_OAUTH2_SCOPE",
}
_OTHER_ADVICE = "check API_OAUTH2_TOKEN_URL"


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    token_url: str
    client_id: str
    client_secret: SecretStr
    scope: str | None = None
    audience: str | None = None


@dataclass(slots=True)
class _Token:
    value: str
    fetched_at: float
    renew_at: float
    ends_at: float
    accepted: bool = False

    @property
    def header(self) -> str:
        return f"Bearer {self.value}"


class _NoTokenError(Exception):
    """What the token endpoint answered instead. `code` is its error code, if it gave one."""

    def __init__(self, words: str, code: str = "") -> None:
        super().__init__(words)
        self.code = code


class OAuth2Tokens:
    """Owned by the wire's thread; `clock` is monotonic.

    Requests wait for a fetch that is under way. After a fetch that failed, or a token that the API never
    accepted, requests are withheld until the next fetch, after a wait that doubles.
    """

    advice = "check API_OAUTH2_SCOPE and API_OAUTH2_AUDIENCE"

    def __init__(
        self,
        credentials: ClientCredentials,
        target: Target,
        put: Callable[[Request], None],
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._put = put
        self._clock = clock
        headers = ("Content-Type: application/x-www-form-urlencoded", "Accept: application/json", "Expect:")
        self._kind = RequestKind("POST", target, headers, timeout_seconds, MAX_ANSWER_BYTES, FixedToken(""))
        self._token: _Token | None = None
        self._waiting: list[Callable[[Credential], None]] = []
        self._fetching = False
        self._secret_in_body = False
        self._style_is_known = False
        self._failures = 0
        self._next_fetch_at = clock()
        self._trouble = f"no token: the one before ended, and {credentials.token_url} is not asked more often"

    def obtain(self, use: Callable[[Credential], None]) -> None:
        now, token = self._clock(), self._token
        may_fetch = not self._fetching and now >= self._next_fetch_at
        if token is not None and now < token.ends_at:
            if may_fetch and now >= token.renew_at:
                self._fetch()
            use(token.header)
        elif self._fetching or may_fetch:
            self._waiting.append(use)
            if may_fetch:
                self._fetch()
        else:
            use(Withheld(self._trouble, self._next_fetch_at - now))

    def on_response(self, credential: str, status: int) -> bool:
        """Learn from the API's answer whether the token is good."""
        token = self._token
        if status != _UNAUTHORIZED:
            if _shows_token_is_taken(status) and token is not None and token.header == credential:
                token.accepted = True
                self._failures = 0
            return False
        if token is None or token.header != credential:
            return True
        if token.accepted and self._clock() < token.fetched_at + SECOND_TOKEN_SECONDS:
            return False
        self._token = None
        if not token.accepted:
            self._note_failure(f"the task API answers 401 to a new token: {self.advice}", None)
        return True

    def redact(self, text: str) -> str:
        secret = self._credentials.client_secret.get_secret_value()
        hidden = [secret, quote_plus(secret), *([self._token.value] if self._token else [])]
        for value in hidden:
            text = text.replace(value, "***")
        return text

    def _fetch(self) -> None:
        self._fetching = True
        given, secret = self._credentials, self._credentials.client_secret.get_secret_value()
        in_body = {"client_secret": secret} if self._secret_in_body else {}
        body = BackendApplicationClient(given.client_id).prepare_request_body(
            scope=given.scope, include_client_id=self._secret_in_body, audience=given.audience, **in_body
        )
        headers = () if self._secret_in_body else (_basic(given.client_id, secret),)
        self._put(Request(self._kind, given.token_url, self._fetched, body.encode(), headers))

    def _fetched(self, got: Exchange) -> None:
        self._fetching = False
        try:
            self._token = _read_token(got)
        except _NoTokenError as error:
            if self._may_try_other_style(got, error.code):
                self._secret_in_body = not self._secret_in_body
                self._fetch()
                return
            self._secret_in_body = self._secret_in_body and self._style_is_known
            self._note_failure(self._words(str(error), error.code), _retry_after(got))
        else:
            self._style_is_known = True
            self._next_fetch_at = max(self._next_fetch_at, self._clock() + FIRST_WAIT_SECONDS)
        waiting, self._waiting = self._waiting, []
        for use in waiting:
            self.obtain(use)

    def _may_try_other_style(self, got: Exchange, error: str) -> bool:
        """Some endpoints want the secret in the body, and answer only that they do not know the client."""
        refused = isinstance(got, Response) and got.status in (_BAD_REQUEST, _UNAUTHORIZED)
        asked_for = error in ("", "invalid_client", "invalid_request")
        return refused and asked_for and not self._style_is_known and not self._secret_in_body

    def _words(self, words: str, error: str) -> str:
        url, advice = self._credentials.token_url, _ADVICE.get(error, _OTHER_ADVICE)
        return self.redact(f"no token: the token endpoint {url} {words}: {advice}")

    def _note_failure(self, trouble: str, retry_after_seconds: float | None) -> None:
        wait = min(FIRST_WAIT_SECONDS * 2.0**self._failures, MAX_WAIT_SECONDS)
        self._failures = min(self._failures + 1, 10)
        self._next_fetch_at = self._clock() + max(wait, retry_after_seconds or 0.0)
        self._trouble = trouble


def _shows_token_is_taken(status: int) -> bool:
    return 200 <= status < 300 or status in _TAKEN_REFUSALS  # noqa: PLR2004  successes, as HTTP has it


def _basic(client_id: str, secret: str) -> str:
    # Source: RFC 6749, section 2.3.1: each is form-encoded first.
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}"


def _read_token(got: Exchange) -> _Token:
    """Raises _NoTokenError."""
    if isinstance(got, NoResponse):
        raise _NoTokenError(f"did not answer ({got.detail})")
    if sign := foreign_sign(got):
        raise _NoTokenError(f"answered {got.status} with {sign}")
    if 300 <= got.status < 400:  # noqa: PLR2004  redirects, as HTTP has it
        raise _NoTokenError(f"answered {got.status}, a redirect, which is not followed")
    text = bytes(got.body).decode(errors="replace")
    try:
        answer = _parse(text)
    except MissingTokenError as error:
        raise _NoTokenError(
            f"answered {got.status} without a token: {one_line(text, MAX_WORDS_CHARACTERS)}"
        ) from error
    except OAuth2Error as error:
        words = one_line(f"{error.error} {error.description or ''}", MAX_WORDS_CHARACTERS)
        raise _NoTokenError(f"answered {got.status} {words}", str(error.error)) from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise _NoTokenError(f"answered {got.status} {one_line(text, MAX_WORDS_CHARACTERS)}") from error
    value = answer["access_token"]
    if not isinstance(value, str) or not _USABLE_TOKEN.fullmatch(value):
        raise _NoTokenError(f"answered {got.status} with a token that cannot be sent in a header")
    life = _life_seconds(answer)
    if not life > 0:  # not a number is not above 0
        return _Token(value, got.began_at, float("inf"), float("inf"))
    margin = min(RENEWAL_MARGIN_SECONDS, life * RENEWAL_MARGIN_SHARE)
    # A tenth of the margin is left for a request to arrive.
    return _Token(value, got.began_at, got.began_at + life - margin, got.began_at + life - margin / 10)


def _life_seconds(answer: Mapping[str, Any]) -> float:
    try:
        return float(answer.get("expires_in") or 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _parse(text: str) -> Mapping[str, Any]:
    client = BackendApplicationClient("")
    try:
        return client.parse_request_body_response(text)
    except (ValueError, OverflowError):
        # Its life is no usable number: the token is used until it is refused.
        answer = json.loads(text, parse_int=float)
        without_life = {name: value for name, value in answer.items() if name not in _TIMES_OF_LIFE}
        return client.parse_request_body_response(json.dumps(without_life))


def _retry_after(got: Exchange) -> float | None:
    return parse_retry_after(got.headers, time.time()) if isinstance(got, Response) else None
