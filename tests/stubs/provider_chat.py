"""What the stub provider says in a chat, and how servers refuse a chat call, in their own words."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import orjson

from tests.stubs.provider_faults import Fault

ChatBody: TypeAlias = Mapping[str, Any]
"""A request as JSON."""
ChatPolicy: TypeAlias = Callable[[ChatBody], Fault | None]


def prompt_of(body: ChatBody) -> str:
    return str(body["messages"][-1]["content"])


def reply_to(body: ChatBody) -> str:
    """What is said to the last message: the same every time."""
    return f"answer {hashlib.blake2b(prompt_of(body).encode(), digest_size=4).hexdigest()}"


def chat_json(body: ChatBody, text: str | None, *, reason: str = "stop", **message: object) -> bytes:
    """The body of an answer."""
    prompt_tokens = sum(len(str(each["content"])) // 4 + 1 for each in body["messages"])
    completion_tokens = len(text or "") // 4 + 1
    said = {"role": "assistant", "content": text, "refusal": None, **message}
    return orjson.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": reason, "message": said}],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            },
        }
    )


def unsupported_parameter(name: str, instead: str = "") -> Fault:
    """OpenAI's and Azure's words."""
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    message += f" Use '{instead}' instead." if instead else ""
    kind = "invalid_request_error"
    error = {"message": message, "type": kind, "param": name, "code": "unsupported_parameter"}
    return Fault("unsupported_parameter", 400, orjson.dumps({"error": error}))


def without_schemas() -> Fault:
    """DeepSeek's words."""
    message, kind = "This response_format type is unavailable now", "invalid_request_error"
    error = {"message": message, "type": kind, "param": None, "code": kind}
    return Fault("without_schemas", 400, orjson.dumps({"error": error}))


def reasoning_model(body: ChatBody) -> Fault | None:
    """A policy: takes no sampling parameters, and the newer name of the limit alone."""
    if "max_tokens" in body:
        return unsupported_parameter("max_tokens", "max_completion_tokens")
    if "temperature" in body:
        message = (
            f"Unsupported value: 'temperature' does not support {body['temperature']} with this model."
            " Only the default (1) value is supported."
        )
        kind = "invalid_request_error"
        error = {"message": message, "type": kind, "param": "temperature", "code": "unsupported_value"}
        return Fault("unsupported_value", 400, orjson.dumps({"error": error}))
    return None
