"""The manifests for several replicas fit the service, the task API and each other."""

from typing import Any

import pytest
import yaml

from deploy.verify.children import CHECKOUT
from examples.task_api.task import State
from shared.settings import Settings

SINGLE = CHECKOUT / "deploy" / "kubernetes"
FLEET = SINGLE / "fleet"
DEFAULTS = Settings.model_fields
KEYS_OF_SCALED_OBJECT = {
    "scaleTargetRef",
    "minReplicaCount",
    "maxReplicaCount",
    "pollingInterval",
    "cooldownPeriod",
    "advanced",
    "triggers",
}


def manifest(name: str) -> Any:
    return yaml.safe_load((FLEET / name).read_text())


SET = manifest("stateful-set.yaml")["spec"]
POD = SET["template"]["spec"]
SETTINGS = manifest("configmap.yaml")["data"]
SCALED = manifest("scaled-object.yaml")["spec"]
PROMETHEUS = manifest("scaled-object-prometheus.example.yaml")["spec"]


def container(pod: Any) -> Any:
    (only,) = pod["containers"]
    return only


def test_configuration_is_taken_by_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name.lower() for name in SETTINGS} <= DEFAULTS.keys()
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    assert Settings(openai_api_key="sk-x").claim_tasks


def test_replica_has_longer_to_stop_than_it_drains() -> None:
    assert POD["terminationGracePeriodSeconds"] >= float(SETTINGS["DRAIN_TIMEOUT_SECONDS"]) + 10


def test_scale_in_leaves_time_for_the_drain_of_one_replica() -> None:
    behavior = SCALED["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    (policy,) = behavior["policies"]
    assert policy["value"] == 1
    assert policy["periodSeconds"] > POD["terminationGracePeriodSeconds"]


def test_all_replicas_together_take_no_more_than_the_limits() -> None:
    for scaled in (SCALED, PROMETHEUS):
        assert scaled["maxReplicaCount"] * float(SETTINGS["RATE_SHARE"]) <= 1


def test_replica_is_added_for_what_one_has_under_way() -> None:
    under_way = DEFAULTS["concurrency_limit"].default * DEFAULTS["batch_max_tasks"].default
    assert int(SCALED["advanced"]["scalingModifiers"]["target"]) == under_way
    assert {int(trigger["metadata"]["targetValue"]) for trigger in SCALED["triggers"]} == {under_way}
    assert int(PROMETHEUS["triggers"][0]["metadata"]["threshold"]) == under_way


def test_pending_and_claimed_tasks_are_added_up() -> None:
    by_name = {trigger["name"]: trigger["metadata"]["valueLocation"] for trigger in SCALED["triggers"]}
    assert by_name == {
        "pending": f"by_status.{State.PENDING}",
        "claimed": f"by_status.{State.PROCESSING}",
    }
    assert set(SCALED["advanced"]["scalingModifiers"]["formula"].split(" + ")) == by_name.keys()


def test_counts_come_from_the_api_that_the_replicas_poll() -> None:
    urls = {trigger["metadata"]["url"] for trigger in SCALED["triggers"]}
    assert urls == {SETTINGS["API_BASE_URL"] + "/api/ai-tasks/summary"}


def test_counts_are_asked_for_with_the_token_of_the_replicas() -> None:
    authentication = manifest("trigger-authentication.yaml")
    (secret,) = authentication["spec"]["secretTargetRef"]
    keys = next(volume["secret"] for volume in POD["volumes"] if volume["name"] == "keys")
    assert (secret["name"], secret["parameter"]) == (keys["secretName"], "token")
    assert secret["key"] in DEFAULTS
    for trigger in SCALED["triggers"]:
        assert trigger["metadata"]["authMode"] == "bearer"
        assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]


@pytest.mark.parametrize("scaled", [SCALED, PROMETHEUS])
def test_what_is_scaled_is_the_set(scaled: Any) -> None:
    """KEDA's schema takes unknown keys, so they are checked here."""
    whole = manifest("stateful-set.yaml")
    assert scaled.keys() <= KEYS_OF_SCALED_OBJECT
    assert scaled["scaleTargetRef"] == {
        "apiVersion": whole["apiVersion"],
        "kind": whole["kind"],
        "name": whole["metadata"]["name"],
    }
    assert "replicas" not in SET, "an apply would undo what KEDA has set"


def test_budget_service_and_set_select_the_same_pods() -> None:
    labels = SET["template"]["metadata"]["labels"]
    service = manifest("service.yaml")
    assert SET["selector"]["matchLabels"] == labels
    assert manifest("disruption-budget.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert service["metadata"]["name"] == SET["serviceName"]


def test_each_replica_keeps_a_volume_of_its_own() -> None:
    (template,) = SET["volumeClaimTemplates"]
    (mount,) = (each for each in container(POD)["volumeMounts"] if each["name"] == "state")
    assert template["metadata"]["name"] == mount["name"]
    assert "state" not in {volume["name"] for volume in POD["volumes"]}
    assert set(SET["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}


def test_container_is_that_of_the_single_replica() -> None:
    single = yaml.safe_load((SINGLE / "deployment.yaml").read_text())["spec"]["template"]["spec"]
    assert container(POD) == container(single)
    for key in ("securityContext", "enableServiceLinks", "automountServiceAccountToken"):
        assert POD[key] == single[key]


def test_prometheus_is_told_where_the_metrics_are() -> None:
    (port,) = container(POD)["ports"]
    assert SET["template"]["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port["containerPort"]),
        "prometheus.io/path": "/metrics",
    }
