"""Where settings come from, which source wins, and what a source that cannot be read comes to."""

from shared.loading import load_settings
from tests.unit.shared.conftest import Surroundings


def concurrency() -> int:
    return load_settings().concurrency_limit


def test_environment_wins_over_the_env_file(complete: Surroundings) -> None:
    complete.set(CONCURRENCY_LIMIT="3")
    complete.write_env_file("CONCURRENCY_LIMIT=4\n")
    assert concurrency() == 3


def test_env_file_wins_over_mounted_files(complete: Surroundings) -> None:
    complete.write_env_file("CONCURRENCY_LIMIT=4\n")
    complete.mount("concurrency_limit", "6")
    assert concurrency() == 4


def test_environment_wins_over_mounted_files(complete: Surroundings) -> None:
    complete.set(CONCURRENCY_LIMIT="3")
    complete.mount("concurrency_limit", "6")
    assert concurrency() == 3


def test_mounted_file_wins_over_the_default(complete: Surroundings) -> None:
    complete.mount("concurrency_limit", "6\n")
    assert concurrency() == 6


def test_credential_of_systemd_is_read(complete: Surroundings) -> None:
    complete.credential("api_token", "token-of-systemd\n")
    token = load_settings().api_token
    assert token is not None
    assert token.get_secret_value() == "token-of-systemd"


def test_empty_variable_counts_as_not_set(complete: Surroundings) -> None:
    complete.set(CONCURRENCY_LIMIT="", API_TOKEN="")
    complete.write_env_file("CONCURRENCY_LIMIT=4\n")
    assert concurrency() == 4
    assert load_settings().api_token is None


def test_empty_mounted_file_counts_as_not_set(complete: Surroundings) -> None:
    complete.mount("api_token", "\n")
    assert load_settings().api_token is None


def test_no_secrets_directory_is_no_fault(complete: Surroundings) -> None:
    complete.mounted.rmdir()
    complete.unset("CREDENTIALS_DIRECTORY")
    assert concurrency() == 5


def test_whole_configuration_may_come_from_mounted_files(surroundings: Surroundings) -> None:
    surroundings.mount("api_base_url", "http://api.test:8000/\n")
    surroundings.mount("openai_api_key", "sk-mounted\n")
    settings = load_settings()
    assert settings.api_base_url == "http://api.test:8000"
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-mounted"
