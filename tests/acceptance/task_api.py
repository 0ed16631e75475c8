"""The reference task API as the tests see it: what they put in, and what became of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from examples.task_api.server import TaskApiServer
from examples.task_api.task import Shape, State, Task
from examples.task_api.wire import parse_new_task
from tests.eventually import eventually

NESTJS_EVERY = 3


class Peer:
    """A reference task API with its tasks, on one port from the first `start` on."""

    def __init__(self, database: Path, token: str, port: int = 0) -> None:
        self._database = database
        self._token = token
        self._port = port
        self.ids: list[str] = []
        self.start()

    @property
    def url(self) -> str:
        """For API_BASE_URL."""
        return self._server.url

    def start(self) -> None:
        """Serve, after `stop` again on the same port and database."""
        self._server = TaskApiServer(self._database, self._token, port=self._port)
        self._port = urlsplit(self._server.url).port or 0
        self._server.start()
        self.running = True

    def stop(self) -> None:
        self.running = False
        self._server.close()

    def add(self, count: int, prefix: str = "text") -> list[str]:
        """`count` pending tasks with texts of their own, every third in the nestjs shape; their texts."""
        texts = [f"{prefix} {place} of {count}" for place in range(count)]
        self.add_texts(texts)
        return texts

    def add_texts(self, texts: Sequence[str]) -> None:
        """A task a text, all in one transaction, so that one page lists them all."""
        self.add_bodies(*(_body(text, place) for place, text in enumerate(texts)))

    def add_bodies(self, *bodies: Mapping[str, object]) -> list[str]:
        """Tasks as the API's users write them; their ids."""
        tasks = [parse_new_task(body) for body in bodies]
        self._server.store.add(tasks)
        self.ids.extend(task.id for task in tasks)
        return [task.id for task in tasks]

    def outcome(self, task_id: str) -> tuple[State, object]:
        """The task's state, and its output or why it failed."""
        task = self._server.store.get(task_id)
        assert task is not None
        return task.state, orjson.loads(task.output) if task.output else task.error

    def tasks(self) -> list[Task]:
        found = [self._server.store.get(task_id) for task_id in self.ids]
        return [task for task in found if task is not None]

    def text_of(self, task_id: str) -> str:
        task = self._server.store.get(task_id)
        assert task is not None
        given = orjson.loads(task.input)
        return str(given if isinstance(given, str) else given["text"])

    def succeeded(self) -> int:
        return self._server.store.summary().by_state[State.SUCCEEDED]

    def open(self) -> int:
        """Tasks without a final state."""
        states = self._server.store.summary().by_state
        return states[State.PENDING] + states[State.PROCESSING]

    def wait_until_done(self, timeout_seconds: float = 30.0) -> None:
        eventually(lambda: not self.open(), timeout_seconds, "every task has a final state")

    def assert_each_succeeded_once(self) -> None:
        """Every task succeeded, has a vector, and was told so by exactly one PATCH."""
        tasks = self.tasks()
        assert Counter(task.state for task in tasks) == {State.SUCCEEDED: len(self.ids)}, [
            (task.id, task.error) for task in tasks if task.error
        ]
        assert {task.final_reports for task in tasks} == {1}
        assert all(task.output and task.output.startswith(_START[task.shape]) for task in tasks)


_START = {Shape.FLAT: b'{"embedding":[', Shape.NESTJS: b"["}


def _body(text: str, place: int) -> dict[str, object]:
    if place % NESTJS_EVERY == NESTJS_EVERY - 1:
        return {"type": "text_embedding", "content": text}
    return {"type": "text-embedding", "input_data": {"text": text}}
