"""Chat answers as servers really write them, and what is made of each."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason
from shared.models import Usage
from workers.providers.chat import ChatAnswer
from workers.providers.openai.answer import read_body
from workers.providers.openai.chat_answer import error_in_chat, parse_chat, parse_usage

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def body(content: object = "hello", reason: object = "stop", **message: object) -> dict[str, object]:
    said = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "finish_reason": reason, "message": said}
    return {"object": "chat.completion", "model": "m-2024", "choices": [choice], "usage": USAGE}


def test_a_plain_answer() -> None:
    answer = parse_chat(body(refusal=None), "m")
    assert answer == ChatAnswer("hello", "m-2024", "stop", usage=Usage(10, 15, 5))
    assert answer.complete_text() == "hello"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}], "hello"),
        (
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]},
                {"type": "text", "text": "hello"},
            ],
            "hello",
        ),
        ([{"type": "output_text", "text": {"value": "hello"}}], "hello"),
        (["hel", "lo"], "hello"),
        ([{"text": "hello"}], "hello"),
        ({"type": "text", "text": "hello"}, "hello"),
        ("a\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
        (None, None),
        (17, None),
        ([], ""),
    ],
)
def test_a_text_is_found_in_whatever_it_is_wrapped(content: object, text: str | None) -> None:
    assert parse_chat(body(content), "m").text == text


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, Usage()),
        ("free", Usage()),
        ({"prompt_tokens": 10.0, "completion_tokens": "5", "total_tokens": 15.0}, Usage(10, 15, 5)),
        ({"prompt_tokens": 10, "completion_tokens": 5}, Usage(10, 15, 5)),
        ({"input_tokens": 10, "output_tokens": 5}, Usage(10, 15, 5)),
        ({"prompt_tokens": -1, "completion_tokens": None, "total_tokens": 1e300}, Usage()),
        (
            {
                **USAGE,
                "prompt_tokens_details": {"cached_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
            Usage(10, 15, 5, 8, 4),
        ),
        ({**USAGE, "prompt_tokens_details": None, "prompt_cache_hit_tokens": 8}, Usage(10, 15, 5, 8)),
    ],
)
def test_tokens_are_read_by_kind_and_none_are_made_up(usage: object, expected: Usage) -> None:
    assert parse_usage(usage) == expected


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"choices": None},
        {"choices": {}},
        {"choices": []},
        {"choices": [None]},
        {"choices": [{"finish_reason": "stop"}]},
        {"choices": [{"finish_reason": "stop", "message": "hello"}]},
    ],
)
def test_a_body_without_an_answer_is_the_providers_trouble(odd: Mapping[str, object]) -> None:
    with pytest.raises(RetryableError, match="cannot be used") as caught:
        parse_chat(odd, "m")
    assert caught.value.reason is RetryReason.BAD_RESPONSE


SPOKEN = "what the model said"


@pytest.mark.parametrize(
    "content",
    [
        b'{"choices":[{"message":{"content":"what the model said',
        b'data: {"choices":[{"delta":{"content":"what the model said"}}]}',
        b'"what the model said"',
        b'{"message":{"role":"assistant","content":"what the model said"},"done":true}',
        b'{"output_text":"what the model said"}',
        b'{"choices":["what the model said"]}',
    ],
)
def test_no_error_quotes_what_a_model_said_in_another_shape(content: bytes) -> None:
    with pytest.raises(RetryableError) as caught:
        parse_chat(read_body(content, quotes_json=False), "m")
    assert SPOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"upstream connect error or disconnect", "upstream connect error"),
        (b"<html><title>Sign in</title></html>", "Sign in"),
        (b'{"detail":"Not authenticated"}', "Not authenticated"),
    ],
)
def test_what_answers_in_the_providers_place_is_quoted(content: bytes, words: str) -> None:
    with pytest.raises(RetryableError, match=words):
        parse_chat(read_body(content, quotes_json=False), "m")


@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource"])
def test_an_answer_that_the_server_broke_off_may_come_the_next_time(reason: str) -> None:
    with pytest.raises(RetryableError, match=reason) as caught:
        parse_chat(body("half an ans", reason), "m")
    assert caught.value.reason is RetryReason.SERVER_ERROR


def test_what_the_answer_does_not_say_is_not_made_up() -> None:
    answer = parse_chat({"choices": [{"message": {"content": "hello"}}]}, "m")
    assert answer == ChatAnswer("hello", "m", "")
    assert answer.complete_text() == "hello"


def test_an_unknown_reason_ends_a_whole_answer() -> None:
    assert parse_chat(body(reason="eos_token"), "m").complete_text() == "hello"


SECRET = "the answer's own words"
FAULTS = [
    ("cut off", body(SECRET, "length"), "cut off after 5 tokens"),
    ("cut off, Mistral", body(SECRET, "model_length"), "cut off"),
    ("cut off, upper case", body(SECRET, "MAX_TOKENS"), "cut off"),
    ("cut off while it refuses", body(SECRET, "length", refusal=SECRET), "cut off"),
    ("cut off in a call of a tool", body(None, "length", tool_calls=[{"id": "1"}]), "cut off"),
    ("refused", body(None, "stop", refusal=SECRET), "refused to answer"),
    ("refused, and filtered", body(None, "content_filter", refusal=SECRET), "refused to answer"),
    ("refused in a part", body([{"type": "refusal", "refusal": SECRET}]), "refused to answer"),
    ("refused, Anthropic", body(SECRET, "refusal"), "refused to answer"),
    ("filtered", body(SECRET, "content_filter"), "content filter"),
    ("filtered, Gemini", body(None, "SAFETY"), "content filter"),
    ("filtered, and empty", body(None, "content_filter"), "content filter"),
    ("wants a tool", body(None, "tool_calls", tool_calls=[{"id": "1"}]), "asked for a tool"),
    (
        "wants a tool after some words",
        body(SECRET, "tool_calls", tool_calls=[{"id": "1"}]),
        "asked for a tool",
    ),
    ("wants a tool, and says stop", body(None, "stop", tool_calls=[{"id": "1"}]), "asked for a tool"),
    ("wants a function", body(None, "function_call", function_call={"name": "f"}), "asked for a tool"),
    ("null", body(None), "without a text"),
    ("empty", body(""), "without a text"),
    ("blank", body(" \n"), "without a text"),
    ("no parts", body([]), "without a text"),
]


@pytest.mark.parametrize(("said", "words"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_what_is_no_whole_answer_is_the_tasks_failure_in_words_that_quote_nothing(
    said: dict[str, object], words: str
) -> None:
    with pytest.raises(NonRetryableError, match=words) as caught:
        parse_chat(said, "m").complete_text()
    assert caught.value.blame is Blame.ANSWER
    assert caught.value.usage == Usage(10, 15, 5), "it is billed all the same"
    assert SECRET not in str(caught.value)


def test_a_model_that_only_thought_says_so() -> None:
    usage = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 5}}
    with pytest.raises(NonRetryableError, match="5 tokens went into reasoning"):
        parse_chat({**body(""), "usage": usage}, "m").complete_text()


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"message": "upstream says no", "code": 429}},
        {"error": "upstream says no", "choices": []},
        {"object": "error", "message": "upstream says no", "code": 400},
        {"error": {"message": "upstream says no"}, "choices": [{"message": {"content": None}}]},
        {"choices": [{"error": {"message": "upstream says no", "code": 502}, "finish_reason": "error"}]},
        {"choices": [{"error": {"message": "upstream says no"}, "message": {"content": ""}}]},
    ],
)
def test_an_error_in_place_of_the_answer_is_found(said: dict[str, object]) -> None:
    error = error_in_chat(said)
    assert error is not None
    assert "upstream says no" in error.message


def test_an_answer_beside_an_error_that_says_nothing_counts() -> None:
    assert error_in_chat({**body(), "error": None}) is None
    assert error_in_chat({**body(), "error": {"message": "a warning"}}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(content=JSON, reason=JSON, refusal=JSON, usage=JSON, model=JSON)
def test_whatever_comes_is_an_answer_or_an_error_of_ours(
    content: object, reason: object, refusal: object, usage: object, model: object
) -> None:
    said = {**body(content, reason, refusal=refusal), "usage": usage, "model": model}
    try:
        text = parse_chat(said, "m").complete_text()
    except (RetryableError, NonRetryableError):
        return
    text.encode()
