"""What every kind of task implements."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

from shared.messages import Failure
from shared.models import Output, Task, TaskType
from workers.process.attempt import attempt


class BaseProcessor(ABC):
    """Runs tasks of one type inside a worker process, one unit at a time.

    Raise RetryableError where the same task may succeed later, NonRetryableError where it never will.
    Anything else that is raised fails the task with the exception's type and message.
    """

    task_type: ClassVar[TaskType]

    @abstractmethod
    def process(self, task: Task) -> Output:
        """Run one task."""

    def can_process(self, task: Task) -> bool:
        return task.task_type is self.task_type

    def process_batch(self, tasks: Sequence[Task]) -> Mapping[str, Output | Failure]:
        """Run tasks of one batch key; an outcome for each, by task id.

        By default one after the other, each failing alone. Override where one call can serve all; what
        is then raised concerns the whole unit, which the supervisor retries, splits or fails.
        """
        return {task.id: attempt(partial(self.process, task)) for task in tasks}
