"""The body of a chat call, as a server with certain quirks takes it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import orjson

from shared.models import JsonValue
from workers.providers.chat import SYSTEM_ROLES, ChatRequest, Message
from workers.providers.openai.quirks import RESPONSE_FORMAT, SYSTEM_ROLE, Quirks, SchemaSupport
from workers.providers.openai.refusals import words

SCHEMA_NAME = "answer"
_OF_STRICT = words(
    """
    $defs $ref additionalProperties anyOf const default definitions description enum exclusiveMaximum
    exclusiveMinimum format items maxItems maximum minItems minimum multipleOf pattern properties required
    title type
    """
)
"""What strict mode takes. Source: OpenAI, "Structured model outputs", supported schemas."""
_MAX_DEPTH = 60


def chat_body(request: ChatRequest, quirks: Quirks) -> dict[str, object]:
    asked = schema_support(request, quirks)
    messages = request.messages
    if asked is SchemaSupport.PROMPT and request.response_schema is not None:
        messages = _with_schema(messages, request.response_schema)
    if SYSTEM_ROLE in quirks.not_taken:
        messages = _without_system(messages)
    body: dict[str, object] = {
        "model": request.model,
        "messages": [{"role": message.role, "content": message.content} for message in messages],
    }
    options: dict[str, object] = {**request.options}
    if request.temperature is not None:
        options["temperature"] = request.temperature
    if request.max_tokens is not None:
        options[quirks.token_limit] = request.max_tokens
    if asked in (SchemaSupport.STRICT, SchemaSupport.LOOSE):
        options[RESPONSE_FORMAT] = _response_format(request, strict=asked is SchemaSupport.STRICT)
    return body | {name: value for name, value in options.items() if name not in quirks.not_taken}


def sent_parts(body: Mapping[str, object], request: ChatRequest, quirks: Quirks) -> frozenset[str]:
    """What a server may refuse of the body, and could do without."""
    parts = set(body) - {"model", "messages"}
    has_system = any(message.role in SYSTEM_ROLES for message in request.messages)
    if has_system and SYSTEM_ROLE not in quirks.not_taken:
        parts.add(SYSTEM_ROLE)
    return frozenset(parts)


def schema_support(request: ChatRequest, quirks: Quirks) -> SchemaSupport | None:
    """How the schema is asked for; None without one."""
    if request.response_schema is None:
        return None
    strict = quirks.schema is SchemaSupport.STRICT
    return SchemaSupport.LOOSE if strict and not fits_strict(request.response_schema) else quirks.schema


def fits_strict(schema: JsonValue) -> bool:
    """Is a schema within what strict mode takes: every object closed, each of its properties required?"""
    return isinstance(schema, Mapping) and schema.get("type") == "object" and _fits(schema, 0)


def _fits(schema: JsonValue, depth: int) -> bool:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH or not _OF_STRICT.issuperset(schema):
        return False
    properties = schema.get("properties")
    if schema.get("type") == "object" or properties is not None:
        required = schema.get("required")
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            return False
        if schema.get("additionalProperties") is not False or set(properties) != set(map(str, required)):
            return False
    return all(_fits(below, depth + 1) for below in _subschemas(schema))


def _subschemas(schema: Mapping[str, JsonValue]) -> Iterable[JsonValue]:
    for name in ("properties", "$defs", "definitions"):
        named = schema.get(name)
        if isinstance(named, Mapping):
            yield from named.values()
    if "items" in schema:
        yield schema["items"]
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        yield from choices


def _response_format(request: ChatRequest, *, strict: bool) -> dict[str, object]:
    named: dict[str, object] = {"name": SCHEMA_NAME, "schema": request.response_schema}
    if strict:
        named["strict"] = True
    return {"type": "json_schema", "json_schema": named}


def _with_schema(messages: tuple[Message, ...], schema: Mapping[str, JsonValue]) -> tuple[Message, ...]:
    """The schema at the end of what the user says, which every model reads."""
    asked = (
        "Answer with JSON alone, without any other text. It must match this JSON Schema:\n"
        + orjson.dumps(schema).decode()
    )
    last = messages[-1]
    if last.role != "user":
        return (*messages, Message("user", asked))
    return (*messages[:-1], replace(last, content=f"{last.content}\n\n{asked}"))


def _without_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """What the system says, at the beginning of what the user says first."""
    said = "\n\n".join(message.content for message in messages if message.role in SYSTEM_ROLES)
    others = [message for message in messages if message.role not in SYSTEM_ROLES]
    if not said:
        return messages
    place = next((place for place, message in enumerate(others) if message.role == "user"), None)
    if place is None:
        return (Message("user", said), *others)
    others[place] = replace(others[place], content=f"{said}\n\n{others[place].content}")
    return tuple(others)
