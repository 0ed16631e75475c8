"""The input of a text embedding task: parsed once at the edge, read again by the processor."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import NonRetryableError
from shared.models import JsonValue

DEFAULT_MODEL = "text-embedding-3-small"
MAX_MODEL_CHARACTERS = 256
MAX_DIMENSIONS = 65_536


@dataclass(frozen=True, slots=True)
class EmbeddingInput:
    """`{"text", "model"?, "dimensions"?}`, or a bare string, which is the text."""

    text: str
    model: str = DEFAULT_MODEL
    dimensions: int | None = None

    @classmethod
    def parse(cls, payload: JsonValue) -> "EmbeddingInput":
        """Raises NonRetryableError with what is wrong and what was expected."""
        fields: Mapping[str, JsonValue] = {"text": payload} if isinstance(payload, str) else _object(payload)
        return cls(
            text=_text(fields.get("text")),
            model=_model(fields.get("model")),
            dimensions=_dimensions(fields.get("dimensions")),
        )


def _object(payload: JsonValue) -> Mapping[str, JsonValue]:
    if isinstance(payload, dict):
        return payload
    raise NonRetryableError('input: expected a text, or an object with "text"')


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise NonRetryableError('input: "text" is missing or no string')
    if not value or value.isspace():
        raise NonRetryableError('input: "text" is empty')
    if not _encodable(value):
        raise NonRetryableError('input: "text" has a lone surrogate and is no valid Unicode')
    return value


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _model(value: JsonValue) -> str:
    if value is None:
        return DEFAULT_MODEL
    if isinstance(value, str) and len(value) <= MAX_MODEL_CHARACTERS and value.strip() and _encodable(value):
        return value
    raise NonRetryableError(f'input: "model" must be a name of 1 to {MAX_MODEL_CHARACTERS} characters')


def _dimensions(value: JsonValue) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_DIMENSIONS:
        return value
    raise NonRetryableError(f'input: "dimensions" must be a whole number from 1 to {MAX_DIMENSIONS}')
