"""What every kind of task implements, and how its code is run."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

from shared.errors import Blame, NonRetryableError, RetryableError, TaskError
from shared.logs import LogEvent, get_logger
from shared.messages import Failure
from shared.models import Output, Task
from shared.plain_text import safe_message

_log = get_logger(__name__)
Result = TypeVar("Result")


class BaseProcessor(ABC):
    """Runs tasks of one type inside a worker process, one unit at a time.

    Raise RetryableError where the same task may succeed later, NonRetryableError where it never will.
    Anything else that is raised fails the task with the exception's type and message.
    """

    task_type: ClassVar[str]

    @abstractmethod
    def process(self, task: Task) -> Output:
        """Run one task."""

    def can_process(self, task: Task) -> bool:
        return task.task_type == self.task_type

    def process_batch(
        self, tasks: Sequence[Task]
    ) -> Mapping[str, Output | Failure] | Iterable[tuple[str, Output | Failure]]:
        """Run tasks of one batch key; an outcome for each, by task id.

        By default one after the other, each failing alone. Override where one call can serve all; what
        is then raised concerns all tasks without an outcome, which the supervisor retries, splits or fails.
        Yield the outcomes where they come one by one: what was yielded is kept if the worker dies.
        """
        return ((task.id, attempt(partial(self.process, task))) for task in tasks)


def attempt(work: Callable[[], Result]) -> Result | Failure:
    """What `work` returns, or the error it raised as a Failure.

    An error that is no TaskError becomes a final Failure with its type and message. MemoryError is raised on:
    a process short of memory is better replaced, and its death counted as a crash.
    """
    try:
        return work()
    except RetryableError as error:
        return Failure(
            safe_message(str(error)),
            retry=error.reason,
            retry_after_seconds=error.retry_after_seconds,
            one_by_one=error.one_by_one,
        )
    except TaskError as error:
        if isinstance(error, NonRetryableError):
            return Failure(safe_message(str(error)), blame=error.blame, usage=error.usage)
        return Failure(safe_message(str(error)))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  the only one here: processors are extended by users and may raise anything
        _log.error(LogEvent.UNIT_FAILED, error_type=type(error).__name__, where=_where(error))
        return Failure(safe_message(f"{type(error).__name__}: {error}"), blame=Blame.PROCESSOR)


def _where(error: Exception) -> str:
    """File and line alone: the message may quote a text, and texts never go to the log."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
