"""How the input of each task type is parsed and what it shares a batch with. One row a type."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.embedding_input import EmbeddingInput
from shared.models import BatchKey, JsonValue, Task, TaskType, WireShape
from shared.text_length import TextLength, judge_length

CONTENT_ID_BYTES = 16
"""Two different texts with the same id are out of reach, by chance and by design."""


@dataclass(frozen=True, slots=True)
class TaskInput:
    """A checked input: what the processor gets, what the task may share a call with, and its size.

    `size_bytes` of UTF-8 bound the tokens of a text from above. `content_id` is equal for equal questions of
    one key, and empty for a type that never repeats.
    """

    key: BatchKey
    payload: JsonValue
    size_bytes: int
    length: TextLength = TextLength.FITS
    content_id: str = ""


def parse_embedding(payload: JsonValue) -> TaskInput:
    """Raises NonRetryableError that says what is wrong with the input."""
    parsed = EmbeddingInput.parse(payload)
    data = parsed.text.encode()
    return TaskInput(
        key=BatchKey(TaskType.TEXT_EMBEDDING, parsed.model, parsed.dimensions),
        payload={"text": parsed.text, "model": parsed.model, "dimensions": parsed.dimensions},
        size_bytes=len(data),
        length=judge_length(parsed.text, parsed.model),
        content_id=hashlib.blake2b(data, digest_size=CONTENT_ID_BYTES).hexdigest(),
    )


INPUT_PARSERS: Mapping[TaskType, Callable[[JsonValue], TaskInput]] = {
    TaskType.TEXT_EMBEDDING: parse_embedding,
}


CANARY_INPUTS: Mapping[TaskType, Callable[[str], JsonValue]] = {
    TaskType.TEXT_EMBEDDING: lambda word: {"text": word},
}
"""The smallest question of a task type, around one word."""


def has_canary(task_type: TaskType) -> bool:
    return task_type in CANARY_INPUTS


def canary_task(key: BatchKey, name: str) -> Task:
    """A task that the API does not know: one word, for the type and model of `key`, with no other wish."""
    word = f"canary{name}"
    plain = BatchKey(key.task_type, key.model)
    payload = CANARY_INPUTS[key.task_type](word)
    return Task(f"canary-{name}", plain, payload, WireShape.FLAT, f"canary-{name}", len(word))
