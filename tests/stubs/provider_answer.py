"""What the stub provider computes: a vector for each text, the same every time, and the JSON around it."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import orjson
from numpy.typing import NDArray

DEFAULT_DIMENSIONS = 1536


@dataclass(frozen=True, slots=True)
class Item:
    """One element of the answer's `data`."""

    index: int | None
    vector: NDArray[np.float32]


@lru_cache(maxsize=4096)
def vector_for(text: str, dimensions: int = DEFAULT_DIMENSIONS) -> NDArray[np.float32]:
    """The vector of `text`: unit length, as good as random, the same in every process."""
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    vector = np.random.default_rng(seed).standard_normal(dimensions, dtype=np.float32)
    vector /= np.linalg.norm(vector)
    vector.flags.writeable = False
    return vector


def tokens_in(texts: Sequence[str]) -> int:
    """What the stub bills: about a token for four characters."""
    return sum(len(text) // 4 + 1 for text in texts)


def embeddings_json(items: Sequence[Item], *, model: str, tokens: int | None, floats: bool) -> bytes:
    """The body of an answer. `tokens=None` leaves the usage out; `floats` sends lists rather than base64."""
    body: dict[str, object] = {
        "object": "list",
        "data": [_item_json(item, floats) for item in items],
        "model": model,
    }
    if tokens is not None:
        body["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps(body)


def error_json(message: str, *, code: str | None = None, kind: str = "invalid_request_error") -> bytes:
    """The body of a refusal, as OpenAI's API writes it."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _item_json(item: Item, floats: bool) -> dict[str, object]:
    encoded = item.vector.tolist() if floats else base64.b64encode(item.vector.tobytes()).decode()
    fields: dict[str, object] = {"object": "embedding", "embedding": encoded}
    if item.index is not None:
        fields["index"] = item.index
    return fields
