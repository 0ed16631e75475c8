"""A provider of embeddings that is often busy, broken or silent, and knows who paid for what."""

import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from types import TracebackType
from typing import Self

import orjson

from tests.chaos.ledger import Exchange, Ledger
from tests.chaos.odds import Odds
from tests.chaos.runs import run_and_path, run_url, whole
from tests.stubs.provider_answer import Item, embeddings_json, error_json, tokens_in, vector_for
from tests.stubs.scripted_http import NO_ANSWER, Answer, Ending, Request, ScriptedServer

DIMENSIONS = 16
LATENCY_SECONDS = 0.05

Arrival = Callable[[tuple[str, ...], int], None]
"""Told of the texts of a call and the client's port, before anything else happens."""


class ProviderFault(StrEnum):
    """Only a call that hangs in the middle of its answer is paid."""

    TOO_MANY = "429"
    BROKEN = "500"
    SILENCE = "hang"
    SILENCE_IN_BODY = "hang in the body"


TWENTY_PERCENT: Mapping[ProviderFault, float] = {
    ProviderFault.TOO_MANY: 0.07,
    ProviderFault.BROKEN: 0.07,
    ProviderFault.SILENCE: 0.03,
    ProviderFault.SILENCE_IN_BODY: 0.03,
}


class FaultyProvider:
    """Serves inside its `with`. Every call that a provider would bill stands in `ledger`."""

    def __init__(
        self,
        odds: Odds[ProviderFault],
        patience_seconds: float,
        arrival: Arrival = lambda _texts, _port: None,
    ) -> None:
        """`patience_seconds` is the client's; silence lasts longer."""
        self.ledger = Ledger()
        self.odds = odds
        self._silence_seconds = 1.5 * patience_seconds
        self._arrival = arrival
        self._server = ScriptedServer(self._answer)

    def url(self, run: int) -> str:
        """For OPENAI_BASE_URL of the service's process number `run`."""
        return f"{run_url(self._server.url, run)}/v1"

    @property
    def requests(self) -> int:
        """How many came in."""
        return len(self._server.requests)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    def _answer(self, request: Request) -> Answer:
        if not whole(request):
            return NO_ANSWER
        asked = orjson.loads(request.body)
        texts = tuple(asked["input"])
        self._arrival(texts, request.client_port)
        fault = self.odds.draw()
        if fault is ProviderFault.SILENCE:
            self._server.closing.wait(self._silence_seconds)
            return NO_ANSWER
        if fault is ProviderFault.TOO_MANY:
            return Answer(429, error_json("slow down", code="rate_limit_exceeded"), {"Retry-After": "0.1"})
        if fault is ProviderFault.BROKEN:
            return Answer(500, error_json("chaos", kind="server_error"))
        return self._bill(request, texts, str(asked["model"]), fault)

    def _bill(
        self, request: Request, texts: tuple[str, ...], model: str, fault: ProviderFault | None
    ) -> Answer:
        run, _ = run_and_path(request.target)
        exchange = Exchange(run, request.client_port, texts, "embedded", time.monotonic())
        exchange.withheld = fault is not None
        self.ledger.exchanges.append(exchange)
        self._server.closing.wait(LATENCY_SECONDS)
        items = [Item(place, vector_for(text, DIMENSIONS)) for place, text in enumerate(texts)]
        body = embeddings_json(items, model=model, tokens=tokens_in(texts), floats=False)
        if fault is not None:
            length = {"Content-Length": str(len(body))}
            return Answer(200, self._half(body), length, Ending.CLOSE_UNSAID)
        exchange.ended_at = time.monotonic()
        return Answer(200, body)

    def _half(self, body: bytes) -> Iterator[bytes]:
        yield body[: len(body) // 2]
        self._server.closing.wait(self._silence_seconds)
