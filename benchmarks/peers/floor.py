"""The least that the same bytes cost in Python: one process, no SDK, no checks, no retries, nothing kept.

Not something to run: a lost answer loses its tasks. It polls, then works, then polls again.
"""

import base64
import os
import threading
import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import orjson

THREADS = int(os.environ.get("CONCURRENCY_LIMIT", "5"))
INTERVAL_SECONDS = float(os.environ.get("POLLING_INTERVAL_SECONDS", "30"))
TEXTS_A_CALL = 100
PAGE = 500
HEADERS = {"content-type": "application/json", "authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}


class Channel:
    """One connection a thread, kept open."""

    def __init__(self, base_url: str) -> None:
        self._base = urlsplit(base_url)
        self._local = threading.local()

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of the answer, whatever its status."""
        if not hasattr(self._local, "connection"):
            self._local.connection = HTTPConnection(self._base.hostname or "", self._base.port)
        connection: HTTPConnection = self._local.connection
        connection.request(method, self._base.path + path, body, HEADERS)
        return connection.getresponse().read()


api = Channel(os.environ["API_BASE_URL"])
provider = Channel(os.environ["OPENAI_BASE_URL"])


def report(task: dict[str, Any], encoded: str, usage: dict[str, int]) -> None:
    """PATCH one vector."""
    vector = array("f", base64.b64decode(encoded)).tolist()
    output = {"embedding": vector, "model": task["input_data"]["model"], "usage": usage}
    body = orjson.dumps({"status": "succeeded", "output_data": output, "error_message": None})
    api.call("PATCH", f"/api/ai-tasks/{task['id']}", body)


def embed(tasks: list[dict[str, Any]], reporters: ThreadPoolExecutor) -> None:
    """One call for all of `tasks`, then a PATCH each."""
    texts = [task["input_data"]["text"] for task in tasks]
    wanted = {"model": tasks[0]["input_data"]["model"], "input": texts, "encoding_format": "base64"}
    answer = orjson.loads(provider.call("POST", "/embeddings", orjson.dumps(wanted)))
    vectors = [item["embedding"] for item in answer["data"]]
    for _ in reporters.map(report, tasks, vectors, [answer["usage"]] * len(tasks)):
        pass


def main() -> None:
    """Poll, work, and poll again; wait only when there was nothing."""
    with ThreadPoolExecutor(THREADS) as callers, ThreadPoolExecutor(THREADS) as reporters:
        while True:
            tasks = orjson.loads(api.call("GET", f"/api/ai-tasks/pending?limit={PAGE}"))
            units = [tasks[start : start + TEXTS_A_CALL] for start in range(0, len(tasks), TEXTS_A_CALL)]
            for _ in callers.map(embed, units, [reporters] * len(units)):
                pass
            if not tasks:
                time.sleep(INTERVAL_SECONDS)


if __name__ == "__main__":
    main()
