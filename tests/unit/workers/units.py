"""Tasks and units as the supervisor would send them."""

from collections.abc import Sequence

from shared.messages import Unit
from shared.models import BatchKey, Task, WireShape
from workers.processors.text_embedding import TEXT_EMBEDDING, EmbeddingInput

MODEL = "text-embedding-3-small"


def make_task(
    text: str | None = "a text",
    *,
    task_id: str = "t-1",
    model: str = MODEL,
    dimensions: int | None = None,
    tokens: int = 10,
) -> Task:
    return Task(
        id=task_id,
        key=BatchKey(TEXT_EMBEDDING, model, str(dimensions)),
        input=None if text is None else EmbeddingInput(text=text, model=model, dimensions=dimensions),
        shape=WireShape.FLAT,
        correlation_id=f"c-{task_id}",
        size_bytes=tokens,
    )


def make_unit(texts: Sequence[str | None], *, unit_id: int = 1, dimensions: int | None = None) -> Unit:
    tasks = [make_task(text, task_id=f"t-{place}", dimensions=dimensions) for place, text in enumerate(texts)]
    return Unit(unit_id, tuple(tasks), MODEL)
