from collections.abc import Sequence

import numpy as np
import pytest

from shared.errors import RetryableError, RetryReason
from shared.messages import Failure
from shared.models import Output, Task, Usage
from tests.unit.workers.processors.contexts import make_context
from tests.unit.workers.units import MODEL, make_task, make_unit
from workers.processors.text_embedding import EmbeddingSettings, TextEmbeddingProcessor
from workers.providers.base import BadVector, EmbeddingProvider, Embeddings
from workers.providers.vectors import Vectors


class Provider:
    """Gives each text the vector [its length, its place]."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[tuple[list[str], str, int | None]] = []
        self._error = error

    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        self.asked.append((list(texts), model, dimensions))
        if self._error:
            raise self._error
        rows = [np.array([len(text), place], dtype=np.float32) for place, text in enumerate(texts)]
        vectors = Vectors.check(rows, texts=len(texts), dimensions=None)
        return Embeddings(vectors, "answered-by", Usage(10, 10))


def embed(provider: EmbeddingProvider, tasks: Sequence[Task]) -> dict[str, Output | Failure]:
    processor = TextEmbeddingProcessor(EmbeddingSettings.model_construct(None))
    return processor.process_batch(tasks, make_context(provider))


def test_a_unit_is_one_call() -> None:
    provider = Provider()
    unit = make_unit(["a", "bb"], dimensions=2)
    embed(provider, unit.tasks)
    assert provider.asked == [(["a", "bb"], MODEL, 2)]


def test_each_task_gets_the_vector_of_its_own_text() -> None:
    outcomes = embed(Provider(), make_unit(["a", "bbb", "cc"]).tasks)
    values = {task_id: _output(outcome).value for task_id, outcome in outcomes.items()}
    assert values == {"t-0": b"[1.0,0.0]", "t-1": b"[3.0,1.0]", "t-2": b"[2.0,2.0]"}


def test_usage_is_shared_by_size_and_adds_up() -> None:
    tasks = [make_task("a", task_id="small", tokens=1), make_task("bbb", task_id="large", tokens=3)]
    outcomes = embed(Provider(), tasks)
    assert _output(outcomes["small"]).usage == Usage(3, 3)
    assert _output(outcomes["large"]).usage == Usage(7, 7)


class PartlyBadProvider:
    """Has a vector for every text but "bad"."""

    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        rows = [
            BadVector("a vector is empty") if text == "bad" else np.array([1.0], dtype=np.float32)
            for text in texts
        ]
        return Embeddings(Vectors.check(rows, texts=len(texts), dimensions=None), "m", Usage(9, 9))


def test_a_text_without_a_usable_vector_fails_alone_and_may_be_tried_again() -> None:
    outcomes = embed(PartlyBadProvider(), make_unit(["a", "bad", "c"]).tasks)
    failure = Failure(
        "the provider's answer cannot be used: a vector is empty", retry=RetryReason.BAD_RESPONSE
    )
    assert outcomes["t-1"] == failure
    assert [_output(outcomes[task_id]).value for task_id in ("t-0", "t-2")] == [b"[1.0]", b"[1.0]"]


def test_the_providers_error_concerns_the_whole_unit() -> None:
    error = RetryableError("down", reason=RetryReason.CONNECTION)
    with pytest.raises(RetryableError):
        embed(Provider(error), make_unit(["a", "b"]).tasks)


def _output(outcome: object) -> Output:
    assert isinstance(outcome, Output)
    return outcome
