"""What the demo asks of the reference task API."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import requests

from examples.demo.corpus import Passage
from examples.demo.fault import DemoFault

REQUEST_SECONDS = 10
TASKS_A_POST = 1000
NESTJS_EVERY = 3


@dataclass(frozen=True, slots=True)
class Tally:
    """How many tasks stand where."""

    pending: int = 0
    processing: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.pending + self.processing + self.succeeded + self.failed

    @property
    def done(self) -> int:
        return self.succeeded + self.failed


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the task API stored for one passage: a vector, an error, or neither yet."""

    passage: Passage
    vector: Sequence[float] | None
    error: str | None


class Backend:
    """A client of the task API at `url`. Its methods raise DemoFault for a wrong answer or none."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy in the environment is not for loopback
        self._passages: dict[str, Passage] = {}
        self._created = 0

    def create(self, passages: Sequence[Passage]) -> None:
        """Make a pending task of each passage; every third has the nestjs shape, the others the flat one."""
        for start in range(0, len(passages), TASKS_A_POST):
            part = passages[start : start + TASKS_A_POST]
            bodies = [_task_body(passage, self._created + place) for place, passage in enumerate(part)]
            tasks = self._request("POST", "/api/ai-tasks", bodies)
            if not isinstance(tasks, list) or len(tasks) != len(part):
                raise DemoFault(f"the task API did not answer with the {len(part)} tasks it was given")
            for task, passage in zip(tasks, part, strict=True):
                self._passages[task.get("id") or task["_id"]] = passage
            self._created += len(part)

    def tally(self) -> Tally:
        summary = self._request("GET", "/api/ai-tasks/summary")
        if not isinstance(summary, dict):
            raise DemoFault("the summary of the task API is not an object")
        counts: Mapping[str, int] = summary["by_status"]
        return Tally(
            **{name: counts.get(name, 0) for name in ("pending", "processing", "succeeded", "failed")}
        )

    def outcomes(self) -> Iterator[Outcome]:
        """Every task that this client made, in order; one request each."""
        for task_id, passage in self._passages.items():
            task = self._request("GET", f"/api/ai-tasks/{task_id}")
            if not isinstance(task, dict):
                raise DemoFault(f"task {task_id} of the task API is not an object")
            flat = task.get("output_data") or {}
            vector = task.get("result") or flat.get("embedding")
            yield Outcome(passage, vector, task.get("error_message") or task.get("error"))

    def close(self) -> None:
        self._session.close()

    def _request(self, method: str, path: str, body: object = None) -> object:
        try:
            response = self._session.request(method, self.url + path, json=body, timeout=REQUEST_SECONDS)
            response.raise_for_status()
            answer: object = response.json()
        except requests.RequestException as error:
            raise DemoFault(f"the task API does not answer {method} {path}: {error}") from error
        return answer


def _task_body(passage: Passage, place: int) -> dict[str, object]:
    if place % NESTJS_EVERY == NESTJS_EVERY - 1:
        return {"type": "text_embedding", "content": passage.text}
    return {"type": "text-embedding", "input_data": {"text": passage.text}}
