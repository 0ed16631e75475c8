"""What a counter or histogram stands at."""

from prometheus_client import Counter, Histogram


def reading(metric: Counter | Histogram, *labels: str) -> float:
    """A counter's value, or how many values a histogram has seen; 0 for labels never used."""
    names = metric._labelnames
    wanted = dict(zip(names, labels, strict=True))
    suffix = "_count" if isinstance(metric, Histogram) else "_total"
    return sum(
        sample.value
        for family in metric.collect()
        for sample in family.samples
        if sample.name.endswith(suffix) and sample.labels == wanted
    )
