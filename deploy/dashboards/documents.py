"""The two dashboards as Grafana reads them: the service, and the runbook beside it."""

from collections.abc import Mapping, Sequence

from deploy.dashboards.panels import DATASOURCE, Json, Row, link_json, panel_json
from deploy.dashboards.rows import ROWS
from deploy.dashboards.runbook import RUNBOOK_UID, Section, links, read_sections

UID = "ai-task-processor"
WIDTH = 24
SECTION_HEIGHT = 8
FIRING: Json = {
    "name": "Alerts",
    "enable": True,
    "iconColor": "red",
    "datasource": DATASOURCE,
    "target": {
        "refId": "Anno",
        "expr": 'ALERTS{alertstate="firing", alertname=~"AiTaskProcessor.*", job="$job"}',
    },
    "titleFormat": "{{alertname}}",
    "textFormat": "{{instance}}",
}


def documents() -> dict[str, Json]:
    """By file name, without `.json`."""
    sections = read_sections()
    return {UID: _service(links(sections)), RUNBOOK_UID: _runbook(sections)}


def _service(runbook: Mapping[str, str]) -> Json:
    document = _document(UID, "AI task processor", _panels(ROWS, runbook))
    document["templating"] = {"list": _variables()}
    document["annotations"] = {"list": [FIRING]}
    document["links"] = [link_json("Runbook", f"/d/{RUNBOOK_UID}")]
    return document


def _runbook(sections: Sequence[Section]) -> Json:
    panels: list[Json] = [
        {
            "id": number,
            "type": "text",
            "title": section.title,
            "gridPos": {"x": 0, "y": (number - 1) * SECTION_HEIGHT, "w": WIDTH, "h": SECTION_HEIGHT},
            "options": {"mode": "markdown", "content": section.text},
        }
        for number, section in enumerate(sections, start=1)
    ]
    document = _document(RUNBOOK_UID, "AI task processor: runbook", panels)
    document["links"] = [link_json("Dashboard", f"/d/{UID}")]
    return document


def _document(uid: str, title: str, panels: list[Json]) -> Json:
    return {
        "uid": uid,
        "title": title,
        "tags": ["ai-task-processor"],
        "schemaVersion": 42,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "timezone": "browser",
        "panels": panels,
    }


def _panels(rows: Sequence[Row], runbook: Mapping[str, str]) -> list[Json]:
    """Left to right, then down; every row starts under the tallest panel of the last line."""
    panels: list[Json] = []
    y = 0
    for row in rows:
        panels.append(_row_json(row.title, len(panels) + 1, y))
        y += 1
        x = tallest = 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            panels.append(panel_json(panel, len(panels) + 1, x, y, runbook))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return panels


def _row_json(title: str, number: int, y: int) -> Json:
    position = {"x": 0, "y": y, "w": WIDTH, "h": 1}
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": position,
        "panels": [],
    }


def _variables() -> list[Json]:
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        _choice("job", "Job", "label_values(ai_task_processor_build_info, job)", several=False),
        _choice(
            "instance",
            "Instance",
            'label_values(ai_task_processor_build_info{job="$job"}, instance)',
            several=True,
        ),
    ]


def _choice(name: str, label: str, query: str, *, several: bool) -> Json:
    variable: Json = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
    }
    if several:
        variable["allValue"] = ".+"
        variable["current"] = {"text": ["All"], "value": ["$__all"], "selected": True}
    return variable
