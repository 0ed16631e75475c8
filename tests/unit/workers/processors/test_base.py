"""A processor's code runs, whatever it raises."""

from typing import ClassVar

import pytest
from structlog.testing import capture_logs

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason, TaskError
from shared.messages import Failure
from shared.models import Output, Task, TaskType, Usage
from shared.task_inputs import EmbeddingInput
from tests.unit.workers.units import make_task
from workers.processors.base import BaseProcessor, attempt


class Echo(BaseProcessor):
    task_type: ClassVar[TaskType] = TaskType.TEXT_EMBEDDING

    def process(self, task: Task) -> Output:
        assert isinstance(task.payload, EmbeddingInput)
        text = task.payload.text
        if text == "later":
            raise RetryableError("not now", reason=RetryReason.SERVER_ERROR)
        if text == "broken":
            raise ZeroDivisionError("by zero")
        if text == "memory":
            raise MemoryError
        return Output("echo", text.encode(), "none", Usage(0, 0))


def test_each_task_of_a_batch_stands_or_falls_alone() -> None:
    texts = ["good", "later", "broken", "fine"]
    outcomes = Echo().process_batch([make_task(text, task_id=text) for text in texts])
    assert dict(outcomes) == {
        "good": Output("echo", b"good", "none", Usage(0, 0)),
        "later": Failure("not now", retry=RetryReason.SERVER_ERROR),
        "broken": Failure("ZeroDivisionError: by zero", blame=Blame.PROCESSOR),
        "fine": Output("echo", b"fine", "none", Usage(0, 0)),
    }


def test_want_of_memory_is_a_crash_and_no_failed_task() -> None:
    with pytest.raises(MemoryError):
        dict(Echo().process_batch([make_task("memory")]))


def test_a_processor_takes_tasks_of_its_type() -> None:
    assert Echo().can_process(make_task())


def raising(error: BaseException) -> Failure | None:
    def work() -> None:
        raise error

    return attempt(work)


def test_what_goes_well_is_returned() -> None:
    assert attempt(lambda: 7) == 7


def test_a_retryable_error_keeps_its_reason_and_wait() -> None:
    error = RetryableError("later", reason=RetryReason.RATE_LIMIT, retry_after_seconds=3.0)
    assert raising(error) == Failure("later", retry=RetryReason.RATE_LIMIT, retry_after_seconds=3.0)


def test_a_final_error_keeps_its_blame() -> None:
    assert raising(NonRetryableError("no", blame=Blame.WHOLE_UNIT)) == Failure("no", blame=Blame.WHOLE_UNIT)


def test_a_bare_task_error_is_final() -> None:
    assert raising(TaskError("no")) == Failure("no")


def test_anything_else_fails_with_its_type_and_message() -> None:
    assert raising(KeyError("colour")) == Failure("KeyError: 'colour'", blame=Blame.PROCESSOR)


def test_an_endless_message_is_cut() -> None:
    failure = raising(ValueError("x" * 10_000))
    assert failure is not None
    assert len(failure.message) == 500


def test_the_log_says_where_but_never_quotes_the_message() -> None:
    with capture_logs() as lines:
        raising(ValueError("the text of a task"))
    assert lines[0]["error_type"] == "ValueError"
    assert lines[0]["where"].startswith("test_base.py:")
    assert "the text of a task" not in str(lines)


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(3), KeyboardInterrupt()])
def test_what_must_end_the_process_is_not_held_up(error: BaseException) -> None:
    with pytest.raises(type(error)):
        raising(error)
