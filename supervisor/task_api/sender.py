"""The threads that PATCH: they wait on the network so that the loop need not."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from supervisor.runtime.events import ClaimDone, Event, ReportDone
from supervisor.runtime.threads import start_thread
from supervisor.task_api.client import APIClient
from supervisor.task_api.outbox import Message


@dataclass(frozen=True, slots=True)
class _Parcel:
    message: Message
    body: bytes


class Reporter:
    """Sends what it is handed, in order, on a few threads; each answer comes back as a `done` event."""

    def __init__(
        self,
        api: APIClient,
        threads: int,
        post: Callable[[Event], None],
        name: str = "reporter",
        done: type[ReportDone | ClaimDone] = ReportDone,
    ) -> None:
        self._api = api
        self._name = name
        self._done = done
        self._count = threads
        self._post = post
        self._parcels: queue.SimpleQueue[_Parcel | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        names = (f"{self._name}-{number}" for number in range(self._count))
        self._threads = [start_thread(name, self._work, self._post) for name in names]

    def send(self, message: Message, body: bytes) -> None:
        self._parcels.put(_Parcel(message, body))

    def recall(self) -> list[str]:
        """Take back what no thread has begun to send: the ids of those tasks, in order."""
        task_ids: list[str] = []
        while True:
            try:
                parcel = self._parcels.get_nowait()
            except queue.Empty:
                return task_ids
            if parcel is not None:
                task_ids.append(parcel.message.task_id)

    def close(self) -> None:
        """End the threads, each after what it is sending."""
        for _ in self._threads:
            self._parcels.put(None)

    def _work(self) -> None:
        while (parcel := self._parcels.get()) is not None:
            message = parcel.message
            answer = self._api.update_task(message.task_id, parcel.body, message.correlation_id)
            self._post(self._done(message.task_id, answer))
