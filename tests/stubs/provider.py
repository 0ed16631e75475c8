"""A provider of embeddings and chat on loopback, with faults to order.

In a test:            with StubProvider() as provider: ... OPENAI_BASE_URL=provider.base_url
As its own process:   python -m tests.stubs.provider --port 0 --latency-ms 50 --rate-429 0.1 --seed 7
which prints `provider http://127.0.0.1:PORT`, and tells what it did at GET /stats.
"""

import gzip
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import orjson

from tests.stubs.provider_answer import (
    DEFAULT_DIMENSIONS,
    Item,
    embeddings_json,
    error_json,
    tokens_in,
    vector_for,
)
from tests.stubs.provider_chat import ChatBody, ChatPolicy, chat_json, prompt_of, reply_to
from tests.stubs.provider_faults import Delivery, Fault
from tests.stubs.scripted_http import NO_ANSWER, Answer, Ending, Request, ScriptedServer

DRIP_SECONDS = 0.02

Policy = Callable[[Sequence[str]], Fault | None]


@dataclass(frozen=True, slots=True)
class Call:
    """One request for embeddings, as it came in."""

    texts: tuple[str, ...]
    model: str
    dimensions: int | None
    encoding_format: str
    headers: Mapping[str, str]
    fault: str | None
    """The name of the fault it was answered with."""
    at_seconds: float
    """Monotonic."""


class StubProvider:
    """Answers POST /v1/embeddings with `vector_for` each text, and /v1/chat/completions as `speak` says.

    Faults of `script` are used up first, one a call; then `policy` or `chat_policy` is asked. A text counts
    as paid once its call was accepted, whether the client lives to read the answer or not: that is how it is
    billed.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        dimensions: int = DEFAULT_DIMENSIONS,
        latency_seconds: float = 0.0,
        latency_per_text_seconds: float = 0.0,
        policy: Policy | None = None,
    ) -> None:
        self.policy = policy
        self.chat_policy: ChatPolicy | None = None
        self.speak: Callable[[ChatBody], bytes] = lambda body: chat_json(body, reply_to(body))
        self.headers: dict[str, str] = {}
        """Sent with every answer, `x-ratelimit-*` say."""
        self.calls: list[Call] = []
        self.chats: list[ChatBody] = []
        self.paid: Counter[str] = Counter()
        self._dimensions = dimensions
        self._latency_seconds = latency_seconds
        self._latency_per_text_seconds = latency_per_text_seconds
        self._script: deque[Fault] = deque()
        self._changed = threading.Condition()
        self._server = ScriptedServer(self._answer, port)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def base_url(self) -> str:
        """For OPENAI_BASE_URL."""
        return f"{self.url}/v1"

    def script(self, *faults: Fault) -> None:
        """Answer the next calls with these."""
        with self._changed:
            self._script.extend(faults)

    def wait_for_calls(self, count: int, timeout_seconds: float = 10.0) -> bool:
        """Wait until so many calls have come in; False when they did not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.calls) >= count, timeout_seconds)

    def stats(self) -> dict[str, object]:
        with self._changed:
            faults = Counter(call.fault or "none" for call in self.calls)
            return {
                "calls": len(self.calls),
                "texts": sum(len(call.texts) for call in self.calls),
                "paid": self.paid.total(),
                "paid_distinct": len(self.paid),
                "paid_again": {text: count - 1 for text, count in self.paid.items() if count > 1},
                "faults": dict(faults),
            }

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    def _answer(self, request: Request) -> Answer:
        if request.target == "/stats":
            return Answer(200, orjson.dumps(self.stats()))
        if request.target == "/v1/models":
            return Answer(200, b'{"object":"list","data":[]}')
        if request.target == "/v1/chat/completions" and request.method == "POST":
            return self._chat(request)
        if request.target != "/v1/embeddings" or request.method != "POST":
            return Answer(404, error_json(f"Invalid URL ({request.method} {request.target})"))
        return self._embeddings(request)

    def _embeddings(self, request: Request) -> Answer:
        asked = orjson.loads(request.body)
        texts = (asked["input"],) if isinstance(asked["input"], str) else tuple(asked["input"])
        fault = self._scripted() or (self.policy(texts) if self.policy else None)
        call = Call(
            texts=texts,
            model=asked["model"],
            dimensions=asked.get("dimensions"),
            encoding_format=asked.get("encoding_format", "float"),
            headers=request.headers,
            fault=fault.name if fault else None,
            at_seconds=time.monotonic(),
        )
        with self._changed:
            self.calls.append(call)
            if fault is None or fault.billed:
                self.paid.update(texts)
            self._changed.notify_all()
        return self._reply(call, fault or Fault("none"))

    def _chat(self, request: Request) -> Answer:
        asked: ChatBody = orjson.loads(request.body)
        fault = self._scripted() or (self.chat_policy(asked) if self.chat_policy else None)
        with self._changed:
            self.chats.append(asked)
            if fault is None or fault.billed:
                self.paid[prompt_of(asked)] += 1
            self._changed.notify_all()
        fault = fault or Fault("none")
        body = self.speak(asked) if fault.body is None else fault.body
        self._server.closing.wait(self._latency_seconds)
        answer = Answer(fault.status, body, {**self.headers, **fault.headers})
        return self._deliver(fault.delivery, answer, body)

    def _scripted(self) -> Fault | None:
        with self._changed:
            return self._script.popleft() if self._script else None

    def _reply(self, call: Call, fault: Fault) -> Answer:
        body = fault.body
        if body is None:
            length = call.dimensions or self._dimensions
            items: Sequence[Item] = [
                Item(place, vector_for(text, length)) for place, text in enumerate(call.texts)
            ]
            body = embeddings_json(
                fault.edit(items) if fault.edit else items,
                model=call.model,
                tokens=tokens_in(call.texts) if fault.usage else None,
                floats=fault.floats or call.encoding_format != "base64",
            )
        if fault.gzip:
            body = gzip.compress(body)
        self._server.closing.wait(self._latency_seconds + self._latency_per_text_seconds * len(call.texts))
        return self._deliver(
            fault.delivery, Answer(fault.status, body, {**self.headers, **fault.headers}), body
        )

    def _deliver(self, delivery: Delivery, answer: Answer, body: bytes) -> Answer:
        if delivery is Delivery.WHOLE:
            return answer
        if delivery is Delivery.RESET:
            return replace(NO_ANSWER, ending=Ending.RESET)
        if delivery is Delivery.NOTHING:
            self._server.closing.wait()
            return NO_ANSWER
        headers = {"Content-Length": str(len(body)), **answer.headers}
        return replace(answer, headers=headers, body=self._pieces(delivery, body))

    def _pieces(self, delivery: Delivery, body: bytes) -> Iterator[bytes]:
        if delivery is Delivery.DRIP:
            for place in range(len(body)):
                if self._server.closing.wait(DRIP_SECONDS):
                    return
                yield body[place : place + 1]
            return
        yield body[: len(body) // 2]
        if delivery is Delivery.HALF_THEN_SILENCE:
            self._server.closing.wait()


if __name__ == "__main__":
    from tests.stubs.provider_command import main

    main()
