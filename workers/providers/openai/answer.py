"""The JSON of an embeddings answer, read without trust.

The SDK's own models cost four times as much as the rest of the call.
"""

import binascii
from collections.abc import Sequence

import numpy as np
import orjson

from shared.embedding_input import MAX_MODEL_CHARACTERS
from shared.models import Usage
from workers.providers.base import Embeddings
from workers.providers.openai.bad_answer import bad_answer
from workers.providers.vectors import Vector, Vectors

MAX_TOKENS = 10**12
_FLOAT32_BYTES = 4
_NUMBERS = frozenset({int, float})


def parse_answer(content: bytes, *, texts: int, model: str, dimensions: int | None) -> Embeddings:
    """The embeddings of so many `texts`, in their order, whatever order the answer has them in.

    `model` is the name asked for, reported where the answer names none. Raises RetryableError(BAD_RESPONSE).
    """
    body = _object(content)
    data = body.get("data")
    if not isinstance(data, list):
        raise bad_answer('it has no list "data"')
    rows = _in_order(data, texts)
    return Embeddings(
        vectors=Vectors.check(rows, texts=texts, dimensions=dimensions),
        model=_model(body.get("model")) or model,
        usage=_usage(body.get("usage")),
    )


def _object(content: bytes) -> dict[str, object]:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise bad_answer("it is no JSON") from error
    if not isinstance(body, dict):
        raise bad_answer("it is no JSON object")
    return body


def _in_order(data: Sequence[object], texts: int) -> list[Vector]:
    if len(data) != texts:
        raise bad_answer(f"{len(data)} vectors for {texts} texts")
    rows: dict[int, Vector] = {}
    for item in data:
        if not isinstance(item, dict):
            raise bad_answer('an item of "data" is no object')
        index = item.get("index")
        if type(index) is not int or not 0 <= index < texts or index in rows:
            raise bad_answer('an "index" is missing, repeated or out of range')
        rows[index] = _vector(item.get("embedding"))
    return [rows[index] for index in range(texts)]


def _vector(value: object) -> Vector:
    """Base64 of little-endian float32 as asked for, or the list of numbers that some servers send anyway."""
    if isinstance(value, str):
        return _from_base64(value)
    if isinstance(value, list) and _NUMBERS.issuperset(map(type, value)):
        return np.array(value, dtype=np.float64)
    raise bad_answer("an embedding is neither base64 nor a list of numbers")


def _from_base64(value: str) -> Vector:
    try:
        raw = binascii.a2b_base64(value, strict_mode=True)
    except ValueError as error:
        raise bad_answer("an embedding is damaged base64") from error
    if len(raw) % _FLOAT32_BYTES:
        raise bad_answer("an embedding is cut off within a number")
    return np.frombuffer(raw, dtype="<f4")


def _model(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= MAX_MODEL_CHARACTERS else ""


def _usage(value: object) -> Usage:
    fields = value if isinstance(value, dict) else {}
    return Usage(
        prompt_tokens=_tokens(fields.get("prompt_tokens")), total_tokens=_tokens(fields.get("total_tokens"))
    )


def _tokens(value: object) -> int:
    """0 where the answer does not say: what was not billed to our knowledge is not reported as if it were."""
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else 0
