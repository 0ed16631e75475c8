"""Text embedding: one call to the provider for the texts of a whole unit, long texts in pieces.

A text's length is judged without a tokenizer. A token is at least one byte of UTF-8, so bytes bound tokens
from above. The tokenizer of OpenAI's embedding models (cl100k_base) never joins two runs of letters nor more
than three digits, so these bound them from below. Between the two bounds it is a guess.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.errors import InputTooLongError
from shared.messages import Failure
from shared.models import JsonValue, Output, Task, TextLength, Usage
from shared.settings import EnvironmentSettings
from workers.processors.base import BaseProcessor, Context
from workers.processors.input_fields import ModelName, Words
from workers.providers.base import MAX_DIMENSIONS, BadVector, Embeddings

TEXT_EMBEDDING = "text-embedding"
OUTPUT_NAME = "embedding"
DEFAULT_MODEL = "text-embedding-3-small"
MAX_TEXT_TOKENS = 8192
"""Source: OpenAI's API reference, "Create embeddings", `input`."""
MAX_BYTES_A_CHARACTER = 4
"""Of UTF-8."""
MAX_TOKEN_CHARACTERS = 256
"""Twice the longest of cl100k_base: 128 spaces."""
LIMITED_MODELS = frozenset({"text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"})
_DOUBT_FROM = 0.8 * MAX_TEXT_TOKENS
_TOKENS_A_WORD = 1.5
_WORDS = re.compile(r"[^\W\d_]+|\d{1,3}")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


class LongText(StrEnum):
    """What becomes of a text that is over its model's limit of tokens."""

    FAIL = "fail"
    MEAN = "mean"


class EmbeddingInput(BaseModel):
    """`{"text", "model"?, "dimensions"?}`. What else it holds is left unread."""

    model_config = ConfigDict(strict=True, frozen=True)

    text: Words
    model: ModelName | None = None
    dimensions: Annotated[int, Field(ge=1, le=MAX_DIMENSIONS)] | None = None


