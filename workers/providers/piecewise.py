"""Texts over their model's limit, embedded in pieces (LONG_TEXT=mean)."""

from collections.abc import Sequence

import numpy as np

from shared.models import TextLength
from shared.task_inputs import judge_length, split_text
from workers.providers.base import EmbeddingProvider, Embeddings
from workers.providers.vectors import BadVector, Row, Vector, Vectors


class PiecewiseEmbeddings:
    """Passes texts on to `provider`; one that is over the limit goes as pieces in the same call.

    Its vector is the mean of the pieces' vectors, weighted by their length in bytes and normalised to length
    1. Source: OpenAI Cookbook, "Embedding texts that are longer than the model's maximum context length".
    """

    def __init__(self, provider: EmbeddingProvider) -> None:
        self._provider = provider

    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        """As EmbeddingProvider says."""
        pieces = [_pieces(text, model) for text in texts]
        flat = [piece for group in pieces for piece in group]
        answer = self._provider.embed(flat, model, dimensions)
        rows = iter(answer.vectors.rows)
        joined = [_mean([next(rows) for _ in group], group) for group in pieces]
        checked = Vectors.check(joined, texts=len(texts), dimensions=dimensions)
        return Embeddings(checked, answer.model, answer.usage)


def _pieces(text: str, model: str) -> list[str]:
    return split_text(text) if judge_length(text, model) is TextLength.OVER else [text]


def _mean(rows: Sequence[Row], pieces: Sequence[str]) -> Row:
    """A text is as good as its worst piece."""
    if len(rows) == 1:
        return rows[0]
    vectors: list[Vector] = []
    for row in rows:
        if isinstance(row, BadVector):
            return row
        vectors.append(row)
    weights = [len(piece.encode()) for piece in pieces]
    mean = np.average(np.stack(vectors), axis=0, weights=weights)
    length = float(np.linalg.norm(mean))
    joined: Vector = (mean / length if length else mean).astype(np.float32)
    return joined
