"""docker-compose.yml keeps its promises."""

import re
from typing import cast

import pytest

from deploy.verify.children import CHECKOUT
from deploy.verify.compose import DEMO_SETTINGS, read_compose, read_variables
from shared.settings import Settings

SERVICES = read_compose({})["services"]
DEMO = read_compose(read_variables(DEMO_SETTINGS))["services"]
PINNED = re.compile(r"[a-z/-]+:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?")


def seconds(duration: object) -> float:
    return float(str(duration).removesuffix("s"))


def test_three_ports_are_published_and_on_loopback() -> None:
    published = [
        port for service in SERVICES.values() for port in cast("list[str]", service.get("ports", []))
    ]
    assert sorted(published) == ["127.0.0.1:3001:3000", "127.0.0.1:8001:8001", "127.0.0.1:9090:9090"]


def test_foreign_images_are_pinned_by_version() -> None:
    images = [str(service["image"]) for service in SERVICES.values() if "build" not in service]
    assert images
    assert all(PINNED.fullmatch(image) for image in images)


def test_service_waits_for_nothing_else_to_start() -> None:
    assert "depends_on" not in SERVICES["ai-task-processor"]


def test_what_depends_waits_for_health() -> None:
    for service in SERVICES.values():
        for name, how in cast("dict[str, dict[str, str]]", service.get("depends_on", {})).items():
            assert how == {"condition": "service_healthy"}
            # Our own images bring a HEALTHCHECK along.
            assert "healthcheck" in SERVICES[name] or "build" in SERVICES[name]


def test_demo_is_a_profile_of_its_own() -> None:
    in_profile = {name for name, service in SERVICES.items() if service.get("profiles") == ["demo"]}
    assert in_profile == {"task-api", "demo-feeder"}


def test_demo_needs_no_key_and_no_backend() -> None:
    settings = read_variables(DEMO_SETTINGS)
    assert settings["COMPOSE_PROFILES"] == "demo"
    assert settings["EMBEDDING_PROVIDER"] == "local"
    assert settings["API_BASE_URL"] == "http://task-api:8000"
    assert DEMO["ai-task-processor"]["env_file"] == ["deploy/demo.env"]
    assert DEMO["ai-task-processor"]["image"] == DEMO["task-api"]["image"]


def test_service_has_longer_to_stop_than_it_drains() -> None:
    drain_seconds = Settings.model_fields["drain_timeout_seconds"].default
    assert seconds(SERVICES["ai-task-processor"]["stop_grace_period"]) > drain_seconds


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_limits_and_no_privileges(name: str) -> None:
    service = SERVICES[name]
    assert {"mem_limit", "cpus"} <= service.keys()
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_own_services_cannot_write_their_root() -> None:
    assert all(service["read_only"] is True for service in SERVICES.values() if "build" in service)


def test_what_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in cast("list[str]", service.get("volumes", [])):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (CHECKOUT / source).exists(), source
