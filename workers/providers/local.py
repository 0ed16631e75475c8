"""Embeddings from the small model that comes with the service: no key, no network."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from shared.errors import Blame, ConfigurationError, NonRetryableError
from shared.models import Usage
from shared.provider_accounts import LOCAL, LOCAL_MODEL, ProviderAccount
from workers.providers.base import BaseProvider, Embeddings
from workers.providers.calls import ProviderCalls
from workers.providers.vectors import Vectors

LOCAL_DIMENSIONS = (64, 128, 256)
"""The model was trained so that its first 64 or 128 numbers are a vector of their own."""

_FULL_LENGTH = LOCAL_DIMENSIONS[-1]
_CHARACTERS_AT_ONCE = 16_384
"""The tokenizer takes a hundred bytes and more for each character that it is given at once."""


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

    A long text is read in pieces, whose token vectors are added up: the mean is that of the whole text.
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
        totals = np.zeros((len(texts), length), dtype=np.float32)
        tokens = 0
        for portion in _portions(texts):
            pieces = [piece for _, piece in portion]
            encodings = self._model.tokenizer.encode_batch(pieces, add_special_tokens=False)
            for (place, _), encoding in zip(portion, encodings, strict=True):
                totals[place] += self._model.embedding[encoding.ids, :length].sum(axis=0, dtype=np.float32)
                tokens += len(encoding.ids)
        norms = np.linalg.norm(totals, axis=1)
        if not norms.all():
            raise NonRetryableError("the embedded model knows no token of the text")
        return Embeddings(
            vectors=Vectors.check(list(totals / norms[:, None]), texts=len(texts), dimensions=length),
            model=LOCAL_MODEL,
            usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
        )


class LocalProvider(BaseProvider):
    kind: ClassVar[str] = LOCAL

    def __init__(self, settings: ProviderAccount, calls: ProviderCalls) -> None:
        super().__init__(settings, calls)
        self._embeddings = LocalEmbeddings()

    @classmethod
    def preload(cls) -> None:
        preload()

    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        return self._embeddings.embed(texts, model, dimensions)


def _portions(texts: Sequence[str]) -> Iterator[list[tuple[int, str]]]:
    """The pieces of all texts, each with the place of its text, as many at once as the tokenizer may get."""
    portion: list[tuple[int, str]] = []
    left = _CHARACTERS_AT_ONCE
    for place, text in enumerate(texts):
        for piece in _pieces(text):
            if portion and len(piece) > left:
                yield portion
                portion, left = [], _CHARACTERS_AT_ONCE
            portion.append((place, piece))
            left -= len(piece)
    if portion:
        yield portion


def _pieces(text: str) -> Iterator[str]:
    """The text cut at single spaces, without these: the tokenizer begins every piece with a space of its own.

    So the pieces have the tokens of the whole. Only in a run without a single space they may differ, at the
    ends of the piece.
    """
    start = 0
    while len(text) - start > _CHARACTERS_AT_ONCE:
        end = start + _CHARACTERS_AT_ONCE
        cut = text.rfind(" ", start + 1, end)
        while cut > 0 and " " in (text[cut - 1], text[cut + 1]):
            cut = text.rfind(" ", start + 1, cut)
        yield text[start : end if cut < 0 else cut]
        start = end if cut < 0 else cut + 1
    yield text[start:]


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


def preload() -> None:
    """Load the model in the forkserver. Where it is missing, each worker says so itself."""
    with contextlib.suppress(ConfigurationError):
        load_model()
