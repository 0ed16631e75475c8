"""Metrics of a worker on another machine: it sends what it counted, and files here add it up.

So a counter here never falls, whatever becomes of the worker.
"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import prometheus_client.values
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.values import MutexValue

from shared.metrics import METRIC_KINDS, metric_file

Changes: TypeAlias = Mapping[str, Mapping[str, float]]
"""By kind of metric and by series: how much was added. A series that is new is there with 0."""


class MetricChanges:
    """What was counted since the last look. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes: dict[str, dict[str, float]] = {}

    def add(self, kind: str, series: str, amount: float) -> None:
        with self._lock:
            changed = self._changes.setdefault(kind, {})
            changed[series] = changed.get(series, 0.0) + amount

    def take(self) -> Changes:
        """Since the last call."""
        with self._lock:
            changes, self._changes = self._changes, {}
            return changes


def note_metric_changes() -> MetricChanges:
    """Have what this process counts noted as changes.

    Call before any metric is made. Counters and histograms are only added to. What else a plug-in measures,
    such as a gauge, has no meaning as a sum, and stays in its process.
    """
    changes = MetricChanges()

    class NotedValue(MutexValue):
        """What the library makes for each series."""

        def __init__(
            self,
            typ: str,
            metric_name: str,
            name: str,
            labelnames: Sequence[str],
            labelvalues: Sequence[str],
            help_text: str,
            **more: object,
        ) -> None:
            super().__init__(typ, metric_name, name, labelnames, labelvalues, help_text, **more)  # type: ignore[no-untyped-call]  # the library's own gap
            self._kind = typ
            self._series = mmap_key(metric_name, name, list(labelnames), list(labelvalues), help_text)
            self._note(0.0)

        def inc(self, amount: float) -> None:
            super().inc(amount)  # type: ignore[no-untyped-call]  # the library's own gap
            self._note(amount)

        def _note(self, amount: float) -> None:
            if self._kind in METRIC_KINDS:
                changes.add(self._kind, self._series, amount)

    prometheus_client.values.ValueClass = NotedValue
    return changes


class AddedMetrics:
    """The metric files of `process` in `directory`, to which changes are added. For one thread at a time."""

    def __init__(self, directory: Path, process: str) -> None:
        self._files = {
            kind: MmapedDict(str(metric_file(directory, kind, process)))  # type: ignore[no-untyped-call]  # the library's own gap
            for kind in METRIC_KINDS
        }

    def add(self, changes: Changes) -> None:
        for kind, series in changes.items():
            file = self._files[kind]
            for name, amount in series.items():
                value, at = file.read_value(name)  # type: ignore[no-untyped-call]  # the library's own gap
                file.write_value(name, value + amount, at)  # type: ignore[no-untyped-call]  # the same

    def read(self, kind: str, series: str) -> float:
        value, _ = self._files[kind].read_value(series)  # type: ignore[no-untyped-call]  # the library's own gap
        return float(value)

    def close(self) -> None:
        for file in self._files.values():
            file.close()  # type: ignore[no-untyped-call]  # the library's own gap
