import logging
from collections.abc import Callable, Iterator

import httpx2
import orjson
import pytest

from shared.errors import NonRetryableError, RetryableError, RetryReason
from shared.messages import RateLimits
from shared.metrics import WorkerMetrics
from tests.stubs.provider_answer import Item, embeddings_json, error_json, vector_for
from tests.unit.workers.samples import requests_by_status, sample
from workers.providers.calls import ProviderCalls
from workers.providers.openai.client import OpenAIClient

KEY = "sk-the-real-key-0123456789"
Answer = Callable[[httpx2.Request], httpx2.Response]


class Peer:
    """The client and the server of a test, which share no socket."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.answer: Answer = good
        self.metrics = WorkerMetrics()
        seconds = iter(range(1000))
        self.calls = ProviderCalls(self.metrics, lambda: float(next(seconds)))
        self.calls.begin_unit("label", "openai")
        self.http = httpx2.Client(transport=httpx2.MockTransport(self.respond))
        self.client = OpenAIClient(
            key=KEY,
            base_url="http://provider.example/v1",
            timeout_seconds=60.0,
            http=self.http,
            calls=self.calls,
            wall_clock=lambda: 0.0,
        )

    def respond(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self.answer(request)


def good(request: httpx2.Request) -> httpx2.Response:
    texts = orjson.loads(request.content)["input"]
    items = [Item(place, vector_for(text, 4)) for place, text in enumerate(texts)]
    content = embeddings_json(items, model="m", tokens=5, floats=False)
    return httpx2.Response(200, content=content, headers={"x-ratelimit-remaining-tokens": "100"})


def refusing(status: int, **headers: str) -> Answer:
    return lambda _: httpx2.Response(status, content=error_json("no"), headers=headers)


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    with peer.http:
        yield peer


def test_texts_become_vectors_in_one_call(peer: Peer) -> None:
    embeddings = peer.client.embed(["a", "b"], "m", None)
    assert [row.tolist() for row in embeddings.vectors.good] == [
        vector_for("a", 4).tolist(),
        vector_for("b", 4).tolist(),
    ]
    assert len(peer.requests) == 1


def test_base64_is_asked_for_and_dimensions_only_when_given(peer: Peer) -> None:
    peer.client.embed(["a"], "m", None)
    peer.client.embed(["a"], "m", 4)
    bodies = [orjson.loads(request.content) for request in peer.requests]
    assert bodies[0] == {"model": "m", "input": ["a"], "encoding_format": "base64"}
    assert bodies[1]["dimensions"] == 4


def refusing_encodings(status: int, body: object) -> Answer:
    """A server that knows no `encoding_format`, and sends lists of numbers."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked = orjson.loads(request.content)
        if "encoding_format" in asked:
            return httpx2.Response(status, content=orjson.dumps(body))
        items = [Item(place, vector_for(text, 4)) for place, text in enumerate(asked["input"])]
        return httpx2.Response(200, content=embeddings_json(items, model="m", tokens=5, floats=True))

    return answer


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "Unknown parameter: 'encoding_format'"}}),
        (400, {"error": {"message": "Unrecognized request argument", "param": "encoding_format"}}),
        (422, {"detail": [{"loc": ["body", "encoding_format"], "msg": "Extra inputs are not permitted"}]}),
        (422, {"error": "base64 is not supported"}),
        (501, {"error": "encoding_format is not implemented"}),
        (200, {"error": {"message": "encoding_format must be float", "code": 400}}),
    ],
)
def test_encoding_format_that_is_refused_is_left_out_from_then_on(
    peer: Peer, status: int, body: object
) -> None:
    peer.answer = refusing_encodings(status, body)
    for _ in range(2):
        [vector] = peer.client.embed(["a"], "m", None).vectors.good
        assert vector.astype("float32").tolist() == vector_for("a", 4).tolist()
    asked = ["encoding_format" in orjson.loads(request.content) for request in peer.requests]
    assert asked == [True, False, False]
    assert requests_by_status(peer.metrics) == {"ok": 2.0}


