"""One chat call, and one more where the answer does not match the schema."""

from collections.abc import Callable

import orjson
import pytest

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason
from shared.models import JsonValue, Usage
from workers.processors.text_generation import generate
from workers.providers.chat import ChatAnswer, ChatRequest, Message

SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"age": {"type": "integer"}},
    "required": ["age"],
}
QUESTION = ChatRequest("m", (Message("user", "how old is the secret?"),))
FOR_JSON = ChatRequest("m", QUESTION.messages, max_tokens=50, response_schema=SCHEMA)
ONCE = Usage(10, 15, 5, 2, 1)


class Provider:
    """Gives the answers of a script, and keeps what it was asked."""

    def __init__(self, *script: ChatAnswer | Exception) -> None:
        self.asked: list[ChatRequest] = []
        self._script = list(script)

    def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked.append(request)
        answer = self._script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def said(text: str | None, reason: str = "stop") -> ChatAnswer:
    return ChatAnswer(text, "m-2024", reason, usage=ONCE)


def failure_of(request: ChatRequest, chat: Callable[[ChatRequest], ChatAnswer]) -> NonRetryableError:
    with pytest.raises(NonRetryableError) as caught:
        generate(request, chat)
    assert caught.value.blame is Blame.ANSWER
    assert "secret" not in str(caught.value)
    return caught.value


def test_a_text_is_reported_with_its_end_and_its_tokens() -> None:
    output = generate(QUESTION, Provider(said("seven\n")).chat)
    assert (output.name, orjson.loads(output.value), output.model) == ("text", "seven\n", "m-2024")
    assert output.usage == ONCE
    assert output.extra == {
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def test_json_that_matches_is_reported_as_an_object() -> None:
    provider = Provider(said('{"age": 7}'))
    output = generate(FOR_JSON, provider.chat)
    assert (output.name, orjson.loads(output.value)) == ("json", {"age": 7})
    assert len(provider.asked) == 1


def test_what_does_not_match_is_repaired_once_and_both_rounds_are_billed() -> None:
    provider = Provider(said('{"age": "seven"}'), said('{"age": 7}'))
    output = generate(FOR_JSON, provider.chat)
    assert orjson.loads(output.value) == {"age": 7}
    assert output.usage == ONCE + ONCE
    repair = provider.asked[1]
    assert repair.max_tokens == 50
    assert repair.response_schema == SCHEMA
    assert repair.messages[:2] == (*QUESTION.messages, Message("assistant", '{"age": "seven"}'))
    assert "$.age: 'seven' is not of type 'integer'" in repair.messages[2].content


def test_what_does_not_match_twice_is_the_tasks_failure() -> None:
    error = failure_of(FOR_JSON, Provider(said('{"age":"a secret"}'), said("still a secret")).chat)
    assert "nor does the one after" in str(error)
    assert error.usage == ONCE + ONCE


@pytest.mark.parametrize(
    "answer", [said('{"age":', "length"), said('{"age":7}', "content_filter"), said(None)]
)
def test_only_a_whole_answer_is_repaired(answer: ChatAnswer) -> None:
    provider = Provider(answer)
    assert failure_of(FOR_JSON, provider.chat).usage == ONCE
    assert len(provider.asked) == 1


def test_a_repair_that_is_cut_off_says_so() -> None:
    error = failure_of(FOR_JSON, Provider(said("no"), said('{"age":', "length")).chat)
    assert "cut off after 5 tokens" in str(error)
    assert error.usage == ONCE + ONCE


def test_a_repair_that_is_refused_quotes_nothing() -> None:
    refusal = NonRetryableError("the provider refuses the input: the secret answer is too long")
    error = failure_of(FOR_JSON, Provider(said("the secret"), refusal).chat)
    assert "refused to repair" in str(error)
    assert error.usage == ONCE


def test_trouble_in_the_repair_is_the_providers() -> None:
    trouble = RetryableError("slow down", reason=RetryReason.RATE_LIMIT)
    with pytest.raises(RetryableError, match="slow down"):
        generate(FOR_JSON, Provider(said("no"), trouble).chat)


def test_what_cannot_be_checked_is_the_tasks_failure_without_a_repair() -> None:
    provider = Provider(said('"' + "x" * 2_000_000 + '"'))
    error = failure_of(FOR_JSON, provider.chat)
    assert "cannot be checked" in str(error)
    assert len(provider.asked) == 1
