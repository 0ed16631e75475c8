from collections.abc import Sequence

import numpy as np
import pytest

from shared.models import Usage
from shared.task_inputs import split_text
from workers.processors.text_embedding import PiecewiseEmbeddings
from workers.providers.base import BadVector, Embeddings, Row, Vectors

MODEL = "text-embedding-3-small"
LONG = "word " * 20_000


class Provider:
    """Gives every text the vector [1, 0], and those in `bad` none."""

    def __init__(self, *bad: int) -> None:
        self.asked: list[str] = []
        self._bad = bad

    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        self.asked.extend(texts)
        rows: list[Row] = [
            BadVector("a vector is empty") if place in self._bad else np.array([1.0, 0.0], dtype=np.float32)
            for place, _ in enumerate(texts)
        ]
        return Embeddings(Vectors.check(rows, texts=len(texts), dimensions=None), model, Usage(1, 1))


def test_a_long_text_goes_in_pieces_and_comes_back_as_one_vector() -> None:
    provider = Provider()
    vectors = PiecewiseEmbeddings(provider).embed(["short", LONG], MODEL, None).vectors
    assert provider.asked == ["short", *split_text(LONG)]
    assert len(provider.asked) > 2
    assert [row.tolist() for row in vectors.good] == [[1.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize("bad_place", [1, 2])
def test_a_long_text_is_as_bad_as_its_worst_piece_and_spoils_no_other(bad_place: int) -> None:
    vectors = PiecewiseEmbeddings(Provider(bad_place)).embed(["short", LONG], MODEL, None).vectors
    assert isinstance(vectors.rows[1], BadVector)
    assert [row.tolist() for row in vectors.good] == [[1.0, 0.0]]
