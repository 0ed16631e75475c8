"""The reference task API without a socket, on a clock that stands still."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import quote

import orjson
from flask import Flask

from examples.task_api.app import create_app
from examples.task_api.store import Store
from tests.fakes.clock import Clock

PATH = "/api/ai-tasks"


@dataclass(frozen=True, slots=True)
class TaskApiCaller:
    """What a worker can ask, under its name. `store` and `clock` are the API's own."""

    app: Flask
    clock: Clock
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return cast("Store", self.app.extensions["task_store"])

    def worker(self, worker_id: str, lease_seconds: float | None = None) -> "TaskApiCaller":
        """The same API, asked by a worker."""
        lease = {} if lease_seconds is None else {"X-Lease-Seconds": f"{lease_seconds:g}"}
        return TaskApiCaller(self.app, self.clock, {"X-Worker-ID": worker_id, **lease})

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, object]:
        """The status, and the JSON of the answer."""
        sent = dict(self.headers if headers is None else headers)
        data = None if body is None else orjson.dumps(body)
        got = self.app.test_client().open(PATH + path, method=method, data=data, headers=sent)
        return got.status_code, orjson.loads(got.data)

    def create(self, *tasks: Mapping[str, object]) -> None:
        assert self.ask("POST", "", list(tasks))[0] == 201

    def patch(self, task_id: str, body: object) -> int:
        return self.ask("PATCH", f"/{quote(task_id, safe='')}", body)[0]

    def report_all(self, *items: object) -> list[dict[str, object]]:
        status, answers = self.ask("PATCH", "", list(items))
        assert status == 207
        return cast("list[dict[str, object]]", answers)

    def listed(self, wait_seconds: float = 0) -> list[str]:
        return self._ids("GET", f"/pending?wait={wait_seconds:g}")

    def claim(self, limit: int = 100, wait_seconds: float = 0) -> list[str]:
        return self._ids("POST", f"/claim?limit={limit}&wait={wait_seconds:g}")

    def renew(self, ids: Sequence[str]) -> set[str]:
        status, answer = self.ask("POST", "/renew", {"ids": ids})
        assert status == 200, answer
        return set(cast("dict[str, list[str]]", answer)["ids"])

    def show(self, task_id: str) -> dict[str, object]:
        return cast("dict[str, object]", self.ask("GET", f"/{quote(task_id, safe='')}")[1])

    def counts(self) -> dict[str, int]:
        """The states that tasks are in, and how many."""
        summary = cast("dict[str, dict[str, int]]", self.ask("GET", "/summary")[1])
        return {state: count for state, count in summary["by_status"].items() if count}

    def _ids(self, method: str, path: str) -> list[str]:
        status, page = self.ask(method, path)
        assert status == 200, page
        return [str(item.get("id") or item["_id"]) for item in cast("list[dict[str, object]]", page)]


@contextmanager
def task_api_caller(database: Path) -> Iterator[TaskApiCaller]:
    clock = Clock()
    app = create_app(database, None, clock=clock)
    try:
        yield TaskApiCaller(app, clock)
    finally:
        app.extensions["task_store"].close()
