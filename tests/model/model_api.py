"""The task API's own truth, which the service can only learn by asking."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import orjson

from shared.models import TaskStatus
from tests.fakes.harness import item

FINAL = frozenset({TaskStatus.SUCCEEDED, TaskStatus.FAILED})


@dataclass(slots=True)
class ApiTask:
    """A task as the API has it. `said` are the bodies of the final PATCHes that it has seen."""

    id: str
    known_type: bool = True
    poison: bool = False
    """It kills the whole service when a worker begins to run it."""
    refusing: bool = False
    """It answers every final PATCH with 422."""
    state: TaskStatus = TaskStatus.PENDING
    others: bool = False
    """Another replica works on it, or did."""
    deleted: bool = False
    blamed: bool = False
    """Something happened that may be a reason to fail it."""
    said: set[bytes] = field(default_factory=set)
    leased_until: float = math.inf

    def set_back(self) -> None:
        """Someone wants it done once more."""
        self.state, self.others, self.blamed = TaskStatus.PENDING, False, not self.known_type
        self.said.clear()

    @property
    def final(self) -> bool:
        return self.state in FINAL

    @property
    def is_ours(self) -> bool:
        """The service under test has claimed it."""
        return self.state is TaskStatus.PROCESSING and not self.others and not self.deleted


class ModelApi:
    """Judges as the reference task API does. Claims end after `lease_seconds` unless they are renewed.

    Its tasks have priorities, and name the `models`, in turn, if there are any.
    """

    def __init__(
        self, models: Sequence[str], clock: Callable[[], float], lease_seconds: float = math.inf
    ) -> None:
        self._clock = clock
        self._lease_seconds = lease_seconds
        self.tasks: dict[str, ApiTask] = {}
        self._models = models

    @property
    def has_leases(self) -> bool:
        return self._lease_seconds < math.inf

    def create(self, *, known_type: bool = True, poison: bool = False, refusing: bool = False) -> None:
        task_id = f"t{len(self.tasks)}"
        self.tasks[task_id] = ApiTask(task_id, known_type, poison, refusing, blamed=not known_type)

    def page(self, limit: int) -> list[dict[str, object]]:
        return [self._item(task) for task in self.pending()[:limit]]

    def claim(self, limit: int) -> list[dict[str, object]]:
        """A page of tasks that are the service's from now on."""
        tasks = self.pending()[:limit]
        for task in tasks:
            self._claim(task)
        return [{**self._item(task), "status": "processing"} for task in tasks]

    def renew(self, task_ids: Iterable[str]) -> frozenset[str]:
        """Those that are still the service's, and stay so for another lease."""
        ours = [task for task_id in task_ids if (task := self.tasks[task_id]).is_ours]
        for task in ours:
            task.leased_until = self._clock() + self._lease_seconds
        return frozenset(task.id for task in ours)

    def pending(self) -> list[ApiTask]:
        """In order; with those whose lease has ended."""
        for task in self.tasks.values():
            if task.is_ours and task.leased_until <= self._clock():
                task.state = TaskStatus.PENDING
        return [task for task in self.tasks.values() if task.state is TaskStatus.PENDING and not task.deleted]

    def patch(self, task_id: str, body: bytes) -> int:
        """Carry it out, or not; the status of the answer."""
        task = self.tasks[task_id]
        if task.deleted:
            return 404
        wanted = TaskStatus(orjson.loads(body)["status"])
        if wanted in FINAL:
            return self._conclude(task, wanted, body)
        if wanted is TaskStatus.PROCESSING:
            return self._claim(task)
        if task.final:
            return 409
        task.state = TaskStatus.PENDING
        return 200

    def _item(self, task: ApiTask) -> dict[str, object]:
        if not task.known_type:
            return item(task.id, type="unheard-of")
        number = int(task.id.removeprefix("t"))
        priority = number // 2 % 3 - 1
        if not self._models:
            return item(task.id, priority=priority)
        model = self._models[number % len(self._models)]
        return item(task.id, priority=priority, input_data={"text": f"text of {task.id}", "model": model})

    def _conclude(self, task: ApiTask, wanted: TaskStatus, body: bytes) -> int:
        if task.refusing:
            return 422
        task.said.add(orjson.dumps(orjson.loads(body)))
        if task.final and task.state is not wanted:
            return 409
        task.state = wanted
        return 200

    def _claim(self, task: ApiTask) -> int:
        is_owner = task.is_ours and self.has_leases
        if task.state is not TaskStatus.PENDING and not is_owner:
            return 409
        task.state = TaskStatus.PROCESSING
        task.leased_until = self._clock() + self._lease_seconds
        return 200
