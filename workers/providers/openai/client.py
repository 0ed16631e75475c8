"""Embeddings and chat from OpenAI or a server that speaks its API, through the official SDK."""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Self, TypeAlias
from urllib.parse import urlsplit

import httpcore2  # noqa: F401  httpx2 imports it at the first request; the forkserver shall load it
import httpx2
import openai

from shared.errors import ConfigurationError
from shared.models import OPENAI_URL
from shared.provider_accounts import OPENAI, ProviderAccount
from shared.retry import parse_retry_after
from workers.providers.base import Embeddings
from workers.providers.calls import ProviderCalls
from workers.providers.chat import ChatAnswer, ChatRequest
from workers.providers.openai.answer import error_in, parse_answer, read_body
from workers.providers.openai.api_error import ApiError
from workers.providers.openai.chat import ChatQuestions
from workers.providers.openai.chat_answer import error_in_chat, parse_chat
from workers.providers.openai.errors import OpenAIErrors
from workers.providers.openai.http import ProviderHttp, call_timeout, tls_context
from workers.providers.openai.quirks import known_quirks
from workers.providers.openai.rate_limit_headers import parse_rate_limits
from workers.providers.openai.refusals import Endpoint, RefusedCall, refusal_in_success

_ENCODING = {"encoding_format": "base64"}
"""A tenth of the work of decimal numbers."""

Body: TypeAlias = Mapping[str, object]


class OpenAIClient:
    """An EmbeddingProvider. Every error it raises is already a RetryableError or a NonRetryableError.

    The SDK retries nothing by itself: retries are the supervisor's. `proxy` is the address of the proxy that
    `http` goes through, if there is one.
    """

    def __init__(
        self,
        *,
        key: str,
        base_url: str | None,
        timeout_seconds: float,
        http: httpx2.Client,
        calls: ProviderCalls,
        wall_clock: Callable[[], float],
        proxy: str = "",
        account: ProviderAccount = ProviderAccount(OPENAI),  # noqa: B008  a frozen value
    ) -> None:
        url = base_url or OPENAI_URL
        sdk = openai.OpenAI(
            api_key=key, base_url=url, max_retries=0, timeout=call_timeout(timeout_seconds), http_client=http
        )
        if account.name != OPENAI:
            _forget_variables(sdk)
        # OPENAI_LOG=debug would have the SDK write what it sends.
        logging.getLogger("openai").setLevel(logging.WARNING)
        self._post = sdk.post
        self._close = sdk.close
        self._calls = calls
        self._wall_clock = wall_clock
        self._knows_encoding_format = True
        self._questions = ChatQuestions(self._send_chat, known_quirks(urlsplit(url).hostname or ""))
        self._errors = OpenAIErrors(url, key, timeout_seconds, wall_clock, proxy, account)

    @classmethod
    def connect(cls, key: str, account: ProviderAccount, calls: ProviderCalls) -> Self:
        """A client with its own HTTP client. Raises ConfigurationError where that cannot be set up."""
        try:
            http = ProviderHttp(
                account.timeout_seconds, time.monotonic, calls.left_seconds, lambda: calls.texts
            )
            return cls(
                key=key,
                base_url=account.base_url,
                timeout_seconds=account.timeout_seconds,
                http=http,
                calls=calls,
                wall_clock=time.time,
                proxy=http.proxy_of(account.address),
                account=account,
            )
        except httpx2.InvalidURL as error:
            setting = account.setting("base_url")
            raise ConfigurationError(f"{setting} or a proxy variable is no address: {error}") from error
        except (OSError, ValueError, ImportError) as error:
            raise ConfigurationError(f"the connection to the provider cannot be set up: {error}") from error

    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        """As EmbeddingProvider says."""
        with self._calls.call(len(texts)):
            answer = self._ask(texts, model, dimensions)
            if isinstance(answer, RefusedCall):
                raise self._errors.of_refusal(answer)
            embeddings = parse_answer(answer, texts=len(texts), model=model, dimensions=dimensions)
        self._calls.billed(embeddings.usage)
        return embeddings

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """One answer to `request`. Raises RetryableError, or NonRetryableError where it would fail again."""
        with self._calls.call(1):
            body = self._questions.ask(request)
            if isinstance(body, RefusedCall):
                raise self._errors.of_refusal(body)
            answer = parse_chat(body, request.model)
        self._calls.billed(answer.usage)
        return answer

    def close(self) -> None:
        """Close its connections."""
        self._close()

    def _ask(self, texts: Sequence[str], model: str, dimensions: int | None) -> Body | RefusedCall:
        """The answer's body.

        A server that refuses `encoding_format` is asked once more without it, and from then on always.
        """
        request: dict[str, object] = {"model": model, "input": list(texts)}
        if dimensions is not None:
            request["dimensions"] = dimensions
        if not self._knows_encoding_format:
            return self._send_texts(request, model, dimensions)
        answer = self._send_texts(request | _ENCODING, model, dimensions)
        if not isinstance(answer, RefusedCall) or not answer.names_encoding_format():
            return answer
        answer = self._send_texts(request, model, dimensions)
        self._knows_encoding_format = isinstance(answer, RefusedCall)
        return answer

    def _send_texts(self, request: Body, model: str, dimensions: int | None) -> Body | RefusedCall:
        # `embeddings.create` searches every text for fields to rename, and always names an encoding.
        return self._send(Endpoint.EMBEDDINGS, request, model, dimensions)

    def _send_chat(self, request: Body, model: str) -> Body | RefusedCall:
        return self._send(Endpoint.CHAT, request, model)

    def _send(
        self, endpoint: Endpoint, request: Body, model: str, dimensions: int | None = None
    ) -> Body | RefusedCall:
        try:
            response = self._post(endpoint, cast_to=httpx2.Response, body=request)
        except openai.APIStatusError as error:
            self._note_limits(error.response)
            said = ApiError.parse(error.response.content)
            headers = error.response.headers
            return RefusedCall(error.status_code, said, model, dimensions, headers, endpoint=endpoint)
        except (openai.APIError, UnicodeError) as error:
            raise self._errors.of_lost_call(error, self._calls.left_seconds()) from error
        self._note_limits(response)
        is_chat = endpoint is Endpoint.CHAT
        body = read_body(response.content, quotes_json=not is_chat)
        said_in_success = error_in_chat(body) if is_chat else error_in(body)
        if said_in_success is None:
            return body
        refusal = refusal_in_success(said_in_success, model, dimensions, response.headers)
        return replace(refusal, endpoint=endpoint)

    def _note_limits(self, response: httpx2.Response) -> None:
        """Keep what is left. A refusal that says how long to wait wins over what it says is left."""
        now = self._wall_clock()
        waits = not response.is_success and parse_retry_after(response.headers, now) is not None
        self._calls.rate_limits = None if waits else parse_rate_limits(response.headers, now)


def _forget_variables(sdk: openai.OpenAI) -> None:
    """Send another server nothing of what variables such as OPENAI_ORG_ID say for OpenAI."""
    sdk.organization = sdk.project = sdk.admin_api_key = None
    sdk._custom_headers = {}  # it reads OPENAI_CUSTOM_HEADERS, and has no public way to leave it out


def preload() -> None:
    """Load in the forkserver what the SDK imports at its first call, by a call that leaves no process.

    Where the certificates cannot be read, each worker says so itself.
    """

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={})

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        sdk = openai.OpenAI(api_key="none", base_url="http://localhost", max_retries=0, http_client=http)
        sdk.post("/embeddings", cast_to=httpx2.Response, body={"model": "none", "input": ["none"]})
    with contextlib.suppress(OSError):
        tls_context()
