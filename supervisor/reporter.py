"""The threads that PATCH: they wait on the network so that the loop need not."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from supervisor.api_client import APIClient
from supervisor.events import Event, ReportDone
from supervisor.task_record import Report
from supervisor.threads import start_thread


@dataclass(frozen=True, slots=True)
class _Parcel:
    report: Report
    body: bytes


class Reporter:
    """Sends what it is handed, in order, on a few threads; each answer comes back as an event."""

    def __init__(self, api: APIClient, threads: int, post: Callable[[Event], None]) -> None:
        self._api = api
        self._count = threads
        self._post = post
        self._parcels: queue.SimpleQueue[_Parcel | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        names = (f"reporter-{number}" for number in range(self._count))
        self._threads = [start_thread(name, self._work, self._post) for name in names]

    def send(self, report: Report, body: bytes) -> None:
        self._parcels.put(_Parcel(report, body))

    def recall(self) -> list[str]:
        """Take back what no thread has begun to send: the ids of those tasks, in order."""
        task_ids: list[str] = []
        while True:
            try:
                parcel = self._parcels.get_nowait()
            except queue.Empty:
                return task_ids
            if parcel is not None:
                task_ids.append(parcel.report.task_id)

    def close(self) -> None:
        """End the threads, each after what it is sending."""
        for _ in self._threads:
            self._parcels.put(None)

    def _work(self) -> None:
        while (parcel := self._parcels.get()) is not None:
            report = parcel.report
            answer = self._api.update_task(report.task_id, parcel.body, report.correlation_id)
            self._post(ReportDone(report.task_id, answer))
