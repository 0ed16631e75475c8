"""What every source of embeddings offers, be it a remote server or the model embedded here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.models import Usage
from workers.providers.vectors import Vectors


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The answer to one call. `usage` is that of the whole call, 0 where the provider did not say."""

    vectors: Vectors
    model: str
    """The model that computed them, by the name the provider gives it."""
    usage: Usage


class EmbeddingProvider(Protocol):
    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        """One vector a text, in order, each `dimensions` long if given.

        Raises RetryableError, or NonRetryableError where the same call would fail again.
        """
        ...
