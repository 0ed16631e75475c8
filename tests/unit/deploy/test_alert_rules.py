"""The alert rules: what they ask for is exported, and each tells a person where to read on."""

from typing import TypedDict

import pytest
import yaml

from deploy.dashboards.runbook import read_sections
from deploy.verify.children import CHECKOUT
from shared.settings import Settings
from tests.unit.deploy.documented import undocumented

RULES = CHECKOUT / "deploy" / "prometheus"


class Rule(TypedDict):
    alert: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]


def rules() -> list[Rule]:
    groups: list[dict[str, list[Rule]]] = yaml.safe_load((RULES / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_rules_use_documented_metrics_only() -> None:
    assert undocumented(rule["expr"] for rule in rules()) == set()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_alert_is_urgent_or_not_and_has_its_section(rule: Rule) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert file == "docs/alerts.md"
    (section,) = [section for section in read_sections() if section.anchor == anchor]
    assert f"`{rule['alert']}`, {rule['labels']['severity']}." in section.text
    assert "**Look**" in section.text
    assert "**Do**" in section.text


def test_every_section_belongs_to_an_alert() -> None:
    anchors = {rule["annotations"]["runbook"].partition("#")[2] for rule in rules()}
    assert {section.anchor for section in read_sections()[1:]} == anchors


def test_every_alert_is_tested() -> None:
    tests = yaml.safe_load((RULES / "rules.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fired = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert fired == silent == {rule["alert"] for rule in rules()}


def test_default_settings_stay_below_the_windows() -> None:
    window_seconds = 300
    fields = Settings.model_fields
    for name in ("polling_interval_seconds", "circuit_breaker_recovery_seconds", "task_timeout_seconds"):
        assert fields[name].default < window_seconds, name


def test_prometheus_reads_the_rules_and_the_service() -> None:
    config = yaml.safe_load((CHECKOUT / "prometheus.yml").read_text())
    assert config["rule_files"] == ["deploy/prometheus/rules.yml"]
    (scrape,) = config["scrape_configs"]
    assert scrape["job_name"] == "ai-task-processor"
    assert scrape["static_configs"] == [{"targets": ["ai-task-processor:8001"]}]
