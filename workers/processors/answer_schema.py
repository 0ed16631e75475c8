"""The JSON Schema that an answer must match: what is no schema is refused, an answer is checked."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final

import orjson
from pydantic_core import SchemaError as PatternError

from shared.models import JsonValue
from shared.plain_text import one_line
from workers.processors.bounded_validator import (
    UncheckableError,
    bounded,
    compiled_pattern,
    dialect_of,
    make_validator,
    stock_class,
)

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MAX_SCHEMA_BYTES: Final = 64 * 1024
MAX_SCHEMA_DEPTH: Final = 50
MAX_PATTERN_CHARACTERS: Final = 500
MAX_ANSWER_CHARACTERS: Final = 1_000_000
MAX_STEPS: Final = 100_000
"""Two seconds at most."""
MAX_TRIAL_STEPS: Final = 10_000
MAX_COMPLAINTS: Final = 5
MAX_COMPLAINT_CHARACTERS: Final = 300
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_TRIALS: tuple[JsonValue, ...] = (None, {})
_FENCED = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*?)```", re.DOTALL)
_THOUGHT_ENDS = "</think>"


class MismatchError(Exception):
    """The answer is not what the schema asks for.

    `complaints` quote the answer: they are for the model. The message quotes the schema alone.
    """

    def __init__(self, where: str, complaints: list[str]) -> None:
        super().__init__(where)
        self.complaints = complaints


def check_schema(schema: Mapping[str, JsonValue]) -> None:
    """Raises ValueError where it can be no schema of an answer. The message goes on from "the schema"."""
    try:
        written = json.dumps(schema, allow_nan=False)
    except (ValueError, RecursionError):
        raise ValueError("holds a number that is no JSON, or is nested too deeply") from None
    if len(written) > MAX_SCHEMA_BYTES:
        raise ValueError(f"has more than {MAX_SCHEMA_BYTES:,} bytes")
    if (fault := _fault_of(written)) is not None:
        raise ValueError(fault)


def read_answer(text: str, schema: Mapping[str, JsonValue]) -> JsonValue:
    """The JSON in `text`, which matches `schema`. Raises MismatchError or UncheckableError."""
    if len(text) > MAX_ANSWER_CHARACTERS:
        raise UncheckableError(f"it has more than {MAX_ANSWER_CHARACTERS:,} characters")
    value = _json_in(text)
    with bounded(MAX_STEPS):
        errors = list(islice(make_validator(schema).iter_errors(value), MAX_COMPLAINTS))
    if errors:
        raise MismatchError(_where(errors[0]), [_complaint(error) for error in errors])
    return value


def _json_in(text: str) -> JsonValue:
    """Models put JSON between fences or behind what they thought, if nothing forces them not to."""
    text = text.rpartition(_THOUGHT_ENDS)[2].strip()
    fenced = _FENCED.findall(text)
    for candidate in (text, fenced[0] if len(fenced) == 1 else ""):
        try:
            value: JsonValue = orjson.loads(candidate)
        except orjson.JSONDecodeError:
            continue
        return value
    raise MismatchError("it is no JSON", ["The answer is not one JSON document."])


@lru_cache(maxsize=64)
def _fault_of(written: str) -> str | None:
    """Tasks often have the same schema, and the check takes a millisecond."""
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415  8 MB, only if a schema is given

    schema = json.loads(written)
    faults = (fault for depth, node in _nodes(schema) if (fault := _fault_of_node(node, depth)))
    if (fault := next(faults, None)) is not None:
        return fault
    try:
        stock_class(dialect_of(schema)).check_schema(schema, format_checker=None)
    except SchemaError as error:
        return f"is no JSON Schema{_at(error.absolute_path)}"
    except RecursionError:
        return "is nested too deeply"
    return _fault_of_trial(schema)


def _fault_of_trial(schema: Mapping[str, JsonValue]) -> str | None:
    """Why no answer could be checked against it."""
    try:
        with bounded(MAX_TRIAL_STEPS):
            validator = make_validator(schema)
            for reference in _references(schema):
                validator._resolver.lookup(reference)  # type: ignore[attr-defined]  # no public way to resolve
            for value in _TRIALS:
                list(validator.iter_errors(value))
    except UncheckableError as error:
        return f"cannot be used: {error}"
    return None


def _nodes(schema: JsonValue) -> Iterator[tuple[int, Mapping[str, JsonValue]]]:
    """Every object in it, and how deep it lies."""
    left: list[tuple[int, JsonValue]] = [(0, schema)]
    while left:
        depth, value = left.pop()
        if isinstance(value, Mapping):
            yield depth, value
            left.extend((depth + 1, below) for below in value.values())
        elif isinstance(value, list):
            left.extend((depth + 1, below) for below in value)


def _fault_of_node(node: Mapping[str, JsonValue], depth: int) -> str | None:
    if depth > MAX_SCHEMA_DEPTH:
        return "is nested too deeply"
    if isinstance(node.get("patternProperties"), Mapping):
        return 'uses "patternProperties", which is not supported'
    if depth and isinstance(node.get("$schema"), str):
        return 'names another "$schema" within itself'
    for name in _REFERENCES:
        reference = node.get(name)
        if isinstance(reference, str) and not reference.startswith("#"):
            return f'has a "{name}" to another document: only those that begin with # are followed'
    pattern = node.get("pattern")
    return _fault_of_pattern(pattern) if isinstance(pattern, str) else None


def _fault_of_pattern(pattern: str) -> str | None:
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        return f'has a "pattern" of more than {MAX_PATTERN_CHARACTERS} characters'
    try:
        compiled_pattern(pattern)
    except PatternError:
        return 'has a "pattern" that cannot be used: look-around and back-references are not supported'
    return None


def _references(schema: JsonValue) -> Iterator[str]:
    """Those that are resolved from the whole document, where no part of it has an address of its own."""
    nodes = [node for _, node in _nodes(schema)]
    if any(isinstance(node.get(name), str) for node in nodes for name in ("$id", "id")):
        return
    for node in nodes:
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference


def _where(error: "ValidationError") -> str:
    return f"it breaks the schema{_at(error.absolute_schema_path)}"


def _at(path: Iterable[str | int]) -> str:
    place = one_line("/".join(str(part) for part in path), MAX_COMPLAINT_CHARACTERS)
    return f" at {place}" if place else ""


def _complaint(error: "ValidationError") -> str:
    return one_line(f"{error.json_path}: {error.message}", MAX_COMPLAINT_CHARACTERS)
