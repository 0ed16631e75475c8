"""The dashboards are what their code says, and speak of nothing that the service does not export."""

import json
import re
from typing import cast

import pytest
import yaml

from deploy.dashboards.documents import UID, documents
from deploy.dashboards.rows import ROWS
from deploy.dashboards.runbook import RUNBOOK_UID, read_sections
from deploy.verify.children import CHECKOUT
from deploy.verify.panels import targets
from tests.unit.deploy.documented import documented_metrics, undocumented

GRAFANA = CHECKOUT / "grafana"
PANELS = [panel for row in ROWS for panel in row.panels]


def provisioned(path: str) -> dict[str, list[dict[str, object]]]:
    content: dict[str, list[dict[str, object]]] = yaml.safe_load(
        (GRAFANA / "provisioning" / path).read_text()
    )
    return content


def panels_json(uid: str) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", documents()[uid]["panels"])


@pytest.mark.parametrize("name", [UID, RUNBOOK_UID])
def test_file_is_what_the_code_says(name: str) -> None:
    written = json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text(encoding="utf-8"))
    assert written == documents()[name], "run: make dashboards"


def test_queries_use_documented_metrics_only() -> None:
    assert undocumented(target.expression for target in targets()) == set()


def test_an_unknown_metric_or_label_would_be_found() -> None:
    assert undocumented(["sum(rate(ai_no_such_total{job='x'}[5m]))"]) == {"ai_no_such_total"}
    assert undocumented(['ai_workers{colour="red"}']) == {"colour"}


def test_every_metric_has_a_place_on_the_dashboard() -> None:
    text = " ".join(target.expression for target in targets())
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in documented_metrics()}
    assert {name for name in families if name not in text} == set()


def test_every_panel_says_what_it_shows() -> None:
    assert all(panel.description.endswith(".") for panel in PANELS)
    assert len({panel.title for panel in PANELS}) == len(PANELS)


def test_links_lead_to_sections_of_the_runbook() -> None:
    anchors = {section.anchor for section in read_sections()}
    assert {panel.alert for panel in PANELS if panel.alert} <= anchors


def test_no_two_panels_overlap_nor_leave_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels_json(UID):
        place = cast("dict[str, int]", panel["gridPos"])
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_panels_named_in_the_runbook_are_on_the_dashboard() -> None:
    text = (CHECKOUT / "docs" / "alerts.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", text))
    assert named
    assert named <= {panel.title for panel in PANELS}


def test_grafana_finds_prometheus_and_the_dashboards_where_compose_puts_them() -> None:
    (source,) = provisioned("datasources/prometheus.yml")["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = provisioned("dashboards/dashboards.yml")["providers"]
    options = cast("dict[str, str]", provider["options"])
    compose = (CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8")
    assert f"./grafana/dashboards:{options['path']}:ro" in compose
