"""The input of each task type: how it is parsed, how long it is, and which tasks may share a batch.

The length is judged without a tokenizer. A token is at least one byte of UTF-8, so bytes bound tokens from
above. The tokenizer of OpenAI's embedding models (cl100k_base) never joins two runs of letters nor more than
three digits, so these bound them from below. Between the two bounds it is a guess.
"""

import hashlib
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.errors import NonRetryableError
from shared.models import BatchKey, JsonValue, Task, TaskInput, TaskType, TextLength, WireShape

DEFAULT_MODEL = "text-embedding-3-small"
MAX_MODEL_CHARACTERS = 256
MAX_DIMENSIONS = 65_536
MAX_TEXT_TOKENS = 8192
"""Source: OpenAI's API reference, "Create embeddings", `input`."""
MAX_TOKEN_CHARACTERS = 256
"""Twice the longest of cl100k_base: 128 spaces."""
LIMITED_MODELS = frozenset({"text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"})
CONTENT_ID_BYTES = 16
"""Long enough that no two different texts get the same id, by chance or by design."""
_DOUBT_FROM = 0.8 * MAX_TEXT_TOKENS
_TOKENS_A_WORD = 1.5
_WORDS = re.compile(r"[^\W\d_]+|\d{1,3}")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class EmbeddingInput(TaskInput):
    """`{"text", "model"?, "dimensions"?}`, or a bare string, which is the text."""

    text: str
    model: str = DEFAULT_MODEL
    dimensions: int | None = None

    @classmethod
    def parse(cls, given: JsonValue) -> "EmbeddingInput":
        if isinstance(given, str):
            return cls(_text(given))
        if not isinstance(given, dict):
            raise NonRetryableError('input: expected a text, or an object with "text"')
        return cls(
            text=_text(given.get("text")),
            model=_model(given.get("model")),
            dimensions=_dimensions(given.get("dimensions")),
        )

    @property
    def key(self) -> BatchKey:
        return BatchKey(TaskType.TEXT_EMBEDDING, self.model, self.dimensions)

    @property
    def size_bytes(self) -> int:
        return len(self.text.encode())

    @property
    def length(self) -> TextLength:
        return judge_length(self.text, self.model)

    @property
    def content_id(self) -> str:
        return hashlib.blake2b(self.text.encode(), digest_size=CONTENT_ID_BYTES).hexdigest()


INPUT_TYPES: Mapping[str, type[TaskInput]] = {
    TaskType.TEXT_EMBEDDING: EmbeddingInput,
}
CANARY_INPUTS: Mapping[str, Callable[[str, str], TaskInput]] = {
    TaskType.TEXT_EMBEDDING: EmbeddingInput,
}
"""The smallest question of a task type, around one word, to a model."""


def read_input(task_type: str, fields: Mapping[str, JsonValue]) -> TaskInput:
    """An input that was written to the disk. Raises TypeError where the fields are not those of the type."""
    return INPUT_TYPES[task_type](**fields)


def has_canary(task_type: str) -> bool:
    return task_type in CANARY_INPUTS


def canary_task(key: BatchKey, name: str) -> Task:
    """A task that the API does not know: one word, for the type and model of `key` alone."""
    word = f"canary{name}"
    plain = BatchKey(key.task_type, key.model)
    payload = CANARY_INPUTS[key.task_type](word, key.model)
    return Task(f"canary-{name}", plain, payload, WireShape.FLAT, f"canary-{name}", len(word))


def judge_length(text: str, model: str) -> TextLength:
    """Certain for OVER, and for FITS below 8,193 bytes. Other providers' models have limits of their own."""
    if model not in LIMITED_MODELS or len(text.encode()) <= MAX_TEXT_TOKENS:
        return TextLength.FITS
    if len(text) > MAX_TEXT_TOKENS * MAX_TOKEN_CHARACTERS:
        return TextLength.OVER
    words = sum(1 for _ in itertools.islice(_WORDS.finditer(text), MAX_TEXT_TOKENS + 1))
    if words > MAX_TEXT_TOKENS:
        return TextLength.OVER
    foreign = sum(1 for _ in itertools.islice(_NOT_ASCII.finditer(text), MAX_TEXT_TOKENS))
    guess = words * _TOKENS_A_WORD + foreign
    return TextLength.DOUBTFUL if guess > _DOUBT_FROM else TextLength.FITS


def split_text(text: str, max_bytes: int = MAX_TEXT_TOKENS) -> list[str]:
    """The text in pieces of at most `max_bytes`, which surely fit, cut at spaces where there are any."""
    data = text.encode()
    pieces: list[str] = []
    start = 0
    while len(data) - start > max_bytes:
        end = start + max_bytes
        while data[end] & 0b1100_0000 == 0b1000_0000:  # noqa: PLR2004  a continuation byte of UTF-8
            end -= 1
        space = data.rfind(b" ", start + max_bytes // 2, end)
        cut = end if space < 0 else space + 1
        pieces.append(data[start:cut].decode())
        start = cut
    rest = data[start:].decode()
    return [*pieces, rest] if rest.strip() or not pieces else pieces


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