class EmbeddingSettings(EnvironmentSettings):
    """What holds for embedding tasks that say nothing else."""

    embedding_dimensions: Annotated[int, Field(ge=1, le=MAX_DIMENSIONS)] | None = None
    long_text: LongText = LongText.FAIL

    @field_validator("long_text", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value


class TextEmbeddingProcessor(BaseProcessor[EmbeddingInput]):
    task_type: ClassVar[str] = TEXT_EMBEDDING
    settings_type = EmbeddingSettings
    bare_string: ClassVar[str] = "text"
    answers_equals_once: ClassVar[bool] = True

    def parse(self, given: JsonValue) -> EmbeddingInput:
        """With the model and dimensions that hold for it. A text too long for the model is refused."""
        parsed = super().parse(self._with_defaults(given))
        if self.settings.long_text is LongText.FAIL and self.length(parsed) is TextLength.OVER:
            raise InputTooLongError(
                f"the text is longer than the {MAX_TEXT_TOKENS:,} tokens that {parsed.model} takes;"
                " shorten it, or let the service embed it in pieces (LONG_TEXT=mean)"
            )
        return parsed

    def model(self, given: EmbeddingInput) -> str:
        return given.model or self._model_of_others()

    def batch_key(self, given: EmbeddingInput) -> object:
        return given.dimensions

    def size_bytes(self, given: EmbeddingInput) -> int:
        return len(given.text.encode())

    def length(self, given: EmbeddingInput) -> TextLength:
        return judge_length(given.text, self.model(given))

    def canary(self, word: str, model: str) -> EmbeddingInput:
        return EmbeddingInput(text=word, model=model)

    def process_batch(
        self, tasks: Sequence[Task[EmbeddingInput]], context: Context
    ) -> dict[str, Output | Failure]:
        """A text without a usable vector fails alone, the others are kept."""
        return {
            task.id: Failure(str(outcome.error), retry=outcome.error.reason)
            if isinstance(outcome, BadVector)
            else outcome
            for task, outcome in zip(tasks, self._embed(tasks, context), strict=True)
        }

    def _with_defaults(self, given: JsonValue) -> JsonValue:
        """They go in before the check: a checked model would have to be copied."""
        if isinstance(given, str):
            given = {self.bare_string: given}
        if not isinstance(given, dict):
            return given
        defaults = {"model": self._model_of_others(), "dimensions": self.settings.embedding_dimensions}
        return given | {name: value for name, value in defaults.items() if given.get(name) is None}

    def _model_of_others(self) -> str:
        """The model of tasks that name none."""
        return self.default_model or DEFAULT_MODEL

    def _embed(self, tasks: Sequence[Task[EmbeddingInput]], context: Context) -> Iterator[Output | BadVector]:
        texts = [task.input.text for task in tasks]
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        first = tasks[0].input
        embeddings = self._embed_texts(list(places), self.model(first), first.dimensions, context)
        values = embeddings.vectors.to_json()
        usages = share_usage(embeddings.usage, _weights(tasks, texts))
        for text, usage in zip(texts, usages, strict=True):
            value = values[places[text]]
            if isinstance(value, BadVector):
                yield value
            else:
                yield Output(name=OUTPUT_NAME, value=value, model=embeddings.model, usage=usage)

    def _embed_texts(
        self, texts: Sequence[str], model: str, dimensions: int | None, context: Context
    ) -> Embeddings:
        """One vector a text. A text over the limit goes as pieces in the same call (LONG_TEXT=mean)."""
        if self.settings.long_text is not LongText.MEAN:
            return context.provider.embed(texts, model, dimensions)
        pieces = [_pieces(text, model) for text in texts]
        answer = context.provider.embed(list(itertools.chain.from_iterable(pieces)), model, dimensions)
        weights = [[len(piece.encode()) for piece in group] for group in pieces]
        return Embeddings(answer.vectors.joined(weights, dimensions), answer.model, answer.usage)


def _pieces(text: str, model: str) -> list[str]:
    return split_text(text) if judge_length(text, model) is TextLength.OVER else [text]


def judge_length(text: str, model: str) -> TextLength:
    """Certain for OVER, and for FITS below 8,193 bytes. Other providers' models have limits of their own."""
    if model not in LIMITED_MODELS or len(text) * MAX_BYTES_A_CHARACTER <= MAX_TEXT_TOKENS:
        return TextLength.FITS
    if len(text.encode()) <= MAX_TEXT_TOKENS:
        return TextLength.FITS
    if len(text) > MAX_TEXT_TOKENS * MAX_TOKEN_CHARACTERS:
        return TextLength.OVER
    words = sum(1 for _ in itertools.islice(_WORDS.finditer(text), MAX_TEXT_TOKENS + 1))
    if words > MAX_TEXT_TOKENS:
        return TextLength.OVER
    foreign = sum(1 for _ in itertools.islice(_NOT_ASCII.finditer(text), MAX_TEXT_TOKENS))
    guess = words * _TOKENS_A_WORD + foreign
    return TextLength.DOUBTFUL if guess > _DOUBT_FROM else TextLength.FITS


def split_text(text: str, max_bytes: int = MAX_TEXT_TOKENS) -> list[str]:
    """The text in pieces of at most `max_bytes`, which surely fit, cut at spaces where there are any."""
    data = text.encode()
    pieces: list[str] = []
    start = 0
    while len(data) - start > max_bytes:
        end = start + max_bytes
        while data[end] & 0b1100_0000 == 0b1000_0000:  # noqa: PLR2004  a continuation byte of UTF-8
            end -= 1
        space = data.rfind(b" ", start + max_bytes // 2, end)
        cut = end if space < 0 else space + 1
        pieces.append(data[start:cut].decode())
        start = cut
    rest = data[start:].decode()
    return [*pieces, rest] if rest.strip() or not pieces else pieces


def _weights(tasks: Sequence[Task[EmbeddingInput]], texts: Sequence[str]) -> list[int]:
    """A text that stands in several tasks is billed once, to the first of them."""
    first: dict[str, Task[EmbeddingInput]] = {}
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
