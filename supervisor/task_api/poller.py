"""The thread that asks for pending tasks, so that a slow API holds up nothing else."""

import queue
from collections.abc import Callable

from supervisor.runtime.events import Event, TasksPolled
from supervisor.runtime.threads import start_thread
from supervisor.task_api.answers import PollRequest
from supervisor.task_api.client import APIClient


class Poller:
    """One poll at a time, each on request of the loop."""

    def __init__(self, api: APIClient, post: Callable[[Event], None]) -> None:
        self._api = api
        self._post = post
        self._requests: queue.SimpleQueue[PollRequest | None] = queue.SimpleQueue()

    def start(self) -> None:
        start_thread("poller", self._work, self._post)

    def poll(self, request: PollRequest) -> None:
        """Ask for tasks; the answer comes as an event."""
        self._requests.put(request)

    def close(self) -> None:
        self._requests.put(None)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            self._post(TasksPolled(self._api.get_pending_tasks(request)))
