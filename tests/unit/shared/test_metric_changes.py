"""Metrics that were counted on another machine."""

from pathlib import Path

import prometheus_client.values
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Summary
from prometheus_client.multiprocess import MultiProcessCollector

from shared.metric_changes import AddedMetrics, MetricChanges, note_metric_changes
from shared.metrics import BATCH_BUCKETS, WorkerMetrics, reserve_metric_files

PROCESS = "worker-3"


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> MetricChanges:
    monkeypatch.setattr(prometheus_client.values, "ValueClass", prometheus_client.values.ValueClass)
    return note_metric_changes()


def shown(directory: Path) -> dict[tuple[str, str], float]:
    """What `/metrics` would show, by name and bucket."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]  # the library's own gap
    samples = (sample for family in registry.collect() for sample in family.samples)
    return {(sample.name, sample.labels.get("le", "")): sample.value for sample in samples}


def added(directory: Path, *changes: MetricChanges) -> None:
    files = AddedMetrics(directory, PROCESS)
    for one in changes:
        files.add(one.take())
    files.close()


def test_what_a_worker_counts_elsewhere_is_shown_here(tmp_path: Path, changes: MetricChanges) -> None:
    reserve_metric_files(tmp_path, [PROCESS])
    metrics = WorkerMetrics()
    metrics.tokens.labels("local", "m", "prompt").inc(7)
    metrics.batch.labels("local", "m").observe(100)
    added(tmp_path, changes)
    found = shown(tmp_path)
    assert found["openai_tokens_used_total", ""] == 7
    assert found["openai_batch_size_bucket", "50.0"] == 0
    assert found["openai_batch_size_bucket", "100.0"] == 1
    assert len([name for name, bucket in found if bucket]) == len(BATCH_BUCKETS) + 1


def test_counter_goes_on_where_a_dead_worker_left_it(tmp_path: Path, changes: MetricChanges) -> None:
    WorkerMetrics().tokens.labels("local", "m", "prompt").inc(7)
    added(tmp_path, changes)
    later = note_metric_changes()
    WorkerMetrics().tokens.labels("local", "m", "prompt").inc(1)
    added(tmp_path, later)
    assert shown(tmp_path)["openai_tokens_used_total", ""] == 8


def test_what_was_taken_once_is_not_counted_again(tmp_path: Path, changes: MetricChanges) -> None:
    WorkerMetrics().tokens.labels("local", "m", "prompt").inc(7)
    added(tmp_path, changes, changes)
    assert shown(tmp_path)["openai_tokens_used_total", ""] == 7


def test_gauge_of_a_plug_in_works_and_stays_where_it_is(tmp_path: Path, changes: MetricChanges) -> None:
    gauge = Gauge("free_slots", "Of a model server's library.", registry=None)
    Summary("answer_seconds", "The same.", registry=None).observe(2)
    gauge.set(5)
    gauge.dec()
    WorkerMetrics().tokens.labels("local", "m", "prompt").inc(7)
    added(tmp_path, changes)
    assert shown(tmp_path)["openai_tokens_used_total", ""] == 7
    assert not [name for name, _ in shown(tmp_path) if name.startswith(("free_", "answer_"))]


def test_counter_of_a_plug_in_can_be_read_where_it_counts(tmp_path: Path, changes: MetricChanges) -> None:
    registry = CollectorRegistry()
    counter = Counter("answers", "Of a model server's library.", registry=registry)
    counter.inc(2, exemplar={"id": "a"})
    assert registry.get_sample_value("answers_total") == 2
    added(tmp_path, changes)
    assert shown(tmp_path)["answers_total", ""] == 2
