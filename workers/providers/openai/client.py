"""Embeddings from OpenAI or a server that speaks its API, through the official SDK."""

import logging
from collections.abc import Callable, Sequence

import httpx2
import openai

from workers.providers.base import Embeddings
from workers.providers.openai.answer import error_in, parse_answer, read_body
from workers.providers.openai.errors import OpenAIErrors
from workers.providers.openai.guarded_http import call_timeout
from workers.providers.openai.provider_calls import ProviderCalls
from workers.providers.openai.rate_limit_headers import parse_rate_limits
from workers.providers.openai.refusals import refusal_in_success

DEFAULT_BASE_URL = "https://api.openai.com/v1"


class OpenAIClient:
    """An EmbeddingProvider. Every error it raises is already a RetryableError or a NonRetryableError.

    The SDK retries nothing by itself: retries are the supervisor's. `http` comes from `make_http_client`.
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
    ) -> None:
        url = base_url or DEFAULT_BASE_URL
        sdk = openai.OpenAI(
            api_key=key, base_url=url, max_retries=0, timeout=call_timeout(timeout_seconds), http_client=http
        )
        # OPENAI_LOG=debug would have the SDK write what it sends.
        logging.getLogger("openai").setLevel(logging.WARNING)
        self._create = sdk.embeddings.with_raw_response.create
        self._calls = calls
        self._errors = OpenAIErrors(
            base_url=url, key=key, timeout_seconds=timeout_seconds, wall_clock=wall_clock
        )

    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        with self._calls.call(len(texts)):
            response = self._ask(texts, model, dimensions)
            body = read_body(response.content)
            error = error_in(body)
            if error is not None:
                refusal = refusal_in_success(error, model, dimensions)
                raise self._errors.of_refusal(refusal, response.headers)
            embeddings = parse_answer(body, texts=len(texts), model=model, dimensions=dimensions)
        self._calls.billed(embeddings.usage)
        return embeddings

    def _ask(self, texts: Sequence[str], model: str, dimensions: int | None) -> httpx2.Response:
        try:
            response = self._create(
                model=model,
                input="",
                encoding_format="base64",
                dimensions=openai.omit if dimensions is None else dimensions,
                # In place of `input`, whose every text the SDK would search for fields to rename.
                extra_body={"input": list(texts)},
            )
        except openai.APIStatusError as error:
            self._calls.rate_limits = parse_rate_limits(error.response.headers)
            raise self._errors.classify(error, model, dimensions) from error
        except openai.APIError as error:
            raise self._errors.classify(error, model, dimensions) from error
        self._calls.rate_limits = parse_rate_limits(response.headers)
        return response.http_response
