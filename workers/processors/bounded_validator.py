"""A JSON Schema validator whose time and memory are bounded, whatever schema and answer are.

Both come from outside. Every keyword that is looked at counts against a budget, patterns run on an engine
without backtracking, and references stay within the schema: nothing is fetched.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import SchemaValidator, core_schema

from shared.models import JsonValue

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

MAX_MATCHED_CHARACTERS: Final = 10_000
"""Of a text that a pattern is tried on."""
DEFAULT_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
CHARACTERS_A_STEP: Final = 64
COMPARISONS_A_STEP: Final = 8

Keyword = Callable[[Any, Any, Any, Any], "Iterable[ValidationError] | None"]
"""As jsonschema calls one: validator, the keyword's value, instance, schema."""


class UncheckableError(Exception):
    """The check would take too long, or the schema turned out to be none."""


class Budget:
    """Steps that a check may take."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise UncheckableError("the check takes too long")


_budget: ContextVar[Budget] = ContextVar("budget")


@lru_cache(maxsize=256)
def compiled_pattern(pattern: str) -> SchemaValidator:
    """On an engine whose time is linear in the text, whatever the pattern is."""
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


def dialect_of(schema: Mapping[str, JsonValue]) -> str:
    named = schema.get("$schema")
    return named if isinstance(named, str) else DEFAULT_DIALECT


def make_validator(schema: Mapping[str, JsonValue]) -> "Validator":
    # With a "$schema" the library would go on with a class of its own, which counts nothing.
    bare = {name: value for name, value in schema.items() if name != "$schema"}
    return _validator_class(dialect_of(schema))(bare, registry=_empty_registry())


def stock_class(dialect: str) -> Any:
    """The library's class, which its types know less of than there is. An unknown dialect is the newest."""
    from jsonschema.validators import Draft202012Validator, validator_for  # noqa: PLC0415

    return validator_for({"$schema": dialect}, default=Draft202012Validator)


@lru_cache(maxsize=16)
def _validator_class(dialect: str) -> "type[Validator]":
    """The dialect's own, with every keyword counted."""
    from jsonschema.validators import extend  # noqa: PLC0415

    stock = stock_class(dialect)
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
    if not compiled_pattern(pattern).isinstance_python(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


@contextmanager
def bounded(steps: int) -> Iterator[None]:
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
