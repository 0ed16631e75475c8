"""Text embedding: one call to the provider for the texts of a whole unit."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from shared.messages import Failure
from shared.models import Output, Task, TaskType, Usage
from shared.task_inputs import EmbeddingInput
from workers.processors.base import BaseProcessor
from workers.providers.base import EmbeddingProvider
from workers.providers.usage import share_usage
from workers.providers.vectors import BadVector

OUTPUT_NAME = "embedding"


class TextEmbeddingProcessor(BaseProcessor):
    task_type: ClassVar[TaskType] = TaskType.TEXT_EMBEDDING

    def __init__(self, provider: EmbeddingProvider) -> None:
        self._provider = provider

    def process(self, task: Task) -> Output:
        outcome = self._embed([task])[task.id]
        if isinstance(outcome, BadVector):
            raise outcome.error
        return outcome

    def process_batch(self, tasks: Sequence[Task]) -> Mapping[str, Output | Failure]:
        """As BaseProcessor says. A text without a usable vector fails alone, the others are kept."""
        return {task_id: _kept(outcome) for task_id, outcome in self._embed(tasks).items()}

    def _embed(self, tasks: Sequence[Task]) -> dict[str, Output | BadVector]:
        texts = [EmbeddingInput.parse(task.payload).text for task in tasks]
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        key = tasks[0].key
        embeddings = self._provider.embed(list(places), key.model, key.dimensions)
        values = embeddings.vectors.to_json()
        usages = share_usage(embeddings.usage, _weights(tasks, texts))
        return {
            task.id: _output(values[places[text]], embeddings.model, usage)
            for task, text, usage in zip(tasks, texts, usages, strict=True)
        }


def _output(value: bytes | BadVector, model: str, usage: Usage) -> Output | BadVector:
    if isinstance(value, BadVector):
        return value
    return Output(name=OUTPUT_NAME, value=value, model=model, usage=usage)


def _kept(outcome: Output | BadVector) -> Output | Failure:
    if isinstance(outcome, BadVector):
        return Failure(str(outcome.error), retry=outcome.error.reason)
    return outcome


def _weights(tasks: Sequence[Task], texts: Sequence[str]) -> list[int]:
    """A text that stands in several tasks is billed once, to the first of them."""
    first: dict[str, Task] = {}
    for task, text in zip(tasks, texts, strict=True):
        first.setdefault(text, task)
    return [task.size_bytes if first[text] is task else 0 for task, text in zip(tasks, texts, strict=True)]
