"""What a worker's metrics show."""

from prometheus_client.metrics import MetricWrapperBase

from shared.metrics import WorkerMetrics


def sample(metric: MetricWrapperBase, suffix: str = "_total", **labels: str) -> float:
    """The value of one sample, 0 when there is none."""
    return sum(
        found.value
        for family in metric.collect()
        for found in family.samples
        if found.name.endswith(suffix) and found.labels == labels
    )


def requests_by_status(metrics: WorkerMetrics) -> dict[str, float]:
    """Calls counted so far, whatever their model."""
    counts: dict[str, float] = {}
    for family in metrics.requests.collect():
        for found in family.samples:
            if found.name.endswith("_total"):
                counts[found.labels["status"]] = counts.get(found.labels["status"], 0.0) + found.value
    return counts
