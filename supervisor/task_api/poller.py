"""Asks for pending tasks, and reads the pages in a thread of their own: a large one takes long."""

import queue
from collections.abc import Callable, Sequence
from dataclasses import replace

from shared.models import Task
from supervisor.runtime.events import Event, TasksPolled
from supervisor.runtime.threads import start_thread
from supervisor.task_api.answers import PollRequest
from supervisor.task_api.client import APIClient
from supervisor.task_api.exchange import Exchange


class Poller:
    """One poll at a time, each on request of the loop.

    `store` brings the large inputs of a page's tasks to the disk.
    """

    def __init__(
        self,
        api: APIClient,
        store: Callable[[Sequence[Task]], tuple[Task, ...]],
        post: Callable[[Event], None],
    ) -> None:
        self._api = api
        self._store = store
        self._post = post
        self._unread: queue.SimpleQueue[tuple[PollRequest, Exchange]] = queue.SimpleQueue()

    def start(self) -> None:
        start_thread("page-reader", self._read_pages, self._post)

    def poll(self, request: PollRequest) -> None:
        """Ask for tasks; the answer comes as an event."""
        self._api.get_pending_tasks(request, lambda got: self._unread.put((request, got)))

    def _read_pages(self) -> None:
        while True:
            request, got = self._unread.get()
            answer = self._api.read_page(request, got)
            page = replace(answer.page, tasks=self._store(answer.page.tasks))
            self._post(TasksPolled(replace(answer, page=page)))
            # The body of a page is not kept until the next one comes.
            del got, answer, page
