"""Text embedding: one call to the provider for the texts of a whole unit."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from shared.embedding_input import EmbeddingInput
from shared.messages import Failure
from shared.models import Output, Task, TaskType
from workers.processors.base import BaseProcessor
from workers.provider import EmbeddingProvider
from workers.usage import share_usage

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
        key = tasks[0].key
        embeddings = self._provider.embed(texts, key.model, key.dimensions)
        usages = share_usage(embeddings.usage, [task.size_bytes for task in tasks])
        return [
            Output(name=OUTPUT_NAME, value=value, model=embeddings.model, usage=usage)
            for value, usage in zip(embeddings.vectors.to_json(), usages, strict=True)
        ]
