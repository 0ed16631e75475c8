"""Chat calls through the client: what is sent, and how it follows a server's refusals."""

from collections.abc import Callable, Iterator

import httpx2
import orjson
import pytest
from structlog.testing import capture_logs

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason
from shared.messages import RateLimits
from shared.metrics import WorkerMetrics
from tests.unit.workers.samples import requests_by_status, sample
from workers.providers.calls import ProviderCalls
from workers.providers.chat import ChatAnswer, ChatRequest, Message
from workers.providers.openai.client import OpenAIClient

HELLO = (Message("user", "hello"),)
STRICT_SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "integer"}},
    "required": ["age"],
    "additionalProperties": False,
}
LOOSE_SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}}
UNSUPPORTED = "Unsupported parameter: '{}' is not supported with this model."


class Server:
    """Answers chat calls, and keeps what it was asked. `refuse` says what it does not take."""

    def __init__(self, host: str = "provider.example") -> None:
        self.asked: list[dict[str, object]] = []
        self.paths: list[str] = []
        self.refuse: Callable[[dict[str, object]], tuple[int, str] | None] = lambda _: None
        self.content = orjson.dumps(
            {
                "model": "m-2024",
                "choices": [{"finish_reason": "stop", "message": {"content": "hi"}}],
                "usage": {
                    "prompt_tokens": 10,
                    "completion_tokens": 7,
                    "total_tokens": 17,
                    "prompt_tokens_details": {"cached_tokens": 4},
                    "completion_tokens_details": {"reasoning_tokens": 3},
                },
            }
        )
        self.status = 200
        self.metrics = WorkerMetrics()
        self.calls = ProviderCalls(self.metrics, lambda: 0.0)
        self.calls.begin_unit("label", "openai")
        self.http = httpx2.Client(transport=httpx2.MockTransport(self._respond))
        self.client = OpenAIClient(
            key="sk-the-real-key-0123456789",
            base_url=f"http://{host}/v1",
            timeout_seconds=60.0,
            http=self.http,
            calls=self.calls,
            wall_clock=lambda: 0.0,
        )

    def _respond(self, request: httpx2.Request) -> httpx2.Response:
        body = orjson.loads(request.content)
        self.asked.append(body)
        self.paths.append(request.url.path)
        if (refusal := self.refuse(body)) is not None:
            status, message = refusal
            return httpx2.Response(status, json={"error": {"message": message, "param": None}})
        headers = {"x-ratelimit-remaining-tokens": "100"}
        return httpx2.Response(self.status, content=self.content, headers=headers)

    def chat(self, **fields: object) -> ChatAnswer:
        request = ChatRequest(**{"model": "m", "messages": HELLO, **fields})  # type: ignore[arg-type]  # the fields of a test
        return self.client.chat(request)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with server.http:
        yield server


def taking_no(*names: str) -> Callable[[dict[str, object]], tuple[int, str] | None]:
    """A server that names one part at a time."""

    def refuse(body: dict[str, object]) -> tuple[int, str] | None:
        found = next((name for name in names if name in body), None)
        return (400, UNSUPPORTED.format(found)) if found else None

    return refuse


def test_nothing_is_sent_that_was_not_given(server: Server) -> None:
    assert server.chat().text == "hi"
    assert server.asked == [{"model": "m", "messages": [{"role": "user", "content": "hello"}]}]
    assert server.paths == ["/v1/chat/completions"]


def test_what_was_given_is_sent(server: Server) -> None:
    server.chat(max_tokens=5, temperature=0.0, options={"top_p": 0.5})
    assert server.asked[0] | {"model": "m"} == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 5,
        "temperature": 0.0,
        "top_p": 0.5,
    }


def test_openai_itself_gets_the_newer_name_of_the_limit() -> None:
    server = Server("api.openai.com")
    with server.http:
        server.chat(max_tokens=5)
    assert server.asked[0]["max_completion_tokens"] == 5
    assert "max_tokens" not in server.asked[0]


def test_a_refused_limit_goes_by_its_other_name_from_then_on(server: Server) -> None:
    server.refuse = taking_no("max_tokens")
    with capture_logs() as lines:
        server.chat(max_tokens=5)
        server.chat(max_tokens=6)
    names = [sorted(set(body) - {"model", "messages"}) for body in server.asked]
    assert names == [["max_tokens"], ["max_completion_tokens"], ["max_completion_tokens"]]
    assert server.asked[2]["max_completion_tokens"] == 6
    assert [line["event"] for line in lines] == ["quirk_learned"]


def test_what_is_refused_one_by_one_is_left_out_one_by_one_and_then_always(server: Server) -> None:
    server.refuse = taking_no("max_tokens", "temperature", "top_p")
    request = {"max_tokens": 5, "temperature": 0.2, "options": {"top_p": 0.5}}
    server.chat(**request)
    assert len(server.asked) == 4
    server.chat(**request)
    assert len(server.asked) == 5
    assert sorted(server.asked[4]) == ["max_completion_tokens", "messages", "model"]
    assert requests_by_status(server.metrics) == {"ok": 2.0}


