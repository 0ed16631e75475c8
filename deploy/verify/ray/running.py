"""The service with a task API of its own, and what can be seen of both."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from deploy.verify.checks import CheckFailedError, Checklist, wait_for
from deploy.verify.children import Child, service, task_api
from deploy.verify.web import ask, count_tasks, fetch_json, free_port, wait_until_served

WORKERS = 4
DONE_SECONDS = 240.0
UP_SECONDS = 120.0
SETTINGS = {
    "EMBEDDING_PROVIDER": "local",
    "CONCURRENCY_LIMIT": str(WORKERS),
    "BATCH_MAX_TASKS": "10",
    "POLLING_INTERVAL_SECONDS": "2",
    "POLLING_MIN_INTERVAL_SECONDS": "0.2",
    "LOG_LEVEL": "DEBUG",
}


class Running:
    """A service that is up."""

    def __init__(self, api_port: int, port: int, child: Child) -> None:
        self.api_port = api_port
        self._port = port
        self._child = child

    def unready(self) -> list[str]:
        """Why it is not ready; nothing where it is."""
        answer = ask(self._port, "/ready")
        if answer is None:
            raise CheckFailedError("the service does not answer")
        return cast("dict[str, list[str]]", answer.json()).get("reasons", [])

    def wait_until_ready(self) -> None:
        wait_for("the service to be ready", lambda: not self.unready(), UP_SECONDS)

    def wait_until_all_workers_are_up(self) -> None:
        def are_up() -> bool:
            self._child.check()
            status = cast("dict[str, list[dict[str, object]]]", fetch_json(self._port, "/status"))
            return all(worker["state"] in ("idle", "busy") for worker in status["workers"])

        wait_for("all workers to be up", are_up, UP_SECONDS)

    def wait_until_done(self, count: int) -> None:
        """Until so many tasks have a result."""

        def is_done() -> bool:
            self._child.check()
            return count_tasks(self.api_port, "succeeded") >= count

        wait_for(f"{count} tasks to be done", is_done, DONE_SECONDS)

    def wait_for_line(self, event: str, limit_seconds: float) -> Mapping[str, object]:
        """The last line of the log of this kind, once there is one."""
        lines = wait_for(event, lambda: self._lines(event) or None, limit_seconds)
        return lines[-1]

    def units_by_node(self) -> Counter[str]:
        """How many units each machine has done."""
        node_of: dict[object, str] = {}
        units: Counter[str] = Counter()
        for line in self._lines("worker_started", "unit_finished"):
            if line["event"] == "worker_started":
                node_of[line["slot"]] = line.get("where", "this machine")
            else:
                units[node_of[line["slot"]]] += 1
        return units

    def check_reports(self, checklist: Checklist, count: int) -> None:
        summary = cast("dict[str, Any]", fetch_json(self.api_port, "/api/ai-tasks/summary"))
        found = {state: tasks for state, tasks in summary["by_status"].items() if tasks}
        once = summary["reported_more_than_once"] == 0
        checklist.require(
            found == {"succeeded": count} and once,
            f"{count:,} tasks, each reported once, as succeeded",
            summary,
        )

    def check_end(self, checklist: Checklist) -> None:
        checklist.require(self._child.end() == 0, "it drains, and ends with 0", self._child.output()[-2000:])

    def _lines(self, *events: str) -> list[dict[str, Any]]:
        """What it has logged of these kinds."""
        marks = [f'"event":"{event}"' for event in events]
        lines = self._child.output().splitlines()
        return [json.loads(line) for line in lines if any(mark in line for mark in marks)]


@contextmanager
def running_service(folder: Path, settings: Mapping[str, str]) -> Iterator[Running]:
    """All of its workers are up."""
    place = Path(tempfile.mkdtemp(dir=folder))
    api_port, port = free_port(), free_port()
    addresses = {"API_BASE_URL": f"http://127.0.0.1:{api_port}", "METRICS_PORT": str(port)}
    with task_api(place, api_port):
        wait_until_served(api_port, "/health")
        with service(place, {**SETTINGS, **addresses, **settings}) as child:
            wait_until_served(port, "/status")
            running = Running(api_port, port, child)
            running.wait_until_all_workers_are_up()
            yield running
