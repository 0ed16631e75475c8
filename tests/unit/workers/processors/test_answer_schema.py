"""Schemas and answers from outside: what is no schema is refused, and no check takes long."""

import socket
import time
from typing import Any, TypeAlias

import orjson
import pytest

from workers.processors.answer_schema import (
    MAX_ANSWER_CHARACTERS,
    MAX_PATTERN_CHARACTERS,
    MismatchError,
    check_schema,
    read_answer,
)
from workers.processors.bounded_validator import MAX_MATCHED_CHARACTERS, UncheckableError

Schema: TypeAlias = dict[str, Any]
AGE: Schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
LOOK_AROUND = "look-around and back-references are not supported"


def nested(depth: int) -> Schema:
    schema: Schema = {}
    for _ in range(depth):
        schema = {"not": schema}
    return schema


def doubling(times: int) -> Schema:
    """Each definition is looked at twice as often as the one before."""
    steps = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(times)}
    return {"$ref": "#/$defs/a0", "$defs": {**steps, f"a{times}": {}}}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        AGE,
        {"type": "string", "pattern": r"^\d{4}-\d\d$"},
        {"properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}},
        {"$anchor": "x", "properties": {"a": {"$ref": "#x"}}},
        {"properties": {"below": {"$ref": "#"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}}, "items": [{}]},
        {"$schema": "https://unknown.example/dialect", "type": "object"},
        {"$id": "https://mine.example/schema", "$defs": {"a": {}}, "$ref": "#/$defs/a"},
    ],
)
def test_a_schema_is_taken(schema: Schema) -> None:
    check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "strin"}, "is no JSON Schema at type"),
        ({"properties": {"a": {"required": "b"}}}, "is no JSON Schema at properties/a/required"),
        ({"$schema": 5}, "is no JSON Schema"),
        ({"const": float("nan")}, "no JSON"),
        ({"description": "x" * 70_000}, "more than 65,536 bytes"),
        (nested(51), "nested too deeply"),
        (nested(5000), "nested too deeply"),
        ({"$ref": "https://elsewhere.example/s"}, "to another document"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "to another document"),
        ({"$dynamicRef": "other#x"}, "to another document"),
        ({"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}}, "within itself"),
        ({"properties": {"a": {"$ref": "#/$defs/missing"}}}, "does not hold"),
        ({"$ref": "#"}, "without end"),
        ({"allOf": [{"$ref": "#"}]}, "without end"),
        (doubling(40), "takes too long"),
        ({"patternProperties": {"^(a+)+$": {}}}, "patternProperties"),
        ({"pattern": "x" * (MAX_PATTERN_CHARACTERS + 1)}, "more than 500 characters"),
        ({"pattern": "(?=a)b"}, LOOK_AROUND),
        ({"pattern": r"(a)\1"}, LOOK_AROUND),
        ({"pattern": "(("}, LOOK_AROUND),
        ({"pattern": "(a{1000}){1000}"}, LOOK_AROUND),
    ],
)
def test_what_is_no_schema_or_does_harm_is_refused_quickly(schema: Schema, words: str) -> None:
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(ValueError, match=words):
            check_schema(schema)
    assert time.monotonic() - started < 5


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    far: Schema = {"$id": "http://127.0.0.1:9/s", "properties": {"a": {"$ref": "http://127.0.0.1:9/t"}}}
    with pytest.raises(ValueError, match="another document"):
        check_schema(far)
    with pytest.raises(UncheckableError, match="does not hold"):
        read_answer('{"a":1}', far)


@pytest.mark.parametrize(
    "text",
    [
        '{"age":7}',
        ' \n{"age":7}\n',
        '```json\n{"age":7}\n```',
        '```\n{"age":7}\n```',
        'Here it is:\n```json\n{"age":7}\n```\nAnything else?',
        '<think>{"age": 6}? No.</think>\n{"age":7}',
    ],
)
def test_json_is_found_between_fences_and_behind_thoughts(text: str) -> None:
    assert read_answer(text, AGE) == {"age": 7}


@pytest.mark.parametrize(
    "text", ["", "seven", '{"age":', '{"age":NaN}', '{"age":7} {"age":8}', "```\n1\n```\n```\n2\n```"]
)
def test_what_is_no_json_does_not_match(text: str) -> None:
    with pytest.raises(MismatchError, match="no JSON"):
        read_answer(text, AGE)


def test_the_model_is_told_what_is_wrong_and_the_log_only_where() -> None:
    with pytest.raises(MismatchError) as caught:
        read_answer('{"age":"a secret"}', AGE)
    assert str(caught.value) == "it breaks the schema at properties/age/type"
    assert caught.value.complaints == ["$.age: 'a secret' is not of type 'integer'"]


def test_complaints_are_few_and_short() -> None:
    text = orjson.dumps(["x" * 1000] * 100).decode()
    with pytest.raises(MismatchError) as caught:
        read_answer(text, {"items": {"type": "integer"}})
    assert len(caught.value.complaints) == 5
    assert all(len(complaint) <= 300 for complaint in caught.value.complaints)


def test_the_dialect_that_is_named_holds() -> None:
    old: Schema = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "minimum": 1,
        "exclusiveMinimum": True,
    }
    check_schema(old)
    with pytest.raises(MismatchError):
        read_answer("1", old)


LEVELS = '{"a":' * 40 + "1" + "}" * 40
TWICE: Schema = {"allOf": [{"properties": {"a": {"$ref": "#"}}}] * 2}
HOSTILE = [
    ("backtracking", orjson.dumps("a" * 5000 + "!").decode(), {"pattern": "^(a+)+$"}, MismatchError),
    (
        "a long text",
        orjson.dumps("a" * (MAX_MATCHED_CHARACTERS + 1)).decode(),
        {"pattern": "b"},
        UncheckableError,
    ),
    ("a long answer", '"' + "a" * MAX_ANSWER_CHARACTERS + '"', {}, UncheckableError),
    (
        "objects compared each with each",
        orjson.dumps([{"a": n} for n in range(20_000)]).decode(),
        {"uniqueItems": True},
        UncheckableError,
    ),
    (
        "a large text in each of many complaints",
        '"' + "x" * 900_000 + '"',
        {"anyOf": [{"type": "null"}] * 1500},
        UncheckableError,
    ),
    ("deep", '{"a":' * 900 + "1" + "}" * 900, {"properties": {"a": {"$ref": "#"}}}, UncheckableError),
    ("twice as much at each level", LEVELS, TWICE, UncheckableError),
    (
        "the same in a dialect that is named",
        LEVELS,
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **TWICE},
        UncheckableError,
    ),
]


@pytest.mark.parametrize(
    ("text", "schema", "error"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE]
)
def test_no_answer_makes_the_check_long(text: str, schema: Schema, error: type[Exception]) -> None:
    check_schema(schema)
    started = time.thread_time()
    with pytest.raises(error):
        read_answer(text, schema)
    assert time.thread_time() - started < 10


def test_what_is_sorted_out_in_time_is_checked_whole() -> None:
    numbers = orjson.dumps([*range(5000), 0]).decode()
    with pytest.raises(MismatchError):
        read_answer(numbers, {"uniqueItems": True, "items": {"type": "integer"}})
