"""What a processor is told, with a provider of one's own."""

from collections.abc import Sequence
from typing import cast

from workers.processors.base import Context, ProcessorLog
from workers.providers.base import BaseProvider, EmbeddingProvider, Embeddings


class NoProvider:
    """For processors that call none."""

    def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embeddings:
        raise AssertionError("nobody was to be called")


def make_context(provider: EmbeddingProvider, settings: object = None) -> Context:
    return Context(
        correlation_id="c-1",
        attempt=1,
        deadline=100.0,
        log=ProcessorLog({}),
        settings=settings,
        connect=lambda: cast("BaseProvider", provider),
    )
