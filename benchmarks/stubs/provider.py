"""A provider of embeddings in memory: `python -m benchmarks.stubs.provider --base-ms 100 --text-ms 0.2`.

POST /v1/embeddings as OpenAI's; a text counts as paid when its call is accepted. Beside it POST /admin/reset,
GET /admin/stats and /admin/grants.
"""

import argparse
import asyncio
import base64
import json
import time
from array import array
from collections import Counter
from dataclasses import asdict, dataclass

from benchmarks.stubs.http import Answer, Reply, Request, reply_later, serve
from benchmarks.stubs.rate_window import RateWindow
from benchmarks.stubs.vectors import fingerprint, vector_number, vectors

CHARACTERS_A_TOKEN = 4
MAX_INPUTS = 2048


@dataclass(frozen=True, slots=True)
class Plan:
    """How slow the provider is, and what it allows a minute (0 = everything)."""

    base_seconds: float
    text_seconds: float
    requests_per_minute: int
    tokens_per_minute: int


@dataclass(slots=True)
class Counts:
    """`calls` were accepted, `refused` answered 429, `paid_twice` counts texts bought again."""

    calls: int = 0
    refused: int = 0
    bad_requests: int = 0
    texts: int = 0
    tokens: int = 0
    paid_twice: int = 0
    in_flight: int = 0
    max_in_flight: int = 0


class Provider:
    """Everything it sold, until it is reset. The rate window outlives a reset."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._window = RateWindow(plan.requests_per_minute, plan.tokens_per_minute)
        known = vectors()
        self._as_base64 = [b'"' + base64.b64encode(vector) + b'"' for vector in known]
        self._as_numbers = [json.dumps(array("f", vector).tolist()).encode() for vector in known]
        self._reset()

    def handle(self, request: Request, reply: Reply) -> None:
        """Answers each request once; a granted call after its latency, all else at once."""
        if request.path == "/v1/embeddings":
            self._embed(request.body, reply)
        elif request.path == "/admin/stats":
            reply(Answer(200, json.dumps(asdict(self._counts)).encode()))
        elif request.path == "/admin/grants":
            reply(Answer(200, json.dumps(self._grants).encode()))
        elif request.path == "/admin/reset":
            self._reset()
            reply(Answer(200, b"{}"))
        else:
            reply(_error(404, "no such path"))

    def _reset(self) -> None:
        self._counts = Counts()
        self._paid: Counter[bytes] = Counter()
        self._grants: list[tuple[float, int]] = []

    def _embed(self, body: bytes, reply: Reply) -> None:
        texts, wanted = _inputs(body)
        if not texts:
            self._counts.bad_requests += 1
            reply(_error(400, f"input must be 1 to {MAX_INPUTS} texts"))
            return
        now, tokens = time.monotonic(), sum(_tokens(text) for text in texts)
        wait_seconds = self._window.take(tokens, now)
        headers = self._window.headers(now)
        if wait_seconds:
            self._counts.refused += 1
            retry = (("retry-after", f"{wait_seconds:.3f}"), ("retry-after-ms", f"{wait_seconds * 1000:.0f}"))
            reply(_error(429, "rate limit reached", headers + retry))
            return
        prints = [fingerprint(text) for text in texts]
        self._sell(prints, tokens, now)
        answer = self._answer(prints, tokens, wanted, headers)
        delay_seconds = self._plan.base_seconds + self._plan.text_seconds * len(texts)
        reply_later(lambda ready: self._deliver(reply, ready), answer, delay_seconds)

    def _sell(self, prints: list[bytes], tokens: int, now: float) -> None:
        counts = self._counts
        counts.calls += 1
        counts.texts += len(prints)
        counts.tokens += tokens
        counts.in_flight += 1
        counts.max_in_flight = max(counts.max_in_flight, counts.in_flight)
        for print_of_text in prints:
            counts.paid_twice += self._paid[print_of_text] > 0
            self._paid[print_of_text] += 1
        self._grants.append((now, tokens))

    def _deliver(self, reply: Reply, answer: Answer) -> None:
        self._counts.in_flight -= 1
        reply(answer)

    def _answer(
        self, prints: list[bytes], tokens: int, wanted: str, headers: tuple[tuple[str, str], ...]
    ) -> Answer:
        written = self._as_base64 if wanted == "base64" else self._as_numbers
        data = b",".join(
            b'{"object":"embedding","index":%d,"embedding":%s}'
            % (index, written[vector_number(print_of_text)])
            for index, print_of_text in enumerate(prints)
        )
        usage = b'{"prompt_tokens":%d,"total_tokens":%d}' % (tokens, tokens)
        model = b'"model":"text-embedding-3-small"'
        return Answer(200, b'{"object":"list","data":[%s],%s,"usage":%s}' % (data, model, usage), headers)


def _inputs(body: bytes) -> tuple[list[str], str]:
    """The texts, none if the request is not valid, and the format of the answer."""
    try:
        request = json.loads(body)
    except ValueError:
        return [], ""
    given = request.get("input") if isinstance(request, dict) else None
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or len(texts) > MAX_INPUTS:
        return [], ""
    if not all(isinstance(text, str) and text for text in texts):
        return [], ""
    return texts, str(request.get("encoding_format", "float"))


def _tokens(text: str) -> int:
    return max(1, len(text) // CHARACTERS_A_TOKEN)


def _error(status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return Answer(
        status, json.dumps({"error": {"message": message, "type": "stub", "code": status}}).encode(), headers
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-ms", type=float, default=0.0)
    parser.add_argument("--text-ms", type=float, default=0.0)
    parser.add_argument("--requests-per-minute", type=int, default=0)
    parser.add_argument("--tokens-per-minute", type=int, default=0)
    given = parser.parse_args()
    plan = Plan(
        given.base_ms / 1000, given.text_ms / 1000, given.requests_per_minute, given.tokens_per_minute
    )
    asyncio.run(serve(Provider(plan).handle))