def test_encoding_format_is_asked_for_again_where_leaving_it_out_did_not_help(peer: Peer) -> None:
    peer.answer = lambda _: httpx2.Response(400, content=error_json("the text speaks of encoding_format"))
    with pytest.raises(NonRetryableError, match="speaks of encoding_format"):
        peer.client.embed(["a"], "m", None)
    assert len(peer.requests) == 2
    peer.answer = good
    peer.client.embed(["a"], "m", None)
    assert "encoding_format" in orjson.loads(peer.requests[-1].content)


def test_nothing_is_retried_by_the_sdk(peer: Peer) -> None:
    peer.answer = refusing(500)
    with pytest.raises(RetryableError):
        peer.client.embed(["a"], "m", None)
    assert len(peer.requests) == 1


def test_a_call_that_succeeds_is_counted_with_its_tokens_size_and_time(peer: Peer) -> None:
    peer.client.embed(["a", "b"], "m", None)
    assert requests_by_status(peer.metrics) == {"ok": 1.0}
    assert sample(peer.metrics.tokens, provider="openai", model="label", type="prompt") == 5
    assert sample(peer.metrics.tokens, provider="openai", model="label", type="total") == 5
    assert sample(peer.metrics.batch, "_sum", provider="openai", model="label") == 2
    assert sample(peer.metrics.duration, "_sum", provider="openai", model="label") == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (refusing(500), "server_error"),
        (refusing(429), "rate_limit"),
        (refusing(400), "rejected"),
        (lambda _: httpx2.Response(200, content=b"{"), "bad_response"),
    ],
)
def test_a_call_that_fails_is_counted_by_its_reason(peer: Peer, answer: Answer, status: str) -> None:
    peer.answer = answer
    with pytest.raises((RetryableError, NonRetryableError)):
        peer.client.embed(["a"], "m", None)
    assert requests_by_status(peer.metrics) == {status: 1.0}
    assert sample(peer.metrics.tokens, provider="openai", model="label", type="total") == 0


def test_limits_are_noted_from_good_answers_and_from_refusals(peer: Peer) -> None:
    peer.client.embed(["a"], "m", None)
    assert peer.calls.rate_limits == RateLimits(remaining_tokens=100)
    peer.answer = refusing(429, **{"x-ratelimit-remaining-tokens": "0"})
    with pytest.raises(RetryableError):
        peer.client.embed(["a"], "m", None)
    assert peer.calls.rate_limits == RateLimits(remaining_tokens=0)


def test_a_retry_after_wins_over_what_a_refusal_says_is_left(peer: Peer) -> None:
    left = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}
    peer.answer = refusing(429, **left, **{"retry-after": "1"})
    with pytest.raises(RetryableError) as caught:
        peer.client.embed(["a"], "m", None)
    assert caught.value.retry_after_seconds == 1.0
    assert peer.calls.rate_limits is None


def test_limits_of_one_unit_are_not_those_of_the_next(peer: Peer) -> None:
    peer.client.embed(["a"], "m", None)
    peer.calls.begin_unit("label", "openai")
    assert peer.calls.rate_limits is None


def test_an_error_names_its_cause_but_not_the_key(peer: Peer) -> None:
    def refuse(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError(f"illegal header {KEY}")

    peer.answer = refuse
    with pytest.raises(RetryableError, match="illegal header") as caught:
        peer.client.embed(["a"], "m", None)
    assert caught.value.reason is RetryReason.CONNECTION
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("name", ["OPENAI_ORG_ID", "OPENAI_PROJECT_ID"])
def test_a_header_that_cannot_be_encoded_fails_no_task(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "org-\N{SNOWMAN}")
    peer = Peer()
    with peer.http, pytest.raises(RetryableError, match=name) as caught:
        peer.client.embed(["a"], "m", None)
    assert caught.value.reason is RetryReason.CONNECTION
    assert peer.requests == []


def test_the_sdk_logs_nothing_of_what_it_sends(peer: Peer) -> None:
    assert logging.getLogger("openai").getEffectiveLevel() >= logging.WARNING


def test_without_a_base_url_it_is_openai_whatever_the_environment_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    peer = Peer()
    with httpx2.Client(transport=httpx2.MockTransport(peer.respond)) as http, peer.http:
        client = OpenAIClient(
            key=KEY, base_url=None, timeout_seconds=1.0, http=http, calls=peer.calls, wall_clock=lambda: 0.0
        )
        client.embed(["a"], "m", None)
    assert str(peer.requests[0].url) == "https://api.openai.com/v1/embeddings"
