"""Puts tasks into the task API as others are finished, so that there is work all through a run."""

import itertools
import threading
from collections.abc import Iterator

from examples.task_api.task import State, Task
from examples.task_api.wire import parse_new_task
from tests.chaos.faulty_api import FaultyApi
from tests.chaos.plan import Plan

FEED_EVERY_SECONDS = 0.1
NESTJS_EVERY = 3


class Feeder:
    """From `start` to `stop`. Every task has a text of its own, every third is of the nestjs shape."""

    def __init__(self, api: FaultyApi, plan: Plan) -> None:
        self._api = api
        self._max_open = plan.open_tasks
        self._tasks = _new_tasks(plan.tasks)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="feeder")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(FEED_EVERY_SECONDS):
            states = self._api.store.summary().by_state
            room = max(0, self._max_open - states[State.PENDING] - states[State.PROCESSING])
            batch = list(itertools.islice(self._tasks, room))
            if room and not batch:
                return
            self._api.store.add(batch)


def _new_tasks(count: int) -> Iterator[Task]:
    for number in range(count):
        text = f"text {number}"
        nestjs = {"type": "text_embedding", "content": text}
        flat = {"type": "text-embedding", "input_data": {"text": text}}
        yield parse_new_task(nestjs if number % NESTJS_EVERY == 0 else flat)
