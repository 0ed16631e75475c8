"""A provider as it is found in the wild: it works, and a test says what it does otherwise."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import orjson

from tests.acceptance.service import Json
from tests.stubs.provider_answer import Item, embeddings_json, tokens_in, vector_for
from tests.stubs.scripted_http import Answer, Request

DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Call:
    """A request for embeddings, as it came in."""

    texts: tuple[str, ...]
    model: str
    dimensions: int | None
    encoding_format: str | None
    headers: Mapping[str, str]
    at_seconds: float
    """Monotonic."""


Front = Callable[[Call], Answer | None]
"""Answers in place of the good answer, or lets the call pass with None."""


class Provider:
    """A script of ScriptedServer. A text is paid when its vector was computed, read or not."""

    def __init__(self) -> None:
        self.front: Front = lambda _: None
        self.calls: list[Call] = []
        self.paid: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        if request.target == "/v1/models":
            return Answer(200, b'{"object":"list","data":[]}')
        if request.method != "POST" or request.target != "/v1/embeddings":
            return Answer(404, b'{"error":{"message":"Invalid URL","type":"invalid_request_error"}}')
        call = _parse(request)
        with self._lock:
            self.calls.append(call)
        return self.front(call) or self.good(call)

    def good(self, call: Call, edit: Callable[[Json], None] | None = None, *, dimensions: int = 0) -> Answer:
        """The answer of a server that works, with its body changed by `edit`. Its texts are paid."""
        with self._lock:
            self.paid.update(call.texts)
        length = dimensions or call.dimensions or DIMENSIONS
        body = embeddings_json(
            [Item(place, vector_for(text, length)) for place, text in enumerate(call.texts)],
            model=call.model,
            tokens=tokens_in(call.texts),
            floats=call.encoding_format != "base64",
        )
        if edit:
            parsed = orjson.loads(body)
            edit(parsed)
            body = orjson.dumps(parsed)
        return Answer(200, body)

    def vectors(self, texts: Iterable[str]) -> list[list[float]]:
        """What the texts' vectors are, as 32-bit numbers."""
        return [vector_for(text, DIMENSIONS).tolist() for text in texts]

    def paid_again(self, texts: Iterable[str]) -> dict[str, int]:
        """Those of `texts` that were paid more than once."""
        return {text: self.paid[text] for text in texts if self.paid[text] > 1}

    def calling_seconds(self) -> float:
        """From the first call to the last."""
        return self.calls[-1].at_seconds - self.calls[0].at_seconds

    def calls_with(self, text: str) -> int:
        return sum(text in call.texts for call in self.calls)


def _parse(request: Request) -> Call:
    asked = orjson.loads(request.body)
    given = asked["input"]
    return Call(
        texts=(given,) if isinstance(given, str) else tuple(given),
        model=asked["model"],
        dimensions=asked.get("dimensions"),
        encoding_format=asked.get("encoding_format"),
        headers=request.headers,
        at_seconds=time.monotonic(),
    )
