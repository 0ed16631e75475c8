"""Settings of the task API that need each other, and such as exclude each other."""

import pytest

from shared.errors import ConfigurationError
from shared.loading import load_settings
from shared.settings import Pool
from tests.unit.shared.conftest import Surroundings

OAUTH2 = {
    "API_OAUTH2_TOKEN_URL": "https://id.test/token",
    "API_OAUTH2_CLIENT_ID": "client",
    "API_OAUTH2_CLIENT_SECRET": "a secret with spaces",
}


def faults() -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return list(caught.value.faults)


def test_credentials_of_oauth2_are_read(complete: Surroundings) -> None:
    complete.set(**OAUTH2, API_OAUTH2_SCOPE="read", API_OAUTH2_AUDIENCE="https://api.test/")
    settings = load_settings()
    assert settings.api_oauth2_client_secret is not None
    assert settings.api_oauth2_client_secret.get_secret_value() == "a secret with spaces"
    assert "a secret" not in repr(settings)


@pytest.mark.parametrize("given", [*OAUTH2, "API_OAUTH2_SCOPE", "API_OAUTH2_AUDIENCE"])
def test_each_credential_that_is_missing_is_named(complete: Surroundings, given: str) -> None:
    complete.set(**{given: OAUTH2.get(given, "x")})
    missing = [name for name in OAUTH2 if name != given]
    assert faults() == [f"{name}: is required but not set, as {given} is set" for name in missing]


def test_token_and_oauth2_exclude_each_other(complete: Surroundings) -> None:
    complete.set(**OAUTH2, API_TOKEN="token")
    (line,) = faults()
    assert line.startswith("API_TOKEN: cannot be used together with API_OAUTH2_TOKEN_URL")


def test_key_needs_its_certificate(complete: Surroundings) -> None:
    complete.set(API_CLIENT_KEY="/etc/key.pem")
    assert faults() == ["API_CLIENT_CERT: is required but not set, as API_CLIENT_KEY is set"]


@pytest.mark.parametrize(
    "url", ["id.test/token", "ftp://id.test", "https://user:pw@id.test/", "https://a b/"]
)
def test_token_url_is_an_address(complete: Surroundings, url: str) -> None:
    complete.set(**{**OAUTH2, "API_OAUTH2_TOKEN_URL": url})
    (line,) = faults()
    assert line.startswith("API_OAUTH2_TOKEN_URL: must")
    assert "pw" not in line


@pytest.mark.parametrize(
    "path",
    ["tasks", "", "//", "/tasks#x", "/a b", "/t\u00e4sks", "/tasks/{id}/{id}", "/tasks/id", "/{x}/{id}"],
)
def test_path_of_a_task_holds_its_id_once(complete: Surroundings, path: str) -> None:
    complete.set(API_TASK_PATH=path)
    if path:
        (line,) = faults()
        assert line.startswith("API_TASK_PATH: must")
    else:
        assert load_settings().api_task_path == "/api/ai-tasks/{id}"


@pytest.mark.parametrize("path", ["tasks", "/tasks#x", "/a b", "?x=1"])
def test_path_of_pending_tasks_begins_with_a_slash(complete: Surroundings, path: str) -> None:
    complete.set(API_PENDING_PATH=path)
    (line,) = faults()
    assert line.startswith("API_PENDING_PATH: must be a path")


def test_paths_may_have_a_query(complete: Surroundings) -> None:
    complete.set(API_PENDING_PATH="/v2/jobs?status=pending", API_TASK_PATH="/v2/jobs/{id}?notify=1")
    assert load_settings().api_pending_path == "/v2/jobs?status=pending"


def test_pool_on_ray_needs_the_address_of_the_cluster(complete: Surroundings) -> None:
    complete.set(POOL="Ray")
    (line,) = faults()
    assert line.startswith("RAY_ADDRESS: is required but not set, as POOL is ray")


OTHER_ADDRESSES = ["head", "auto", "ray://head:10001", "head:port", "http://head:6379"]


@pytest.mark.parametrize("address", OTHER_ADDRESSES)
def test_other_address_of_a_ray_cluster_is_refused(complete: Surroundings, address: str) -> None:
    complete.set(POOL="ray", RAY_ADDRESS=address)
    (line,) = faults()
    assert line.startswith("RAY_ADDRESS: must be host:port")


@pytest.mark.parametrize("address", OTHER_ADDRESSES)
def test_variable_of_rays_own_is_no_fault_of_a_service_without_ray(
    complete: Surroundings, address: str
) -> None:
    complete.set(RAY_ADDRESS=address)
    assert load_settings().pool is Pool.LOCAL


@pytest.mark.parametrize("address", ["head:6379", "10.0.0.1:6379", "[fd00::1]:6379"])
def test_address_of_a_ray_cluster_is_a_host_with_its_port(complete: Surroundings, address: str) -> None:
    complete.set(POOL="ray", RAY_ADDRESS=address, RAY_WORKER_GPUS="0.5")
    settings = load_settings()
    assert (settings.ray_address, settings.ray_worker_gpus) == (address, 0.5)
