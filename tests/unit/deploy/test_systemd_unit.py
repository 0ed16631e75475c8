"""The systemd unit fits the service that it starts."""

import yaml

from deploy.verify.children import CHECKOUT
from shared.settings import Settings
from supervisor.runtime.process import ExitCode

TEXT = (CHECKOUT / "deploy" / "systemd" / "ai-task-processor.service").read_text(encoding="utf-8")


def values(key: str) -> list[str]:
    return [line.partition("=")[2] for line in TEXT.splitlines() if line.startswith(f"{key}=")]


def test_service_tells_when_it_is_ready_and_that_its_loop_turns() -> None:
    assert values("Type") == ["notify"]
    assert values("NotifyAccess") == ["main"]
    assert int(values("WatchdogSec")[0]) > 0


def test_systemd_waits_longer_than_the_drain() -> None:
    assert float(values("TimeoutStopSec")[0]) > Settings.model_fields["drain_timeout_seconds"].default


def test_workers_are_left_to_finish_when_it_is_stopped() -> None:
    assert values("KillMode") == ["mixed"]


def test_service_outlives_a_worker_without_memory() -> None:
    assert values("OOMPolicy") == ["continue"]


def test_memory_limit_is_that_of_the_container() -> None:
    compose = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8"))
    pods = (CHECKOUT / "deploy" / "kubernetes" / "deployment.yaml").read_text(encoding="utf-8")
    assert values("MemoryMax") == ["1G"]
    assert compose["services"]["ai-task-processor"]["mem_limit"] == "1g"
    assert "limits: {memory: 1Gi}" in pods


def test_wrong_configuration_is_not_tried_again() -> None:
    assert values("Restart") == ["on-failure"]
    assert values("RestartPreventExitStatus") == [str(int(ExitCode.CONFIGURATION))]


def test_every_secret_comes_as_a_credential_that_may_be_missing() -> None:
    secrets = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert "openai_api_key" in secrets
    assert {value.split(":")[0] for value in values("LoadCredential")} == secrets
    assert set(values("SetCredential")) == {f"{name}:\\n" for name in secrets}


def test_state_is_where_systemd_made_it() -> None:
    assert values("StateDirectory") == ["ai-task-processor"]
    assert not values("Environment")[0].count("STATE_DIR")


def test_no_core_file_is_left() -> None:
    assert values("LimitCORE") == ["0"]


def test_it_is_hardened() -> None:
    for key in (
        "NoNewPrivileges",
        "DynamicUser",
        "PrivateTmp",
        "MemoryDenyWriteExecute",
        "RestrictNamespaces",
    ):
        assert values(key) == ["yes"], key
    assert values("ProtectSystem") == ["strict"]
    assert values("CapabilityBoundingSet") == [""]
