"""What a task of text generation may say, and what is refused before it costs anything."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import NonRetryableError
from workers.processors.text_generation import MAX_MESSAGES, GenerationInput, TextGenerationProcessor
from workers.providers.chat import Message

PROCESSOR = TextGenerationProcessor(None, "the-default")
TURN = {"role": "user", "content": "x"}
KEYWORDS = st.sampled_from(
    ["type", "$ref", "pattern", "properties", "items", "role", "content", "allOf", "$schema", "$id", "enum"]
)
PARTS = '"messages.0.content" must be a text, or a list of parts of type text'


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
        ("", '"prompt" is empty'),
        (5, 'must be an object, or a string, which is the "prompt"'),
        (None, 'must be an object, or a string, which is the "prompt"'),
        ({}, '"prompt" is missing, and so is "messages"'),
        ({"prompt": None}, '"prompt" is missing, and so is "messages"'),
        ({"prompt": "x", "messages": [TURN]}, 'has both "prompt" and "messages": give one of them'),
        ({"prompt": " \n"}, '"prompt" is empty'),
        ({"prompt": ["x"]}, '"prompt" must be a string'),
        ({"messages": []}, '"messages" must hold 1 to 1,000 messages'),
        ({"messages": [TURN] * (MAX_MESSAGES + 1)}, '"messages" must hold 1 to 1,000 messages'),
        ({"messages": TURN}, '"messages" must be a list'),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "\"messages.0.role\" must be 'system', 'developer', 'user' or 'assistant'",
        ),
        ({"messages": [{"role": "user"}]}, '"messages.0.content" is missing'),
        ({"messages": [{"role": "user", "content": " "}]}, '"messages" hold no text'),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, PARTS),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, PARTS),
        ({"prompt": "x", "system": ""}, '"system" is empty'),
        ({"prompt": "x", "model": " "}, '"model" must be a name of 1 to 256 characters'),
        ({"prompt": "x", "model": "m" * 257}, '"model" must be a name of 1 to 256 characters'),
        ({"prompt": "x", "max_tokens": 0}, '"max_tokens" must be greater than or equal to 1'),
        ({"prompt": "x", "max_tokens": 1.5}, '"max_tokens" must be a whole number'),
        ({"prompt": "x", "max_tokens": True}, '"max_tokens" must be a whole number'),
        ({"prompt": "x", "max_tokens": "5"}, '"max_tokens" must be a whole number'),
        ({"prompt": "x", "temperature": -0.1}, '"temperature" must be greater than or equal to 0'),
        ({"prompt": "x", "temperature": float("nan")}, '"temperature" must be a finite number'),
        ({"prompt": "x", "temperature": True}, '"temperature" must be a number'),
        ({"prompt": "x", "response_schema": "object"}, '"response_schema" must be an object'),
        (
            {"prompt": "x", "response_schema": {"type": "strin"}},
            '"response_schema" is no JSON Schema at type',
        ),
        (
            {"prompt": "x", "response_schema": {"const": "\ud800"}},
            "has a lone surrogate and is no valid Unicode",
        ),
    ],
)
def test_an_input_that_cannot_be_meant_is_refused_in_one_sentence(given: Any, words: str) -> None:
    with pytest.raises(NonRetryableError) as caught:
        PROCESSOR.parse(given)
    assert str(caught.value) == f"input: {words}"


def test_a_bare_string_is_the_prompt_and_the_default_model_holds() -> None:
    parsed = PROCESSOR.parse("hello")
    assert (parsed.prompt, parsed.model) == ("hello", "the-default")
    assert PROCESSOR.key(parsed).model == "the-default"


def test_without_a_model_it_says_what_to_set() -> None:
    message = 'input: "model" is missing, and GENERATION_MODEL is not set'
    with pytest.raises(NonRetryableError, match=re.escape(message)):
        TextGenerationProcessor(None, "").parse("hello")


def test_two_tasks_of_one_prompt_are_two_questions() -> None:
    one, other = (PROCESSOR.make_task(PROCESSOR.parse("hello"), task_id) for task_id in "ab")
    assert one.question != other.question


def test_the_canary_is_one_word_with_room_to_think() -> None:
    canary = PROCESSOR.canary("word", "m")
    request = canary.request("")
    assert request.model == "m"
    assert "word" in request.messages[0].content
    assert request.max_tokens == 512


NAMES = ("prompt", "messages", "system", "model", "max_tokens", "temperature", "response_schema")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON | st.dictionaries(st.sampled_from(NAMES), JSON))
def test_whatever_comes_is_an_input_or_a_refusal(given: Any) -> None:
    try:
        parsed = PROCESSOR.parse(given)
    except NonRetryableError as error:
        assert str(error).startswith("input: ")
        return
    again = PROCESSOR.parse(orjson.loads(parsed.model_dump_json()))
    assert again == parsed, "it comes back from the journal as it was"
