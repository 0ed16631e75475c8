"""Text embedding: one call to the provider for the texts of a whole unit, long texts in pieces."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

import numpy as np

from shared.messages import Failure
from shared.models import Output, Task, TaskType, TextLength, Usage
from shared.task_inputs import EmbeddingInput, judge_length, split_text
from workers.processors.base import BaseProcessor
from workers.providers.base import BadVector, EmbeddingProvider, Embeddings, Row, Vector, Vectors

OUTPUT_NAME = "embedding"


class TextEmbeddingProcessor(BaseProcessor):
    task_type: ClassVar[str] = TaskType.TEXT_EMBEDDING

    def __init__(self, provider: EmbeddingProvider) -> None:
        self._provider = provider

    def process(self, task: Task) -> Output:
        [outcome] = self._embed([task])
        if isinstance(outcome, BadVector):
            raise outcome.error
        return outcome

    def process_batch(self, tasks: Sequence[Task]) -> Mapping[str, Output | Failure]:
        """As BaseProcessor says. A text without a usable vector fails alone, the others are kept."""
        return {
            task.id: Failure(str(outcome.error), retry=outcome.error.reason)
            if isinstance(outcome, BadVector)
            else outcome
            for task, outcome in zip(tasks, self._embed(tasks), strict=True)
        }

    def _embed(self, tasks: Sequence[Task]) -> list[Output | BadVector]:
        texts = [cast("EmbeddingInput", task.payload).text for task in tasks]
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        key = tasks[0].key
        embeddings = self._provider.embed(list(places), key.model, key.dimensions)
        values = embeddings.vectors.to_json()
        usages = share_usage(embeddings.usage, _weights(tasks, texts))
        return [
            value if isinstance(value, BadVector) else Output(OUTPUT_NAME, value, embeddings.model, usage)
            for value, usage in zip([values[places[text]] for text in texts], usages, strict=True)
        ]


def _weights(tasks: Sequence[Task], texts: Sequence[str]) -> list[int]:
    """A text that stands in several tasks is billed once, to the first of them."""
    first: dict[str, Task] = {}
    for task, text in zip(tasks, texts, strict=True):
        first.setdefault(text, task)
    return [task.size_bytes if first[text] is task else 0 for task, text in zip(tasks, texts, strict=True)]


def share_usage(usage: Usage, weights: Sequence[int]) -> list[Usage]:
    """A part of `usage` for each weight, in proportion; the parts add up to `usage` exactly."""
    prompts = share(usage.prompt_tokens, weights)
    totals = share(usage.total_tokens, weights)
    return [Usage(prompt, total) for prompt, total in zip(prompts, totals, strict=True)]


def share(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole parts proportional to `weights`, by the method of the largest remainder.

    Weights that are all 0 count as equal.
    """
    whole = sum(weights)
    if whole <= 0:
        weights = [1] * len(weights)
        whole = len(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: -(total * weights[place] % whole))
    for place in by_remainder[: total - sum(parts)]:
        parts[place] += 1
    return parts


class PiecewiseEmbeddings:
    """Passes texts on to `provider`. A text over the limit goes as pieces in the same call (LONG_TEXT=mean).

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
