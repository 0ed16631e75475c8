"""What is counted, under which names, and how many values a label can have."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import prometheus_client.values
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram

from shared.metrics import (
    MAX_LABEL_VALUES,
    METRIC_FILE_BYTES,
    OTHER_LABEL,
    BoundedLabels,
    SupervisorMetrics,
    WorkerMetrics,
    clean_metric_files,
    reserve_metric_files,
    use_metric_files,
)
from shared.plain_text import is_plain

COUNTED_BY_WORKERS = {
    "openai_requests_total": ("provider", "model", "status"),
    "openai_request_duration_seconds": ("provider", "model"),
    "openai_tokens_used_total": ("provider", "model", "type"),
    "openai_batch_size": ("provider", "model"),
}
COUNTED_BY_THE_SUPERVISOR = {
    "ai_tasks_processed_total": ("task_type", "status"),
    "ai_task_processing_duration_seconds": ("task_type",),
    "ai_task_queue_wait_seconds": ("task_type",),
    "ai_task_end_to_end_seconds": ("task_type",),
    "ai_task_retries_total": ("task_type", "reason"),
    "ai_tasks_rejected_total": ("reason",),
    "ai_polls_total": ("result",),
    "ai_reports_total": ("outcome",),
    "ai_worker_restarts_total": ("reason",),
    "api_requests_total": ("endpoint", "method", "status_code"),
    "api_request_duration_seconds": ("endpoint", "method"),
}


def names_and_labels(holder: object) -> dict[str, tuple[str, ...]]:
    metrics = [value for value in vars(holder).values() if isinstance(value, Counter | Histogram)]
    assert len(metrics) == len(vars(holder))
    return {
        metric._name + ("_total" if isinstance(metric, Counter) else ""): tuple(metric._labelnames)
        for metric in metrics
    }


def test_workers_count_exactly_what_is_promised() -> None:
    assert names_and_labels(WorkerMetrics()) == COUNTED_BY_WORKERS


def test_supervisor_counts_exactly_what_is_promised() -> None:
    assert names_and_labels(SupervisorMetrics(CollectorRegistry())) == COUNTED_BY_THE_SUPERVISOR


def test_no_label_holds_the_name_of_a_task() -> None:
    labels = {name for names in COUNTED_BY_THE_SUPERVISOR.values() for name in names}
    assert not labels & {"task_id", "id", "correlation_id"}


@given(st.lists(st.text(max_size=3)))
def test_label_never_has_more_values_than_its_limit_and_other(values: list[str]) -> None:
    labels = BoundedLabels(limit=5)
    shown = {labels.bound(value) for value in values}
    assert len(shown - {OTHER_LABEL}) <= 5


@given(st.lists(st.text(max_size=3), min_size=1))
def test_value_once_shown_is_shown_for_good(values: list[str]) -> None:
    labels = BoundedLabels(limit=5)
    first = {value: labels.bound(value) for value in reversed(values)}
    assert {value: labels.bound(value) for value in values} == first


def test_fifty_values_pass_and_the_next_becomes_other() -> None:
    labels = BoundedLabels()
    assert MAX_LABEL_VALUES == 50
    assert [labels.bound(f"m{number}") for number in range(50)] == [f"m{number}" for number in range(50)]
    assert labels.bound("m50") == "other"
    assert labels.bound("m0") == "m0"


@given(st.text())
def test_value_is_plain_text(value: str) -> None:
    assert is_plain(BoundedLabels().bound(value))


def test_files_of_an_earlier_run_are_cleaned_away(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "metrics"
    clean_metric_files(directory)
    (directory / "counter_worker-0.db").write_bytes(b"old")
    (directory / "notes.txt").write_text("kept")
    clean_metric_files(directory)
    assert [path.name for path in directory.iterdir()] == ["notes.txt"]


def test_files_are_named_after_the_process_so_that_its_successor_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "PROMETHEUS_MULTIPROC_DIR", "elsewhere")
    monkeypatch.setattr(prometheus_client.values, "ValueClass", prometheus_client.values.ValueClass)
    for _ in range(2):
        use_metric_files(tmp_path, "worker-3")
        WorkerMetrics().requests.labels("p", "m", "ok").inc()
    # A third life sees what the first two counted.
    use_metric_files(tmp_path, "worker-3")
    requests = WorkerMetrics().requests
    requests.labels("p", "m", "ok")
    (sample,) = [s for family in requests.collect() for s in family.samples if s.name.endswith("_total")]
    assert sample.value == 2.0
    assert {path.stem.rpartition("_")[2] for path in tmp_path.glob("counter_*.db")} == {"worker-3"}


def test_room_for_every_process_is_set_aside_on_disk(tmp_path: Path) -> None:
    reserve_metric_files(tmp_path, ["worker-0", "worker-1"])
    sizes = {path.name: (path.stat().st_size, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert sizes == {
        f"{kind}_{process}.db": (METRIC_FILE_BYTES, 0o600)
        for kind in ("counter", "histogram")
        for process in ("worker-0", "worker-1")
    }
    # Space, not a hole that a full disk could not fill.
    assert all(path.stat().st_blocks * 512 >= METRIC_FILE_BYTES for path in tmp_path.iterdir())


def test_file_system_without_memory_maps_shows_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr("mmap.mmap", refuse)
    with pytest.raises(OSError, match="No such device"):
        reserve_metric_files(tmp_path, ["worker-0"])
