"""Names that are close to a setting's are told apart from names that are none of ours."""

import pytest

from shared.errors import ConfigurationError
from shared.loading import find_unknown_names, load_settings, unknown_names
from shared.settings import Settings
from tests.unit.shared.conftest import Surroundings

SETTINGS = {name.upper() for name in Settings.model_fields}
MISSPELT = {
    "OPENAI_APIKEY": "OPENAI_API_KEY",
    "OPENAI_KEY": "OPENAI_API_KEY",
    "OPENAI_API_BASE": "OPENAI_BASE_URL",
    "OPENAI_BASEURL": "OPENAI_BASE_URL",
    "API_BASEURL": "API_BASE_URL",
    "API_URL": "API_BASE_URL",
    "API_TOKN": "API_TOKEN",
    "BATCH_MAX_TASK": "BATCH_MAX_TASKS",
    "POLLING_INTERVAL": "POLLING_INTERVAL_SECONDS",
    "POLL_INTERVAL": "POLLING_INTERVAL_SECONDS",
    "REQUEST_TIMEOUT_SECONDS": "REQUEST_TIMEOUT",
    "DRAIN_TIMEOUT": "DRAIN_TIMEOUT_SECONDS",
    "LOGLEVEL": "LOG_LEVEL",
    "METRIC_PORT": "METRICS_PORT",
}
OTHERS = [
    *("DATABASE_URL", "COMPOSE_PROJECT_NAME", "GRAFANA_PASSWORD", "LOG_DIR", "OPENAI_MODEL", "API_VERSION"),
    *("METRICS_SERVICE_HOST", "METRICS_PORT_8001_TCP", "API_PORT_80_TCP", "PATH", "HOME", "STATE_DIRECTORY"),
]
OF_THE_SDK = ["OPENAI_ORG_ID", "OPENAI_API_TYPE", "OPENAI_LOG", "OPENAI_ADMIN_KEY"]


@pytest.mark.parametrize(("name", "meant"), MISSPELT.items())
def test_misspelling_is_named_with_the_setting_that_was_meant(name: str, meant: str) -> None:
    for found in (unknown_names(SETTINGS, [name], []), unknown_names(SETTINGS, [], [name.lower()])):
        assert [unknown.meant for unknown in found] == [meant]


def test_other_names_count_in_the_env_file_only() -> None:
    assert unknown_names(SETTINGS, OTHERS, []) == []
    assert [(found.name, found.meant) for found in unknown_names(SETTINGS, [], OTHERS)] == [
        (name, None) for name in OTHERS
    ]


def test_variables_of_the_sdk_are_no_misspellings() -> None:
    assert unknown_names(SETTINGS, OF_THE_SDK, []) == []


def test_variables_of_the_sdk_have_no_effect_in_the_env_file() -> None:
    assert [(found.name, found.meant) for found in unknown_names(SETTINGS, [], OF_THE_SDK)] == [
        (name, None) for name in OF_THE_SDK
    ]


def test_settings_are_no_misspellings_of_each_other() -> None:
    assert unknown_names(SETTINGS, SETTINGS, [name.lower() for name in SETTINGS]) == []


def test_setting_that_is_set_as_well_was_not_meant() -> None:
    assert unknown_names(SETTINGS, ["OPENAI_APIKEY", "OPENAI_API_KEY"], []) == []
    assert unknown_names(SETTINGS, ["OPENAI_APIKEY"], ["OPENAI_API_KEY"]) == []


def test_required_setting_that_is_misspelt_is_pointed_out(surroundings: Surroundings) -> None:
    surroundings.write_env_file("API_BASEURL=http://api.test\nGRAFANA_PASSWORD=x\n")
    surroundings.set(OPENAI_APIKEY="sk-1")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    address, key = caught.value.faults
    assert address == "API_BASE_URL: is required but not set; .env has API_BASEURL: did you mean that?"
    assert key.startswith("OPENAI_API_KEY: is required; ")
    assert key.endswith("; the environment has OPENAI_APIKEY: did you mean that?")


def test_unknown_names_of_a_service_that_starts_are_found(complete: Surroundings) -> None:
    complete.write_env_file("BATCH_MAX_TASK=5\n")
    (found,) = [unknown for unknown in find_unknown_names() if unknown.source == ".env"]
    assert (found.name, found.meant) == ("BATCH_MAX_TASK", "BATCH_MAX_TASKS")