def test_what_one_model_refuses_another_is_still_asked(server: Server) -> None:
    server.refuse = lambda body: taking_no("temperature")(body) if body["model"] == "m" else None
    server.chat(temperature=0.2)
    server.chat(temperature=0.2, model="other")
    assert server.asked[-1]["temperature"] == 0.2


def test_a_limit_is_never_left_out(server: Server) -> None:
    server.refuse = taking_no("max_tokens", "max_completion_tokens")
    with pytest.raises(NonRetryableError, match="max_completion_tokens"):
        server.chat(max_tokens=5)
    assert len(server.asked) == 2


def test_nothing_is_learned_where_leaving_out_did_not_help(server: Server) -> None:
    server.refuse = lambda _: (400, UNSUPPORTED.format("temperature"))
    with pytest.raises(NonRetryableError):
        server.chat(temperature=0.2)
    server.refuse = lambda _: None
    server.chat(temperature=0.2)
    assert server.asked[-1]["temperature"] == 0.2


@pytest.mark.parametrize("schema", [STRICT_SCHEMA, LOOSE_SCHEMA])
def test_a_schema_is_asked_for_strictly_only_where_it_fits(server: Server, schema: object) -> None:
    server.chat(response_schema=schema)
    asked = server.asked[0]["response_format"]
    named = {"name": "answer", "schema": schema}
    if schema is STRICT_SCHEMA:
        named["strict"] = True
    assert asked == {"type": "json_schema", "json_schema": named}


def test_a_server_without_schemas_gets_it_in_the_prompt_from_then_on(server: Server) -> None:
    def refuse(body: dict[str, object]) -> tuple[int, str] | None:
        return (400, "This response_format type is unavailable now") if "response_format" in body else None

    server.refuse = refuse
    server.chat(response_schema=LOOSE_SCHEMA)
    server.chat(response_schema=LOOSE_SCHEMA)
    assert ["response_format" in body for body in server.asked] == [True, False, False]
    asked = str(server.asked[2]["messages"])
    assert "hello" in asked
    assert orjson.dumps(LOOSE_SCHEMA).decode() in asked


def test_a_schema_that_is_refused_says_nothing_of_others(server: Server) -> None:
    def refuse(body: dict[str, object]) -> tuple[int, str] | None:
        wrong = b"minItems" in orjson.dumps(body.get("response_format"))
        return (
            (400, "Invalid schema for response_format 'answer': minItems is not supported") if wrong else None
        )

    server.refuse = refuse
    server.chat(response_schema={"type": "array", "minItems": 2})
    assert "response_format" not in server.asked[-1]
    server.chat(response_schema=LOOSE_SCHEMA)
    assert "response_format" in server.asked[-1]


def test_a_model_without_a_system_role_hears_it_from_the_user(server: Server) -> None:
    server.refuse = lambda body: (
        (400, "Unsupported value: 'messages[0].role' does not support 'system' with this model.")
        if b'"system"' in orjson.dumps(body)
        else None
    )
    server.chat(messages=(Message("system", "be brief"), *HELLO))
    assert server.asked[-1]["messages"] == [{"role": "user", "content": "be brief\n\nhello"}]


def test_tokens_are_counted_by_kind(server: Server) -> None:
    server.chat()
    kinds = ("prompt", "cached", "completion", "reasoning", "total")
    counted = [sample(server.metrics.tokens, provider="openai", model="label", type=kind) for kind in kinds]
    assert counted == [10, 4, 7, 3, 17]
    assert sample(server.metrics.batch, "_sum", provider="openai", model="label") == 1
    assert server.calls.rate_limits == RateLimits(remaining_tokens=100)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, b'{"error":{"message":"slow down"}}', RetryReason.RATE_LIMIT),
        (401, b'{"error":{"message":"Incorrect API key provided"}}', RetryReason.UNAUTHORIZED),
        (503, b"<html>maintenance</html>", RetryReason.SERVER_ERROR),
        (200, b"<html>sign in</html>", RetryReason.BAD_RESPONSE),
        (200, b"", RetryReason.BAD_RESPONSE),
        (200, b'{"choices":[]}', RetryReason.BAD_RESPONSE),
        (200, b'{"error":{"message":"rate limit","code":429}}', RetryReason.RATE_LIMIT),
        (404, b"<html><title>404</title></html>", RetryReason.WRONG_URL),
    ],
)
def test_trouble_of_the_provider_is_what_it_is_for_embeddings(
    server: Server, status: int, body: bytes, reason: RetryReason
) -> None:
    server.status, server.content = status, body
    with pytest.raises(RetryableError) as caught:
        server.chat()
    assert caught.value.reason is reason


def test_an_address_without_chat_says_so(server: Server) -> None:
    server.status, server.content = 404, b'{"error":{"message":"Invalid URL (POST /v1/chat/completions)"}}'
    with pytest.raises(RetryableError, match="no chat API at"):
        server.chat()


def test_a_model_that_is_no_chat_model_is_the_tasks_fault(server: Server) -> None:
    message = "This is not a chat model and thus not supported in the v1/chat/completions endpoint."
    server.status = 404
    server.content = orjson.dumps({"error": {"message": message, "param": "model"}})
    with pytest.raises(NonRetryableError, match="not a chat model") as caught:
        server.chat()
    assert caught.value.blame is Blame.WHOLE_UNIT
