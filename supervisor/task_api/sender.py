"""Sends what the API is to be told, in order, a few at once; each answer comes back as an event."""

from collections.abc import Callable

from supervisor.runtime.events import ClaimDone, Event, ReportDone
from supervisor.task_api.answers import ReportAnswer
from supervisor.task_api.client import APIClient
from supervisor.task_api.outbox import Message
from supervisor.task_api.wire import RequestQueue


class Sender:
    """Owned by the loop. `done` is the event of an answer."""

    def __init__(
        self,
        api: APIClient,
        queue: RequestQueue,
        post: Callable[[Event], None],
        done: type[ReportDone | ClaimDone] = ReportDone,
    ) -> None:
        self._api = api
        self._queue = queue
        self._post = post
        self._done = done

    def send(self, message: Message, body: bytes) -> None:
        task_id = message.task_id

        def on_answer(answer: ReportAnswer) -> None:
            self._post(self._done(task_id, answer))

        self._api.update_task(self._queue, task_id, body, message.correlation_id, on_answer)

    def recall(self) -> list[str]:
        """Take back what the wire has not begun to send: the ids of those tasks, in order."""
        return [request.about for request in self._queue.take_back()]
