"""Panels as values, and the JSON that Grafana reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, TypedDict, Unpack

Json: TypeAlias = dict[str, object]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
SELECTOR = 'job="$job", instance=~"$instance"'
GREEN, YELLOW, ORANGE, RED, BLUE = "green", "yellow", "orange", "red", "blue"


class Kind(StrEnum):
    """Grafana's names of the panel types used here."""

    STAT = "stat"
    TIMESERIES = "timeseries"
    STATE_TIMELINE = "state-timeline"


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL with `@` for the labels that the dashboard's variables choose, and a legend."""

    promql: str
    legend: str = ""

    @property
    def expression(self) -> str:
        return self.promql.replace("@", SELECTOR)


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `thresholds` are (from value, colour); `values` are names of single values with a colour.

    `alert` names the section of the runbook that the panel links to.
    """

    kind: Kind
    title: str
    description: str
    queries: Sequence[Query]
    unit: str = "short"
    width: int = 8
    height: int = 7
    thresholds: Sequence[tuple[float, str]] = ()
    values: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    stacked: bool = False
    shows_name: bool = False
    alert: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: Sequence[Panel]


class Look(TypedDict, total=False):
    """The fields of Panel that have a default, but for the unit."""

    width: int
    height: int
    thresholds: Sequence[tuple[float, str]]
    values: Mapping[int, tuple[str, str]]
    stacked: bool
    shows_name: bool
    alert: str


def stat(
    title: str, description: str, promql: str, legend: str = "", unit: str = "short", **look: Unpack[Look]
) -> Panel:
    """A single figure."""
    look = {"width": 4, "height": 4, **look}
    return Panel(Kind.STAT, title, description, [Query(promql, legend)], unit, **look)


def lines(title: str, description: str, unit: str, *queries: Query, **look: Unpack[Look]) -> Panel:
    """Values over time."""
    return Panel(Kind.TIMESERIES, title, description, queries, unit, **look)


def panel_json(panel: Panel, number: int, x: int, y: int, runbook: Mapping[str, str]) -> Json:
    """`runbook` gives the address of each of its sections."""
    targets: list[Json] = [
        {
            "refId": chr(ord("A") + place),
            "datasource": DATASOURCE,
            "expr": query.expression,
            "legendFormat": query.legend or "__auto",
            "instant": panel.kind is Kind.STAT,
            "range": panel.kind is not Kind.STAT,
            "editorMode": "code",
        }
        for place, query in enumerate(panel.queries)
    ]
    links: list[Json] = []
    if panel.alert:
        links = [link_json("What to do", runbook[panel.alert])]
    return {
        "id": number,
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.description,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "datasource": DATASOURCE,
        "targets": targets,
        "links": links,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def link_json(title: str, url: str) -> Json:
    """A link at the head of a panel or of a dashboard."""
    return {
        "title": title,
        "type": "link",
        "icon": "external link",
        "tooltip": "",
        "url": url,
        "tags": [],
        "asDropdown": False,
        "targetBlank": True,
        "includeVars": False,
        "keepTime": False,
    }


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"value": None, "color": GREEN if panel.thresholds or panel.values else BLUE}]
    steps += [{"value": value, "color": colour} for value, colour in panel.thresholds]
    defaults: Json = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if panel.kind is Kind.TIMESERIES else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": _mappings(panel.values),
        "min": 0,
    }
    if panel.kind is Kind.TIMESERIES:
        defaults["custom"] = _curve(panel)
    elif panel.kind is Kind.STATE_TIMELINE:
        defaults["custom"] = {"lineWidth": 0, "fillOpacity": 80}
    return defaults


def _curve(panel: Panel) -> Json:
    return {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 25 if panel.stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "line" if panel.thresholds else "off"},
    }


def _mappings(values: Mapping[int, tuple[str, str]]) -> list[Json]:
    if not values:
        return []
    names = {str(value): {"text": text, "color": colour} for value, (text, colour) in values.items()}
    return [{"type": "value", "options": names}]


def _options(panel: Panel) -> Json:
    if panel.kind is Kind.TIMESERIES:
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if panel.kind is Kind.STATE_TIMELINE:
        return {
            "mergeValues": True,
            "showValue": "never",
            "rowHeight": 0.8,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
            "tooltip": {"mode": "single", "sort": "none"},
        }
    return {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "textMode": "name" if panel.shows_name else "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }
