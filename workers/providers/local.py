"""Embeddings from the small model that comes with the service: no key, no network."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from shared.errors import Blame, ConfigurationError, NonRetryableError
from shared.models import Usage
from workers.providers.base import Embeddings
from workers.providers.vectors import Vectors

LOCAL_MODEL_NAME = "wordllama-l2-supercat-256"
LOCAL_DIMENSIONS = (64, 128, 256)
"""The model was trained so that its first 64 or 128 numbers are a vector of their own."""

_FULL_LENGTH = LOCAL_DIMENSIONS[-1]
_TOKENS_AT_ONCE = 4096


class _Encoding(Protocol):
    ids: list[int]


class _Tokenizer(Protocol):
    def no_padding(self) -> None: ...

    def encode_batch(self, texts: list[str], *, add_special_tokens: bool) -> list[_Encoding]: ...


class _Model(Protocol):
    embedding: NDArray[np.float32]
    tokenizer: _Tokenizer


class LocalEmbeddings:
    """An EmbeddingProvider: the mean of a text's token vectors, cut to `dimensions` and made unit length.

    Whatever model a task names, this one answers and is named in the result.
    Raises ConfigurationError where the model is not installed.
    """

    def __init__(self) -> None:
        self._model = load_model()

    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        length = _FULL_LENGTH if dimensions is None else dimensions
        if length not in LOCAL_DIMENSIONS:
            possible = ", ".join(str(choice) for choice in LOCAL_DIMENSIONS)
            raise NonRetryableError(
                f'input: "dimensions" is {length}, but the embedded model offers {possible} only',
                blame=Blame.WHOLE_UNIT,
            )
        encodings = self._model.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        rows = [self._vector(encoding.ids, length) for encoding in encodings]
        tokens = sum(len(encoding.ids) for encoding in encodings)
        return Embeddings(
            vectors=Vectors.check(rows, texts=len(texts), dimensions=length),
            model=LOCAL_MODEL_NAME,
            usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
        )

    def _vector(self, token_ids: list[int], length: int) -> NDArray[np.float32]:
        """Summed in pieces: all vectors of a long text at once would take 1 KB a token."""
        total = np.zeros(length, dtype=np.float32)
        for start in range(0, len(token_ids), _TOKENS_AT_ONCE):
            piece = self._model.embedding[token_ids[start : start + _TOKENS_AT_ONCE], :length]
            total += piece.sum(axis=0, dtype=np.float32)
        norm = np.linalg.norm(total)
        if norm == 0:
            raise NonRetryableError("the embedded model knows no token of the text")
        return total / norm


@functools.cache
def load_model() -> _Model:
    """The model, read once a process; processes forked afterwards share its memory.

    Raises ConfigurationError where it is not installed.
    """
    try:
        import wordllama  # noqa: PLC0415  an extra, absent where only OpenAI is used

        model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        raise ConfigurationError(
            f"EMBEDDING_PROVIDER=local: the embedded model cannot be loaded ({error}); "
            "run: pip install -r requirements-local.txt"
        ) from error
    # Padding makes a short text cost as much as the longest of its unit.
    model.tokenizer.no_padding()
    return cast("_Model", model)
