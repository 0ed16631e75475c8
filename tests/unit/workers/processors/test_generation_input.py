"""What a task of text generation may say, and what is refused before it costs anything."""

from typing import Any

import pytest
from pydantic import ValidationError

from workers.processors.text_generation import MAX_MESSAGES, GenerationInput
from workers.providers.chat import Message


def parse(**given: Any) -> GenerationInput:
    return GenerationInput.model_validate(given)


def test_a_prompt_is_what_the_user_says() -> None:
    request = parse(prompt="hello", system="be brief").request("m")
    assert request.messages == (Message("system", "be brief"), Message("user", "hello"))
    assert (request.model, request.max_tokens, request.temperature) == ("m", None, None)


def test_messages_are_passed_on_in_their_order() -> None:
    turns = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello", "name": "left unread"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]
    assert [message.content for message in parse(messages=turns).request("m").messages] == [
        "be brief",
        "hello",
        "",
        "ab",
    ]


def test_what_the_task_says_wins_over_the_default() -> None:
    request = parse(prompt="x", model="mine", max_tokens=5, temperature=0).request("m")
    assert (request.model, request.max_tokens, request.temperature) == ("mine", 5, 0)


def test_null_is_as_good_as_nothing() -> None:
    names = ("messages", "system", "model", "max_tokens", "temperature", "response_schema")
    assert parse(prompt="x", **dict.fromkeys(names)) == parse(prompt="x")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, '"prompt" is missing'),
        ({"prompt": None}, '"prompt" is missing'),
        ({"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, "both"),
        ({"prompt": " \n"}, "is empty"),
        ({"prompt": 5}, "valid string"),
        ({"prompt": ["x"]}, "valid string"),
        ({"messages": []}, "at least 1"),
        ({"messages": [{"role": "user", "content": "x"}] * (MAX_MESSAGES + 1)}, "at most 1000"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "'system', 'developer', 'user' or 'assistant'"),
        ({"messages": [{"role": "user"}]}, "required"),
        ({"messages": [{"role": "user", "content": " "}]}, "hold no text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "parts of type text",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "parts of type text"),
        ({"messages": {"role": "user"}}, "valid list"),
        ({"prompt": "x", "system": ""}, "is empty"),
        ({"prompt": "x", "model": " "}, "name of 1 to 256"),
        ({"prompt": "x", "model": "m" * 257}, "name of 1 to 256"),
        ({"prompt": "x", "max_tokens": 0}, "greater than or equal to 1"),
        ({"prompt": "x", "max_tokens": 1.5}, "valid integer"),
        ({"prompt": "x", "max_tokens": True}, "valid integer"),
        ({"prompt": "x", "max_tokens": "5"}, "valid integer"),
        ({"prompt": "x", "temperature": -0.1}, "greater than or equal to 0"),
        ({"prompt": "x", "temperature": float("nan")}, "finite|greater than"),
        ({"prompt": "x", "temperature": "hot"}, "valid number"),
        ({"prompt": "x", "response_schema": "object"}, "valid dictionary"),
        ({"prompt": "x", "response_schema": {"type": "strin"}}, "no JSON Schema at type"),
        ({"prompt": "x", "response_schema": {"$ref": "http://far.example/"}}, "another document"),
    ],
)
def test_an_input_that_cannot_be_meant_is_refused_in_words(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        parse(**given)
