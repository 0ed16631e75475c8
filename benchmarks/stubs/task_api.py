"""The task API in memory: `python -m benchmarks.stubs.task_api --latency-ms 2`.

GET pending, PATCH of a task and of a list as the service speaks them; beside them POST /admin/seed and
/admin/reset, GET /admin/stats and /admin/latencies. POST /admin/refuse-reports answers every PATCH with 401
until /admin/take-reports; after /admin/whole-pages a page has all that is pending, whatever was asked for.
"""

import argparse
import asyncio
import json
import random
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice

from benchmarks.stubs.http import Answer, Reply, Request, reply_later, serve
from benchmarks.stubs.reports import Report, ReportReader
from benchmarks.stubs.vectors import fingerprint, vector_number, vectors

PENDING = "/api/ai-tasks/pending"
ONE_TASK = "/api/ai-tasks/"
ALL_TASKS = "/api/ai-tasks"
FINAL = {"succeeded", "failed"}
WORDS = [
    "river",
    "stone",
    "cloud",
    "market",
    "letter",
    "winter",
    "engine",
    "garden",
    "question",
    "silver",
    "harbour",
    "quiet",
    "answer",
    "paper",
]
UNAUTHORIZED = Answer(401, b'{"detail":"reports are refused for now"}')
NOT_FOUND = Answer(404, b'{"detail":"not found"}')


@dataclass(slots=True)
class _Task:
    item: bytes
    fingerprint: bytes
    created_at: float
    final_patches: int = 0
    reported_at: float | None = None


@dataclass(slots=True)
class Counts:
    """Moments are of the monotonic clock, which all processes of a machine share; None: not yet."""

    tasks: int = 0
    final: int = 0
    succeeded: int = 0
    failed: int = 0
    bad_vectors: int = 0
    repeated_reports: int = 0
    max_reports_of_a_task: int = 0
    polls: int = 0
    patches: int = 0
    patch_bytes: int = 0
    first_poll_at: float | None = None
    last_poll_at: float | None = None
    first_work_at: float | None = None
    last_final_at: float | None = None


