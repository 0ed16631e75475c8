"""`make verify-dashboards`, first part: every panel's query in a real Prometheus, against a busy service."""

import json
import math
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from deploy.verify.checks import CheckFailedError, Checklist, main, need, wait_for
from deploy.verify.children import CHECKOUT, service, stub_provider, task_api
from deploy.verify.prometheus import Prometheus, Series
from deploy.verify.web import create_tasks, fetch_json, free_port, wait_until_served

DASHBOARD = CHECKOUT / "grafana" / "dashboards" / "ai-task-processor.json"
VARIABLES = {
    "$job": "ai-task-processor",
    "$instance": ".+",
    "$__rate_interval": "20s",
    "$__range": "5m",
}
TROUBLE_SECONDS = 90.0
SHOWN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """One query of one panel."""

    panel: str
    expression: str
    instant: bool


def targets() -> Iterator[Target]:
    """Every query of the dashboard, as Grafana would send it."""
    document = json.loads(DASHBOARD.read_text())
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield Target(panel["title"], expression, target["instant"])


def check_panels(checklist: Checklist) -> None:
    need("prometheus", package="prometheus")
    folder = Path(tempfile.mkdtemp(prefix="verify-panels-"))
    api_port, provider_port, port = free_port(), free_port(), free_port()
    settings = {
        "API_BASE_URL": f"http://127.0.0.1:{api_port}",
        "METRICS_PORT": str(port),
        "OPENAI_API_KEY": "sk-not-a-key",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{provider_port}/v1",
        "POLLING_INTERVAL_SECONDS": "2",
        "BATCH_MAX_TASKS": "5",
        "CONCURRENCY_LIMIT": "3",
    }
    faults = ("--latency-ms", "150", "--rate-500", "0.05", "--rate-429", "0.02", "--retry-after", "0.2")
    try:
        with (
            task_api(folder, api_port),
            stub_provider(folder, provider_port, *faults),
            service(folder, settings) as busy,
            Prometheus(folder, port, scrape_seconds=1) as prometheus,
        ):
            wait_until_served(api_port, "/health")
            wait_until_served(port, "/ready")
            _make_trouble(prometheus, folder, api_port, port)
            busy.check()
            for target in targets():
                _require_data(checklist, prometheus, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_trouble(prometheus: Prometheus, folder: Path, api_port: int, port: int) -> None:
    """Work of every kind, until every kind of trouble has been seen twice over a rate's interval."""
    wanted = ("ai_task_retries_total", "ai_worker_restarts_total", 'ai_reports_total{outcome="rejected"}')
    started = time.monotonic()

    def seen() -> bool:
        create_tasks(api_port, 40)
        create_tasks(api_port, 1, "no-such-type")
        _confuse_a_task(folder)
        _kill_a_worker(port)
        time.sleep(1.0)
        long_enough = time.monotonic() - started > float(VARIABLES["$__rate_interval"].rstrip("s"))
        return long_enough and all(prometheus.query(f"increase({_with_range(name)}) > 0") for name in wanted)

    wait_for("all kinds of trouble", seen, TROUBLE_SECONDS)


def _with_range(series: str) -> str:
    return f"{series}[20s]"


def _confuse_a_task(folder: Path) -> None:
    """Change the shape of pending tasks behind the service's back: the API then refuses their reports."""
    with closing(sqlite3.connect(folder / "tasks.sqlite", timeout=5)) as database, database:
        database.execute(
            "UPDATE tasks SET shape = 'nestjs' WHERE number IN"
            " (SELECT number FROM tasks WHERE state = 'pending' AND shape = 'flat' ORDER BY number LIMIT 1)"
        )


def _kill_a_worker(port: int) -> None:
    status = cast("dict[str, list[dict[str, object]]]", fetch_json(port, "/status"))
    pid = status["workers"][0]["pid"]
    if isinstance(pid, int):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it died of an earlier signal


def _require_data(checklist: Checklist, prometheus: Prometheus, target: Target) -> None:
    now = time.time()
    if target.instant:
        answer = prometheus.query(target.expression)
    else:
        answer = prometheus.query_range(target.expression, now - SHOWN_SECONDS, now)
    finite = [value for series in answer for value in series.values if math.isfinite(value)]
    if not finite:
        raise CheckFailedError(f"panel {target.panel!r} shows nothing: {target.expression}")
    checklist.ok(f"{target.panel}: {_shown(answer, finite)}")


def _shown(answer: list[Series], finite: list[float]) -> str:
    return f"{len(answer)} series, last value {finite[-1]:.4g}"


if __name__ == "__main__":
    sys.exit(main(check_panels))
