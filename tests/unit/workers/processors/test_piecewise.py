from collections.abc import Sequence

import numpy as np
import pytest

from shared.messages import Failure
from shared.models import Output, Usage
from tests.unit.workers.processors.contexts import make_context
from tests.unit.workers.units import make_unit
from workers.processors.text_embedding import EmbeddingSettings, LongText, TextEmbeddingProcessor, split_text
from workers.providers.base import BadVector, Embeddings
from workers.providers.vectors import Row, Vectors

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


def embed(provider: Provider, *texts: str) -> dict[str, Output | Failure]:
    processor = TextEmbeddingProcessor(EmbeddingSettings.model_construct(None, long_text=LongText.MEAN))
    return processor.process_batch(make_unit(texts).tasks, make_context(provider))


def test_a_long_text_goes_in_pieces_and_comes_back_as_one_vector() -> None:
    provider = Provider()
    outcomes = embed(provider, "short", LONG)
    assert provider.asked == ["short", *split_text(LONG)]
    assert len(provider.asked) > 2
    assert [outcome.value for outcome in outcomes.values() if isinstance(outcome, Output)] == [
        b"[1.0,0.0]"
    ] * 2


@pytest.mark.parametrize("bad_place", [1, 2])
def test_a_long_text_is_as_bad_as_its_worst_piece_and_spoils_no_other(bad_place: int) -> None:
    outcomes = embed(Provider(bad_place), "short", LONG)
    assert isinstance(outcomes["t-0"], Output)
    assert isinstance(outcomes["t-1"], Failure)
