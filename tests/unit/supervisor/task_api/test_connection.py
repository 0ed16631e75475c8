"""The way to the task API is made of the settings and the environment, before anything is sent."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from shared.errors import ConfigurationError
from shared.metrics import SupervisorMetrics
from shared.settings import Settings
from supervisor.task_api.client import connect
from tests.builders import PROCESSORS, make_settings


def try_to_connect(settings: Settings) -> None:
    metrics = SupervisorMetrics(CollectorRegistry())
    wire, _ = connect(settings, lambda _: None, metrics, PROCESSORS, lambda: "x", lambda _: False, "w1")
    wire.close()


@pytest.mark.parametrize("name", ["api_ca_file", "api_client_cert"])
def test_file_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name.upper()}: /nowhere.pem cannot be read"):
        try_to_connect(make_settings(**{name: Path("/nowhere.pem")}))


def test_proxy_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://")
    with pytest.raises(ConfigurationError, match=r"^HTTP_PROXY: "):
        try_to_connect(make_settings(api_base_url="http://api.test"))


def test_way_to_the_token_endpoint_is_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://")
    settings = make_settings(
        api_base_url="http://api.test",
        api_oauth2_token_url="https://id.test/token",
        api_oauth2_client_id="client",
        api_oauth2_client_secret=SecretStr("secret"),
    )
    with pytest.raises(ConfigurationError, match=r"^HTTPS_PROXY: "):
        try_to_connect(settings)
