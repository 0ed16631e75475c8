"""Values that tests need much of, with every field that does not matter filled in."""

from typing import Any

from shared.messages import Unit
from shared.models import BatchKey, Output, Task, TaskStatus, TaskType, Usage, WireShape
from shared.settings import Settings
from shared.task_inputs import DEFAULT_MODEL, EmbeddingInput
from supervisor.journal.task_record import Report, TaskRecord
from supervisor.pool.places import Free, Places
from supervisor.pool.slot_table import Assignment
from supervisor.task_api.responses import Health, PollAnswer, PollResult
from supervisor.task_api.wire_formats import Page


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
        key=BatchKey(TaskType.TEXT_EMBEDDING, model, dimensions),
        payload=EmbeddingInput(text, model, dimensions),
        shape=shape,
        correlation_id=f"correlation-{task_id}",
        size_bytes=len(text.encode()),
        content_id=f"content of {text}",
        created_at_seconds=created_at_seconds,
    )


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
        task_type=TaskType.TEXT_EMBEDDING,
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
