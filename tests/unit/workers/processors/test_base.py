from typing import ClassVar

import pytest

from shared.errors import Blame, RetryableError, RetryReason
from shared.messages import Failure
from shared.models import Output, Task, TaskType, Usage
from tests.unit.workers.units import make_task
from workers.processors.base import BaseProcessor


class Echo(BaseProcessor):
    task_type: ClassVar[TaskType] = TaskType.TEXT_EMBEDDING

    def process(self, task: Task) -> Output:
        if task.payload == "later":
            raise RetryableError("not now", reason=RetryReason.SERVER_ERROR)
        if task.payload == "broken":
            raise ZeroDivisionError("by zero")
        if task.payload == "memory":
            raise MemoryError
        return Output("echo", str(task.payload).encode(), "none", Usage(0, 0))


def test_each_task_of_a_batch_stands_or_falls_alone() -> None:
    payloads = ["good", "later", "broken", "fine"]
    outcomes = Echo().process_batch([make_task(payload, task_id=payload) for payload in payloads])
    assert outcomes == {
        "good": Output("echo", b"good", "none", Usage(0, 0)),
        "later": Failure("not now", retry=RetryReason.SERVER_ERROR),
        "broken": Failure("ZeroDivisionError: by zero", blame=Blame.PROCESSOR),
        "fine": Output("echo", b"fine", "none", Usage(0, 0)),
    }


def test_want_of_memory_is_a_crash_and_no_failed_task() -> None:
    with pytest.raises(MemoryError):
        Echo().process_batch([make_task("memory")])


def test_a_processor_takes_tasks_of_its_type() -> None:
    assert Echo().can_process(make_task())