def text_of(serial: int, characters: int) -> str:
    """A text that no other serial has; `characters` is 16 or more."""
    words = random.Random(serial).choices(WORDS, k=characters // 5 + 1)
    return f"text {serial:09d}: {' '.join(words)}"[:characters]


class TaskApi:
    """Everything it was told, until it is reset. Serials go on, so that no id or text comes twice."""

    def __init__(self, latency_seconds: float) -> None:
        self._latency_seconds = latency_seconds
        self._reader = ReportReader(vectors())
        self._refuses_reports = False
        self._whole_pages = False
        self._serial = 0
        self._waiting: list[tuple[int, Reply, asyncio.TimerHandle]] = []
        self._reset()

    def handle(self, request: Request, reply: Reply) -> None:
        """Answers each request once, after the latency; admin requests at once."""
        if request.path == PENDING:
            self._poll(request, reply)
        elif request.method == "PATCH" and request.path.startswith(ONE_TASK):
            reply_later(reply, self._patch(request), self._latency_seconds)
        elif request.method == "PATCH" and request.path == ALL_TASKS:
            reply_later(reply, self._patch_list(request), self._latency_seconds)
        else:
            reply(self._admin(request))

    def _poll(self, request: Request, reply: Reply) -> None:
        self.counts.polls += 1
        self.counts.last_poll_at = time.monotonic()
        self.counts.first_poll_at = self.counts.first_poll_at or self.counts.last_poll_at
        limit = len(self._pending) if self._whole_pages else int(request.number("limit", 100))
        wait_seconds = request.number("wait", 0)
        if self._pending or not wait_seconds:
            reply_later(reply, self._page(limit), self._latency_seconds)
            return
        timer = asyncio.get_running_loop().call_later(wait_seconds, self._release)
        self._waiting.append((limit, reply, timer))

    def _release(self) -> None:
        """Answer every poll that waits: with work, or empty because its time is up."""
        waiting, self._waiting = self._waiting, []
        for limit, reply, timer in waiting:
            timer.cancel()
            reply_later(reply, self._page(limit), self._latency_seconds)

    def _page(self, limit: int) -> Answer:
        if self._pending and self.counts.first_work_at is None:
            self.counts.first_work_at = time.monotonic()
        return Answer(
            200, b"[" + b",".join(task.item for task in islice(self._pending.values(), limit)) + b"]"
        )

    def _patch(self, request: Request) -> Answer:
        identifier = request.path[len(ONE_TASK) :]
        task = self._tasks.get(identifier)
        if task is None:
            return NOT_FOUND
        if self._refuses_reports:
            return UNAUTHORIZED
        try:
            report = self._reader.read(request.body)
        except ValueError as error:
            return Answer(400, json.dumps({"detail": str(error)}).encode())
        self.counts.patches += 1
        self.counts.patch_bytes += len(request.body)
        self._take(identifier, task, report)
        return Answer(200, json.dumps({"id": identifier, "status": report.status}).encode())

    def _patch_list(self, request: Request) -> Answer:
        if self._refuses_reports:
            return UNAUTHORIZED
        try:
            reports = self._reader.read_all(request.body)
        except ValueError as error:
            return Answer(400, json.dumps({"detail": str(error)}).encode())
        self.counts.patches += 1
        self.counts.patch_bytes += len(request.body)
        answers = []
        for identifier, report in reports:
            task = self._tasks.get(identifier)
            if task is not None:
                self._take(identifier, task, report)
            answers.append({"id": identifier, "status": 404 if task is None else 200})
        return Answer(207, json.dumps(answers).encode())

    def _take(self, identifier: str, task: _Task, report: Report) -> None:
        self._pending.pop(identifier, None)
        if report.status in FINAL:
            right = report.status == "failed" or report.vector == vector_number(task.fingerprint)
            self._settle(task, report.status == "succeeded", right)

    def _settle(self, task: _Task, succeeded: bool, right: bool) -> None:
        counts, now = self.counts, time.monotonic()
        task.final_patches += 1
        counts.max_reports_of_a_task = max(counts.max_reports_of_a_task, task.final_patches)
        counts.bad_vectors += not right
        if task.final_patches > 1:
            counts.repeated_reports += 1
            return
        task.reported_at = counts.last_final_at = now
        counts.final += 1
        counts.succeeded += succeeded
        counts.failed += not succeeded

    def _admin(self, request: Request) -> Answer:
        if request.path == "/admin/stats":
            return Answer(200, json.dumps(asdict(self.counts)).encode())
        if request.path == "/admin/latencies":
            times = [task.reported_at - task.created_at for task in self._tasks.values() if task.reported_at]
            return Answer(200, json.dumps(times).encode())
        if request.path == "/admin/seed":
            self._seed(int(request.number("count", 1)), int(request.number("characters", 500)))
            return Answer(200, b"{}")
        if request.path in ("/admin/refuse-reports", "/admin/take-reports"):
            self._refuses_reports = request.path == "/admin/refuse-reports"
            return Answer(200, b"{}")
        if request.path == "/admin/whole-pages":
            self._whole_pages = True
            return Answer(200, b"{}")
        if request.path == "/admin/reset":
            self._reset()
            return Answer(200, b"{}")
        return NOT_FOUND

    def _reset(self) -> None:
        self.counts = Counts()
        self._tasks: dict[str, _Task] = {}
        self._pending: dict[str, _Task] = {}

    def _seed(self, count: int, characters: int) -> None:
        now, written = time.monotonic(), datetime.now(UTC).isoformat()
        for _ in range(count):
            self._serial += 1
            identifier = f"task-{self._serial:09d}"
            text = text_of(self._serial, characters)
            item = {
                "id": identifier,
                "type": "text-embedding",
                "status": "pending",
                "input_data": {"text": text, "model": "text-embedding-3-small"},
                "output_data": None,
                "error_message": None,
                "created_at": written,
                "updated_at": written,
                "retry_count": 0,
            }
            task = _Task(json.dumps(item).encode(), fingerprint(text), now)
            self._tasks[identifier] = self._pending[identifier] = task
        self.counts.tasks = len(self._tasks)
        self._release()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    asyncio.run(serve(TaskApi(parser.parse_args().latency_ms / 1000).handle))
