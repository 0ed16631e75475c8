"""Text embedding: one call to the provider for the texts of a whole unit."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from shared.embedding_input import EmbeddingInput
from shared.messages import Failure
from shared.models import Output, Task, TaskType
from workers.processors.base import BaseProcessor
from workers.providers.base import EmbeddingProvider
from workers.providers.usage import share_usage

OUTPUT_NAME = "embedding"


class TextEmbeddingProcessor(BaseProcessor):
    task_type: ClassVar[TaskType] = TaskType.TEXT_EMBEDDING

    def __init__(self, provider: EmbeddingProvider) -> None:
        self._provider = provider

    def process(self, task: Task) -> Output:
        return self._embed([task])[0]

    def process_batch(self, tasks: Sequence[Task]) -> Mapping[str, Output | Failure]:
        return {task.id: output for task, output in zip(tasks, self._embed(tasks), strict=True)}

    def _embed(self, tasks: Sequence[Task]) -> list[Output]:
        texts = [EmbeddingInput.parse(task.payload).text for task in tasks]
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        key = tasks[0].key
        embeddings = self._provider.embed(list(places), key.model, key.dimensions)
        values = list(embeddings.vectors.to_json())
        usages = share_usage(embeddings.usage, _weights(tasks, texts))
        return [
            Output(name=OUTPUT_NAME, value=values[places[text]], model=embeddings.model, usage=usage)
            for text, usage in zip(texts, usages, strict=True)
        ]


def _weights(tasks: Sequence[Task], texts: Sequence[str]) -> list[int]:
    """A text that stands in several tasks is billed once, to the first of them."""
    first: dict[str, Task] = {}
    for task, text in zip(tasks, texts, strict=True):
        first.setdefault(text, task)
    return [task.size_bytes if first[text] is task else 0 for task, text in zip(tasks, texts, strict=True)]
