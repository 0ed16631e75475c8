"""Values that tests need much of, with every field that does not matter filled in."""

from typing import Any

from shared.messages import Unit
from shared.models import BatchKey, Output, Task, TaskStatus, Usage, WireShape
from shared.settings import EnvironmentSettings, Settings
from supervisor.journal.task_record import Report, TaskRecord
from supervisor.pool.places import Free, Places
from supervisor.pool.slot_table import Assignment
from supervisor.task_api.responses import Health, PollAnswer, PollResult
from supervisor.task_api.wire_formats import Page
from workers.factory import ProcessorFactory
from workers.plugins import BUILT_IN, Source
from workers.processors.text_embedding import (
    DEFAULT_MODEL,
    TEXT_EMBEDDING,
    EmbeddingInput,
    EmbeddingSettings,
    TextEmbeddingProcessor,
)
from workers.processors.text_generation import TextGenerationProcessor


def make_task(
    task_id: str = "task-1",
    *,
    text: str = "",
    model: str = DEFAULT_MODEL,
    dimensions: int | None = None,
    shape: WireShape = WireShape.FLAT,
    created_at_seconds: float | None = None,
) -> Task:
    text = text or f"text of {task_id}"
    return Task(
        id=task_id,
        key=BatchKey(TEXT_EMBEDDING, model, "" if dimensions is None else str(dimensions)),
        input=EmbeddingInput(text=text, model=model, dimensions=dimensions),
        shape=shape,
        correlation_id=f"correlation-{task_id}",
        size_bytes=len(text.encode()),
        content_id=f"content of {text}",
        created_at_seconds=created_at_seconds,
    )


def make_processors(default_model: str = "", **settings: Any) -> ProcessorFactory:
    """What is built in; `settings` are those of embeddings."""
    embedding = TextEmbeddingProcessor(EmbeddingSettings.model_construct(None, **settings), default_model)
    processors = (embedding, TextGenerationProcessor())
    sources = (Source(path, "built in") for path in BUILT_IN)
    return ProcessorFactory(zip(sources, processors, strict=True))


PROCESSORS = make_processors()
SETTINGS: tuple[type[EnvironmentSettings], ...] = (Settings, *PROCESSORS.settings_types())
"""What the service reads, and what its built-in task types read."""


def make_record(
    task_id: str = "task-1",
    *,
    text: str = "",
    model: str = DEFAULT_MODEL,
    shape: WireShape = WireShape.FLAT,
    received_at: float = 1000.0,
    attempts: int = 0,
    crashes: int = 0,
) -> TaskRecord:
    task = make_task(task_id, text=text, model=model, shape=shape)
    return TaskRecord(task, received_at, attempts, crashes)


def text_in(task: Task) -> str:
    """The text of an embedding task. In one of an earlier run, or from the disk, the input is still JSON."""
    text: str = task.input["text"] if isinstance(task.input, dict) else task.input.text
    return text


def as_stored(record: TaskRecord) -> TaskRecord:
    """As the journal gives it back."""
    return record.with_input(record.task.input.model_dump())


def make_records(count: int, *, model: str = DEFAULT_MODEL) -> tuple[TaskRecord, ...]:
    return tuple(make_record(f"task-{number}", model=model) for number in range(1, count + 1))


def make_assignment(*records: TaskRecord, unit_id: int = 1, started_at: float = 1000.0) -> Assignment:
    unit = Unit(unit_id, tuple(record.task for record in records))
    return Assignment(unit, records, started_at, deadline=started_at + 180.0)


def idle_workers(count: int) -> Places:
    """Room for one unit in each of so many workers. Half of them may get a suspect."""
    return Places([Free(slot, held=0, room=1) for slot in range(count)], max(1, count // 2))


def make_output(value: bytes = b"[0.5,-0.25]", tokens: int = 3) -> Output:
    return Output(
        name="embedding",
        value=value,
        model=DEFAULT_MODEL,
        usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
    )


def make_report(
    task_id: str = "task-1",
    *,
    status: TaskStatus = TaskStatus.SUCCEEDED,
    created_at_seconds: float | None = None,
) -> Report:
    return Report(
        task_id=task_id,
        task_type=TEXT_EMBEDDING,
        correlation_id=f"correlation-{task_id}",
        status=status,
        created_at_seconds=created_at_seconds,
    )


def make_settings(**fields: object) -> Settings:
    """The defaults, and `fields` unchecked; the environment and its files are not looked at."""
    # Any: pydantic knows the types of the fields, and checks none of them here.
    chosen: dict[str, Any] = {"api_base_url": "http://api.test", "openai_api_key": None, **fields}
    return Settings.model_construct(None, **chosen)


def make_page_of_tasks(items: int, page_bytes: int, took_seconds: float) -> PollAnswer:
    """The answer to a poll, of this size."""
    page = Page(known=items)
    return PollAnswer(
        PollResult.TASKS, Health.HEALTHY, 100, 0.0, took_seconds, page=page, page_bytes=page_bytes
    )
