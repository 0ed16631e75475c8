"""The JSON Schema that an answer must match: checked without a network, in bounded time and memory.

The schema comes from outside, and so does the answer. References stay within the schema; patterns run on an
engine without backtracking; and every keyword that is looked at counts against a budget.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema

from shared.models import JsonValue
from shared.plain_text import one_line

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

MAX_SCHEMA_BYTES: Final = 64 * 1024
MAX_SCHEMA_DEPTH: Final = 50
MAX_PATTERN_CHARACTERS: Final = 500
MAX_MATCHED_CHARACTERS: Final = 10_000
"""Of a text that a pattern is tried on."""
MAX_ANSWER_CHARACTERS: Final = 1_000_000
MAX_STEPS: Final = 100_000
"""Two seconds at most."""
MAX_TRIAL_STEPS: Final = 10_000
MAX_COMPLAINTS: Final = 5
MAX_COMPLAINT_CHARACTERS: Final = 300
DEFAULT_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
CHARACTERS_A_STEP: Final = 64
COMPARISONS_A_STEP: Final = 8
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_TRIALS: tuple[JsonValue, ...] = (None, {})
_FENCED = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*?)```", re.DOTALL)
_THOUGHT_ENDS = "</think>"

Keyword = Callable[[Any, Any, Any, Any], "Iterable[ValidationError] | None"]
"""As jsonschema calls one: validator, the keyword's value, instance, schema."""


class MismatchError(Exception):
    """The answer is not what the schema asks for.

    `complaints` quote the answer: they are for the model. The message quotes the schema alone.
    """

    def __init__(self, where: str, complaints: list[str]) -> None:
        super().__init__(where)
        self.complaints = complaints


class UncheckableError(Exception):
    """The check would take too long, or the schema turned out to be none."""


class Budget:
    def __init__(self, steps: int) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise UncheckableError("the check takes too long")


_budget: ContextVar[Budget] = ContextVar("budget")


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
    with _bounded(MAX_STEPS):
        errors = list(islice(_validator(schema).iter_errors(value), MAX_COMPLAINTS))
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
        _stock_class(_dialect(schema)).check_schema(schema, format_checker=None)
    except SchemaError as error:
        return f"is no JSON Schema{_at(error.absolute_path)}"
    except RecursionError:
        return "is nested too deeply"
    return _fault_of_trial(schema)


def _fault_of_trial(schema: Mapping[str, JsonValue]) -> str | None:
    """Why no answer could be checked against it."""
    try:
        with _bounded(MAX_TRIAL_STEPS):
            validator = _validator(schema)
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
        _compiled(pattern)
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


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> SchemaValidator:
    """On an engine whose time is linear in the text, whatever the pattern is."""
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


def _dialect(schema: Mapping[str, JsonValue]) -> str:
    named = schema.get("$schema")
    return named if isinstance(named, str) else DEFAULT_DIALECT


def _validator(schema: Mapping[str, JsonValue]) -> "Validator":
    # With a "$schema" the library would go on with a class of its own, which counts nothing.
    bare = {name: value for name, value in schema.items() if name != "$schema"}
    return _validator_class(_dialect(schema))(bare, registry=_empty_registry())


def _stock_class(dialect: str) -> Any:
    """The library's class, which its types know less of than there is. An unknown dialect is the newest."""
    from jsonschema.validators import Draft202012Validator, validator_for  # noqa: PLC0415

    return validator_for({"$schema": dialect}, default=Draft202012Validator)


@lru_cache(maxsize=16)
def _validator_class(dialect: str) -> "type[Validator]":
    """The dialect's own, with every keyword counted."""
    from jsonschema.validators import extend  # noqa: PLC0415

    stock = _stock_class(dialect)
    keywords = {name: _counted(name, check) for name, check in stock.VALIDATORS.items()}
    counted: type[Validator] = extend(stock, keywords | {"pattern": _counted("pattern", _pattern)})  # type: ignore[no-untyped-call]  # the library's own gap
    return counted


@lru_cache(maxsize=1)
def _empty_registry() -> Any:
    """Nothing is fetched: what the schema does not hold itself is not there."""
    from referencing import Registry  # noqa: PLC0415

    return Registry()


def _counted(name: str, check: Keyword) -> Keyword:
    def run(validator: Any, value: Any, instance: Any, schema: Any) -> "Iterator[ValidationError]":
        budget = _budget.get()
        budget.spend(1)
        if name == "uniqueItems" and isinstance(instance, list):
            budget.spend(_comparisons(instance) // COMPARISONS_A_STEP)
        for error in check(validator, value, instance, schema) or ():
            # It holds the instance in words.
            budget.spend(1 + len(error.message) // CHARACTERS_A_STEP)
            yield error

    return run


def _comparisons(items: list[Any]) -> int:
    """Objects are compared each with each; the rest is sorted."""
    compared = any(isinstance(item, list | dict) for item in items)
    return len(items) ** 2 if compared else len(items)


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> "Iterator[ValidationError]":
    from jsonschema.exceptions import ValidationError  # noqa: PLC0415

    if not isinstance(instance, str):
        return
    if len(instance) > MAX_MATCHED_CHARACTERS:
        raise UncheckableError(f'a text for a "pattern" has more than {MAX_MATCHED_CHARACTERS:,} characters')
    if not _compiled(pattern).isinstance_python(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


@contextmanager
def _bounded(steps: int) -> Iterator[None]:
    """Whatever the check raises becomes an UncheckableError."""
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    token = _budget.set(Budget(steps))
    try:
        yield
    except (UncheckableError, MemoryError):
        raise
    except RecursionError:
        raise UncheckableError(
            "it is nested too deeply, or the schema refers to itself without end"
        ) from None
    except Unresolvable:
        raise UncheckableError("the schema refers to what it does not hold") from None
    except Exception as error:  # noqa: BLE001  whatever the library raises on a schema that it took for one
        raise UncheckableError(f"the schema cannot be used ({type(error).__name__})") from None
    finally:
        _budget.reset(token)


def _where(error: "ValidationError") -> str:
    return f"it breaks the schema{_at(error.absolute_schema_path)}"


def _at(path: Iterable[str | int]) -> str:
    place = one_line("/".join(str(part) for part in path), MAX_COMPLAINT_CHARACTERS)
    return f" at {place}" if place else ""


def _complaint(error: "ValidationError") -> str:
    return one_line(f"{error.json_path}: {error.message}", MAX_COMPLAINT_CHARACTERS)
