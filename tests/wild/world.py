"""A task API as it is found in the wild: it works, and a test says what stands in front of it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from tests.acceptance.service import Json
from tests.eventually import eventually
from tests.stubs.scripted_http import Answer, Request

Front = Callable[[Request], Answer | None]
"""Answers in the API's place, or lets the request pass with None."""

PENDING_PATH = "/api/ai-tasks/pending"
FINAL = ("succeeded", "failed")


@dataclass(frozen=True, slots=True)
class Patch:
    """A report as it came in, with the answer it got."""

    task_id: str
    status_code: int
    at_seconds: float
    """Monotonic."""


@dataclass(frozen=True, slots=True)
class Poll:
    limit: int
    status_code: int
    at_seconds: float


class World:
    """A script of ScriptedServer. It lists what is pending up to the limit, and takes each final report."""

    def __init__(self) -> None:
        self.front: Front = lambda _: None
        self.tasks: dict[str, Json] = {}
        self.final: dict[str, Json] = {}
        """By task id, the report that the API itself accepted."""
        self.patches: list[Patch] = []
        self.polls: list[Poll] = []
        self._lock = threading.Lock()

    def add(self, count: int, prefix: str = "text", **given: object) -> list[str]:
        """`count` tasks with a text each, and `given` beside it in the input; the texts."""
        texts = [f"{prefix} {number}" for number in range(1, count + 1)]
        return self.add_texts(texts, **given)

    def add_texts(self, texts: Iterable[str], **given: object) -> list[str]:
        """A task for each text, all listed from one moment on."""
        texts = list(texts)
        with self._lock:
            first = len(self.tasks) + 1
            self.tasks |= {
                f"task-{first + place}": flat_task(f"task-{first + place}", text, **given)
                for place, text in enumerate(texts)
            }
        return texts

    def __call__(self, request: Request) -> Answer:
        answer = self.front(request) or self.answer(request)
        now = time.monotonic()
        with self._lock:
            if request.method == "PATCH":
                self.patches.append(Patch(task_id_of(request), answer.status, now))
            else:
                self.polls.append(Poll(limit_of(request), answer.status, now))
        return answer

    def answer(self, request: Request) -> Answer:
        """What the API itself says."""
        if request.method == "GET" and urlsplit(request.target).path == PENDING_PATH:
            return Answer(200, orjson.dumps(self.pending()[: limit_of(request)]))
        task_id, body = task_id_of(request), orjson.loads(request.body)
        if request.method != "PATCH" or task_id not in self.tasks:
            return Answer(404, b'{"detail":"Not found."}')
        with self._lock:
            if body.get("status", body.get("state")) in FINAL:
                self.final[task_id] = body
        return Answer(200, b'{"ok":true}')

    def pending(self) -> list[Json]:
        with self._lock:
            return [task for task_id, task in self.tasks.items() if task_id not in self.final]

    def text_of(self, task_id: str) -> str:
        return str(self.tasks[task_id]["input_data"]["text"])

    def succeeded(self) -> list[str]:
        """The texts whose tasks succeeded."""
        with self._lock:
            return [
                self.text_of(task_id) for task_id, body in self.final.items() if _state(body) == "succeeded"
            ]

    def failed(self) -> dict[str, str]:
        """The texts whose tasks failed, with what was told."""
        with self._lock:
            final = dict(self.final)
        return {
            self.text_of(task_id): str(body["error_message"])
            for task_id, body in final.items()
            if _state(body) == "failed"
        }

    def vectors(self, texts: Iterable[str]) -> list[list[float]]:
        """The vectors reported for these texts."""
        with self._lock:
            found = {self.text_of(task_id): body["output_data"] for task_id, body in self.final.items()}
        return [found[text]["embedding"] for text in texts]

    def accepted_twice(self) -> dict[str, int]:
        """Tasks that got more than one final report with status 200 from the API itself."""
        taken = Counter(patch.task_id for patch in self.patches if patch.status_code == 200)
        return {task_id: count for task_id, count in taken.items() if count > 1}

    def reporting_seconds(self) -> float:
        """From the first report to the last."""
        return self.patches[-1].at_seconds - self.patches[0].at_seconds

    def refused_patches(self) -> int:
        return sum(patch.status_code >= 400 for patch in self.patches)

    def wait_until_done(self, timeout_seconds: float = 45.0) -> None:
        eventually(
            lambda: not self.pending(),
            timeout_seconds,
            f"every one of {len(self.tasks)} tasks has a final state",
        )


def flat_task(task_id: str, text: str, **given: object) -> Json:
    return {
        "id": task_id,
        "type": "text-embedding",
        "status": "pending",
        "input_data": {"text": text, **given},
        "created_at": "2026-01-05T10:00:00Z",
    }


def task_id_of(request: Request) -> str:
    return unquote(urlsplit(request.target).path.rpartition("/")[2])


def limit_of(request: Request) -> int:
    return int(parse_qs(urlsplit(request.target).query).get("limit", ["0"])[0])


def _state(body: Json) -> str:
    return str(body.get("status", body.get("state")))
