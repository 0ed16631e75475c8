"""The Kubernetes manifests fit the image and the service."""

from pathlib import Path
from typing import cast

import pytest
import yaml

from deploy.verify.children import CHECKOUT
from shared.loading import MOUNTED_FILES_DIRECTORY
from shared.settings import Settings

FOLDER = CHECKOUT / "deploy" / "kubernetes"
Manifest = dict[str, dict[str, dict[str, dict[str, object]]]]


def manifest(name: str) -> Manifest:
    content: Manifest = yaml.safe_load((FOLDER / name).read_text())
    return content


def pod() -> dict[str, object]:
    return manifest("deployment.yaml")["spec"]["template"]["spec"]


def container() -> dict[str, object]:
    (only,) = cast("list[dict[str, object]]", pod()["containers"])
    return only


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.name)
def test_file_holds_one_object(file: Path) -> None:
    assert {"apiVersion", "kind"} <= yaml.safe_load(file.read_text()).keys()


def test_probes_ask_what_the_service_answers() -> None:
    assert cast("dict[str, dict[str, str]]", container()["livenessProbe"])["httpGet"]["path"] == "/health"
    assert cast("dict[str, dict[str, str]]", container()["startupProbe"])["httpGet"]["path"] == "/health"
    assert cast("dict[str, dict[str, str]]", container()["readinessProbe"])["httpGet"]["path"] == "/ready"


def test_pod_has_longer_to_stop_than_the_service_drains() -> None:
    drain_seconds = Settings.model_fields["drain_timeout_seconds"].default
    assert cast("int", pod()["terminationGracePeriodSeconds"]) > drain_seconds


def test_container_has_no_privileges() -> None:
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    context = cast("dict[str, object]", pod()["securityContext"])
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 10001)


def test_keys_are_files_where_the_service_looks_for_them() -> None:
    mounts = cast("list[dict[str, object]]", container()["volumeMounts"])
    assert {mount["name"]: mount["mountPath"] for mount in mounts} == {
        "state": "/var/lib/ai-task-processor",
        "keys": MOUNTED_FILES_DIRECTORY,
    }
    entries = cast(
        "dict[str, str]", yaml.safe_load((FOLDER / "secret.example.yaml").read_text())["stringData"]
    )
    assert entries.keys() <= Settings.model_fields.keys()


def test_network_policy_lets_in_what_scrapes_and_names_the_same_pods_and_port() -> None:
    policy = manifest("network-policy.example.yaml")["spec"]
    assert policy["podSelector"] == manifest("deployment.yaml")["spec"]["selector"]
    (inward,) = cast("list[dict[str, object]]", policy["ingress"])
    (port,) = cast("list[dict[str, object]]", container()["ports"])
    assert inward["ports"] == [{"port": port["name"]}]


def test_configuration_names_settings_only() -> None:
    data = cast("dict[str, str]", yaml.safe_load((FOLDER / "configmap.yaml").read_text())["data"])
    assert {name.lower() for name in data} <= Settings.model_fields.keys()


def test_old_pod_is_gone_before_the_new_one_takes_its_state() -> None:
    strategy: object = manifest("deployment.yaml")["spec"]["strategy"]
    assert strategy == {"type": "Recreate"}
