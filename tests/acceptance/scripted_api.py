"""A task API that answers polls with whatever a test wants, and takes every report."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from urllib.parse import unquote

import orjson

from tests.acceptance.service import Json
from tests.stubs.scripted_http import Answer, Request

PENDING = "/api/ai-tasks/pending"
EMPTY_PAGE = Answer(200, b"[]")


class ScriptedApi:
    """A script of ScriptedServer. `pages` answer one poll each, then pages are empty; the same for `receipts`
    and reports, which are all accepted in the end."""

    def __init__(self, *pages: Answer) -> None:
        self.pages = deque(pages)
        self.receipts: deque[Answer] = deque()
        self.reports: defaultdict[str, list[Json]] = defaultdict(list)
        self.before_receipt: Callable[[], object] = lambda: None
        """Called after each report was noted and before it is answered."""
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        if request.method == "GET" and request.target.startswith(PENDING):
            return self.pages.popleft() if self.pages else EMPTY_PAGE
        with self._lock:
            task_id = unquote(request.target.rpartition("/")[2])
            self.reports[task_id].append(orjson.loads(request.body))
        self.before_receipt()
        return self.receipts.popleft() if self.receipts else Answer(200, b"{}")

    def last_status(self, task_id: str) -> str:
        report = self.reports[task_id][-1]
        return str(report.get("status") or report["state"])


def page_of(items: Iterable[object]) -> Answer:
    return Answer(200, orjson.dumps(list(items)))


def flat_task(task_id: str, text: str) -> Json:
    return {"id": task_id, "type": "text-embedding", "status": "pending", "input_data": {"text": text}}
