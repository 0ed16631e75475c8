"""Counters and histograms: the supervisor's in its memory, the workers' in files that outlive them.

The files are those of Prometheus' multiprocess mode, but one set a worker slot rather than a pid: a
respawned worker goes on where the dead one stopped, so no counter falls and no file piles up.
"""

import mmap
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import prometheus_client.values
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from shared.plain_text import visible

MAX_LABEL_VALUES: Final = 50
OTHER_LABEL: Final = "other"
METRIC_FILE_BYTES: Final = 512 * 1024
"""Room for every series of 50 models; the library doubles a file that is too small."""
METRIC_KINDS: Final = ("counter", "histogram")
"""Of a worker. Each has a file of its own."""
FAST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SLOW_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 21600)
BATCH_BUCKETS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2048)


class BoundedLabels:
    """Lets the first 50 distinct values of a label through, made visible; the rest become `other`."""

    def __init__(self, limit: int = MAX_LABEL_VALUES) -> None:
        self._limit = limit
        self._seen: set[str] = set()

    def bound(self, value: str) -> str:
        value = visible(value)
        if value in self._seen:
            return value
        if len(self._seen) >= self._limit:
            return OTHER_LABEL
        self._seen.add(value)
        return value


def clean_metric_files(directory: Path) -> None:
    """Make `directory` and empty it of an earlier run's files."""
    directory.mkdir(parents=True, exist_ok=True)
    for stale in directory.glob("*.db"):
        stale.unlink()


def reserve_metric_files(directory: Path, processes: Iterable[str]) -> None:
    """Set disk space aside for the metric files of `processes`.

    They are written through memory maps: on a full disk the first write to a page that has no space yet
    would kill the writer with SIGBUS. Raises OSError if there is no room, or no memory map.
    """
    for process in processes:
        for kind in METRIC_KINDS:
            descriptor = os.open(metric_file(directory, kind, process), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, METRIC_FILE_BYTES)
                mmap.mmap(descriptor, METRIC_FILE_BYTES).close()
            finally:
                os.close(descriptor)


def metric_file(directory: Path, kind: str, process: str) -> Path:
    """Where the library keeps the metrics of one kind of `process`."""
    return directory / f"{kind}_{process}.db"


def use_metric_files(directory: Path, process: str) -> None:
    """Keep this process's metrics in `directory`, in files named after `process`.

    Call before any metric is made.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    value_class = prometheus_client.values.MultiProcessValue(lambda: process)  # type: ignore[no-untyped-call]  # the library's own gap
    prometheus_client.values.ValueClass = value_class


def _makers(
    registry: CollectorRegistry,
) -> tuple[Callable[..., Counter], Callable[..., Histogram]]:
    def counter(name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=registry)

    def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=registry)

    return counter, histogram


class WorkerMetrics:
    """Counts a worker's calls to the provider."""

    def __init__(self) -> None:
        counter, histogram = _makers(CollectorRegistry())
        self.requests = counter(
            "openai_requests_total",
            "Calls to the provider by status: ok, or why not.",
            "provider",
            "model",
            "status",
        )
        self.duration = histogram(
            "openai_request_duration_seconds",
            "Time of one call to the provider.",
            FAST_BUCKETS,
            "provider",
            "model",
        )
        self.tokens = counter(
            "openai_tokens_used_total", "Tokens billed by the provider.", "provider", "model", "type"
        )
        self.batch = histogram(
            "openai_batch_size", "Texts in one call to the provider.", BATCH_BUCKETS, "provider", "model"
        )


class SupervisorMetrics:
    """What the supervisor counts. Gauges are not here: they are made from the status at each scrape."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own gap
        counter, histogram = _makers(registry)
        self.processed = counter(
            "ai_tasks_processed_total", "Tasks brought to a final status.", "task_type", "status"
        )
        self.processing = histogram(
            "ai_task_processing_duration_seconds",
            "From dispatch to the worker's answer.",
            FAST_BUCKETS,
            "task_type",
        )
        self.queue_wait = histogram(
            "ai_task_queue_wait_seconds", "From the poll to the dispatch.", SLOW_BUCKETS, "task_type"
        )
        self.end_to_end = histogram(
            "ai_task_end_to_end_seconds",
            "From the task's creation (as the API says) to its accepted report.",
            SLOW_BUCKETS,
            "task_type",
        )
        self.retries = counter("ai_task_retries_total", "Tasks put back to run again.", "task_type", "reason")
        self.rejected = counter("ai_tasks_rejected_total", "Items of a page that were not taken.", "reason")
        self.polls = counter("ai_polls_total", "Polls by result.", "result")
        self.reports = counter("ai_reports_total", "Reports (PATCH) by outcome.", "outcome")
        self.restarts = counter("ai_worker_restarts_total", "Workers started anew.", "reason")
        self.api_requests = counter(
            "api_requests_total", "Requests to the task API.", "endpoint", "method", "status_code"
        )
        self.api_duration = histogram(
            "api_request_duration_seconds",
            "Time of one request to the task API.",
            FAST_BUCKETS,
            "endpoint",
            "method",
        )
