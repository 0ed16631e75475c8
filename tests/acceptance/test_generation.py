"""Text generation through the real service: what is asked, what is reported, and what is FAILED and why."""

from typing import Any

import orjson
import pytest

from examples.task_api.task import Shape
from tests.acceptance.conftest import StartService
from tests.acceptance.task_api import Peer
from tests.stubs import provider_faults as faults
from tests.stubs.provider import StubProvider
from tests.stubs.provider_chat import (
    ChatBody,
    chat_json,
    prompt_of,
    reasoning_model,
    reply_to,
    without_schemas,
)
from tests.stubs.provider_faults import Fault

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
MARKER = "purple-elephant-in-the-answer"


def flat(**given: object) -> dict[str, object]:
    return {"type": "text-generation", "input_data": given}


def nestjs(given: object) -> dict[str, object]:
    return {"type": "text_generation", "content": given}


def told(task_api: Peer) -> list[Any]:
    """What each task was told, in their order: its result, or the words of its failure."""
    return [orjson.loads(task.output) if task.output else task.error for task in task_api.tasks()]


def test_texts_and_objects_are_reported_in_both_shapes(
    start_service: StartService, task_api: Peer, provider: StubProvider
) -> None:
    provider.speak = lambda body: chat_json(
        body, '{"age": 7}' if "response_format" in body else reply_to(body)
    )
    service = start_service(GENERATION_MODEL="gpt-4o-mini", CONCURRENCY_LIMIT="2")
    task_api.add_bodies(
        flat(prompt="hello", system="be brief", max_tokens=9, temperature=0),
        flat(prompt="how old?", model="other", response_schema=AGE),
        nestjs("a bare string"),
        nestjs({"prompt": "how old?", "response_schema": AGE}),
    )
    task_api.wait_until_done()
    text, age, bare, bare_age = told(task_api)
    usage = text.pop("usage")
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    hello = {"messages": [{"content": "hello"}]}
    assert text == {"text": reply_to(hello), "model": "gpt-4o-mini", "finish_reason": "stop"}
    assert (age["json"], age["model"]) == ({"age": 7}, "other")
    assert bare == reply_to({"messages": [{"content": "a bare string"}]})
    assert bare_age == {"age": 7}
    assert {task.shape for task in task_api.tasks()} == {Shape.FLAT, Shape.NESTJS}
    first = next(body for body in provider.chats if prompt_of(body) == "hello")
    assert first["messages"][0] == {"role": "system", "content": "be brief"}
    assert (first["max_tokens"], first["temperature"]) == (9, 0)
    assert len(provider.chats) == 4
    assert service.metrics().sum("openai_tokens_used_total", type="completion") > 0
    assert service.stop() == 0
    [line] = [line for line in service.log_lines("task_finished") if line["task_id"] == task_api.ids[0]]
    assert line["completion_tokens"] == usage["completion_tokens"]


@pytest.mark.slow
def test_what_is_no_result_is_failed_in_words_of_its_own_that_quote_nothing(
    start_service: StartService, task_api: Peer, provider: StubProvider
) -> None:
    def speak(body: ChatBody) -> bytes:
        match prompt_of(body).split()[0]:
            case "cut":
                return chat_json(body, f'{{"{MARKER}', reason="length")
            case "refuse":
                return chat_json(body, None, refusal=f"I will not: {MARKER}")
            case "filter":
                return chat_json(body, MARKER, reason="content_filter")
            case "nothing":
                return chat_json(body, None)
            case "tool":
                return chat_json(body, None, reason="tool_calls", tool_calls=[{"id": MARKER}])
            case _:
                return chat_json(body, f'{{"age": "{MARKER}"}}')

    provider.speak = speak
    service = start_service(LOG_LEVEL="DEBUG")
    prompts = ["cut it", "refuse it", "filter it", "nothing please", "tool please", "mismatch please"]
    task_api.add_bodies(
        *(flat(prompt=prompt, model="m", response_schema=AGE) for prompt in prompts),
        flat(prompt="hello"),
        flat(prompt="hello", model="m", response_schema={"$ref": "http://127.0.0.1:9/far"}),
    )
    task_api.wait_until_done()
    cut, refused, filtered, nothing, tool, mismatch, no_model, far = told(task_api)
    assert "cut off" in cut
    assert "refused" in refused
    assert "content filter" in filtered
    assert "without a text" in nothing
    assert "asked for a tool" in tool
    assert "properties/age/type" in mismatch
    assert no_model == 'input: "model" is missing, and GENERATION_MODEL is not set'
    assert "another document" in far
    assert len(provider.chats) == len(prompts) + 1, "one repair, no canary, nothing again"
    assert service.metrics().sum("circuit_breaker_state") == 0
    assert service.stop() == 0
    assert MARKER not in service.output()
    assert all(MARKER not in str(words) for words in told(task_api))


@pytest.mark.slow
def test_a_server_with_quirks_is_asked_as_it_likes(
    start_service: StartService, task_api: Peer, provider: StubProvider
) -> None:
    def particular(body: ChatBody) -> Fault | None:
        return without_schemas() if "response_format" in body else reasoning_model(body)

    provider.chat_policy = particular
    provider.speak = lambda body: chat_json(body, '```json\n{"age": 7}\n```')
    start_service(CONCURRENCY_LIMIT="1")
    asked = {"model": "m", "max_tokens": 9, "temperature": 0.2, "response_schema": AGE}
    task_api.add_bodies(*(flat(prompt=f"hello {number}", **asked) for number in range(5)))
    task_api.wait_until_done()
    assert [result["json"] for result in told(task_api)] == [{"age": 7}] * 5
    assert len(provider.chats) == 5 + 3, "each quirk is met once"
    last = provider.chats[-1]
    assert sorted(last) == ["max_completion_tokens", "messages", "model"]


@pytest.mark.slow
def test_trouble_of_the_provider_fails_no_task_and_a_refused_prompt_fails_alone(
    start_service: StartService, task_api: Peer, provider: StubProvider
) -> None:
    def refuse_poison(body: ChatBody) -> Fault | None:
        poisonous = "poison" in prompt_of(body)
        return (
            faults.refused(400, "This model's maximum context length is 8192 tokens.") if poisonous else None
        )

    provider.chat_policy = refuse_poison
    provider.script(
        faults.garbage(b"<html><title>Sign in</title></html>"),
        faults.garbage(b'{"object":"chat.completion","choices":[]}'),
        faults.error_in_success("slow down", code=429),
        faults.rate_limited(retry_after="1"),
        faults.server_error(502),
    )
    service = start_service(GENERATION_MODEL="m", RETRY_BACKOFF_FACTOR="1", CONCURRENCY_LIMIT="2")
    task_api.add_bodies(nestjs("poison"), *(nestjs(f"hello {number}") for number in range(8)))
    task_api.wait_until_done()
    poison, *good = told(task_api)
    assert "maximum context length" in poison
    assert good == [reply_to({"messages": [{"content": f"hello {number}"}]}) for number in range(8)]
    assert service.get("/ready").status == 200
