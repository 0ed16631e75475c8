"""What docs/operations.md says of the metrics."""

import re
from collections.abc import Iterable

from deploy.verify.children import CHECKOUT

ROW = re.compile(r"^\| `([a-z_]+)(?:\{([a-z_,]+)\})?` \| (counter|gauge|histogram) \|", re.MULTILINE)
SUFFIXES = ("_bucket", "_sum", "_count")
OF_PROMETHEUS = {"up", "ALERTS", "scrape_duration_seconds"}
LABELS_OF_SCRAPES = {"job", "instance", "le", "alertname", "alertstate"}
SELECTED = re.compile(r"([a-zA-Z_]+)\{([^}]*)\}|\b((?:ai|api|openai|circuit)_[a-z_]+)\b")


def documented_metrics() -> dict[str, set[str]]:
    """The labels of each series by its name, `_bucket` and the like included."""
    text = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
    series = {}
    for name, labels, kind in ROW.findall(text):
        for suffix in SUFFIXES if kind == "histogram" else ("",):
            series[name + suffix] = set(labels.split(",")) - {""}
    return series


def undocumented(expressions: Iterable[str]) -> set[str]:
    """Names of metrics in PromQL, and of labels that select them, which the documentation does not know."""
    known = documented_metrics()
    strange = set()
    for expression in expressions:
        for name, selectors, bare in SELECTED.findall(expression):
            metric = name or bare
            if metric not in known and metric not in OF_PROMETHEUS:
                strange.add(metric)
            labels = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selectors))
            strange |= labels - known.get(metric, set()) - LABELS_OF_SCRAPES
    return strange
