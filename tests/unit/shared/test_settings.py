"""Every setting: its name, its default, its bounds, and what is said when it is wrong."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.errors import ConfigurationError
from shared.loading import load_settings
from shared.provider_accounts import LOCAL, OPENAI
from shared.settings import ClaimMode, LogFormat, LogLevel, Pool, Settings, UnknownTaskPolicy
from tests.unit.shared.conftest import Surroundings

DEFAULTS: dict[str, object] = {
    "API_TOKEN": None,
    "API_OAUTH2_TOKEN_URL": None,
    "API_OAUTH2_CLIENT_ID": None,
    "API_OAUTH2_CLIENT_SECRET": None,
    "API_OAUTH2_SCOPE": None,
    "API_OAUTH2_AUDIENCE": None,
    "API_CA_FILE": None,
    "API_CLIENT_CERT": None,
    "API_CLIENT_KEY": None,
    "API_PENDING_PATH": "/api/ai-tasks/pending",
    "API_TASK_PATH": "/api/ai-tasks/{id}",
    "OPENAI_BASE_URL": None,
    "EMBEDDING_PROVIDER": OPENAI,
    "EMBEDDING_MODEL": None,
    "GENERATION_MODEL": None,
    "PROVIDERS": {},
    "MODEL_ROUTES": {},
    "POLLING_INTERVAL_SECONDS": 30.0,
    "POLLING_MIN_INTERVAL_SECONDS": 1.0,
    "POLL_WAIT_SECONDS": 0.0,
    "WAKE_TOKEN": None,
    "CONCURRENCY_LIMIT": 5,
    "WORKER_THREADS": 1,
    "BATCH_MAX_TASKS": 100,
    "REPORT_CONCURRENCY": 8,
    "POOL": Pool.LOCAL,
    "RAY_ADDRESS": None,
    "RAY_WORKER_CPUS": 1.0,
    "RAY_WORKER_GPUS": 0.0,
    "MAX_RETRIES": 3,
    "RETRY_BACKOFF_FACTOR": 2.0,
    "REQUEST_TIMEOUT": 30.0,
    "OPENAI_TIMEOUT": 60.0,
    "TASK_TIMEOUT_SECONDS": 180.0,
    "CIRCUIT_BREAKER_THRESHOLD": 5,
    "CIRCUIT_BREAKER_RECOVERY_SECONDS": 60.0,
    "OPENAI_REQUESTS_PER_MINUTE": 0,
    "OPENAI_TOKENS_PER_MINUTE": 0,
    "RATE_SHARE": 1.0,
    "WORKER_MAX_TASKS": 0,
    "WORKER_MAX_RSS_MB": 0,
    "WORKER_CRASH_LIMIT": 3,
    "UNKNOWN_TASK_POLICY": UnknownTaskPolicy.FAIL,
    "PROCESSORS": None,
    "TASK_LIMITS": {},
    "MAX_TEXT_BYTES": 10_000_000,
    "CLAIM_TASKS": False,
    "CLAIM_MODE": ClaimMode.OFF,
    "CLAIM_LEASE_SECONDS": 300.0,
    "BULK_REPORTS": 0,
    "SHARD_COUNT": 1,
    "SHARD_INDEX": 0,
    "STATE_DIR": Path("state"),
    "DRAIN_TIMEOUT_SECONDS": 25.0,
    "METRICS_HOST": "0.0.0.0",
    "METRICS_PORT": 8001,
    "METRICS_ALLOWED_HOSTS": None,
    "LOG_LEVEL": LogLevel.INFO,
    "LOG_FORMAT": LogFormat.JSON,
}
REQUIRED = {"API_BASE_URL", "OPENAI_API_KEY"}
SECONDS = {name for name, value in DEFAULTS.items() if isinstance(value, float)} - {
    "RETRY_BACKOFF_FACTOR",
    "RATE_SHARE",
    "POLL_WAIT_SECONDS",
    "CLAIM_LEASE_SECONDS",
    "RAY_WORKER_CPUS",
    "RAY_WORKER_GPUS",
}
A_LINE = re.compile(r"[A-Z_]+: .+")


def faults() -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return caught.value.faults


def fault_of(name: str) -> str:
    """The one line there is, which must be about this setting."""
    (line,) = faults()
    assert A_LINE.fullmatch(line)
    assert line.startswith(f"{name}: ")
    return line.removeprefix(f"{name}: ")


def test_settings_are_exactly_those_that_are_promised() -> None:
    assert {name.upper() for name in Settings.model_fields} == REQUIRED | set(DEFAULTS)


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_default_is_the_promised_one(complete: Surroundings, name: str) -> None:
    assert getattr(load_settings(), name.lower()) == DEFAULTS[name]


def test_state_directory_of_systemd_is_the_default_where_there_is_one(complete: Surroundings) -> None:
    complete.set(STATE_DIRECTORY="/var/lib/somewhere")
    assert load_settings().state_dir == Path("/var/lib/somewhere")


def test_state_dir_wins_over_the_directory_of_systemd(complete: Surroundings) -> None:
    complete.set(STATE_DIRECTORY="/var/lib/somewhere", STATE_DIR="/srv/state")
    assert load_settings().state_dir == Path("/srv/state")


def test_each_missing_setting_is_one_line(surroundings: Surroundings) -> None:
    lines = faults()
    assert len(lines) == 2
    where = f"; there is no .env in {surroundings.working_directory}"
    assert lines[0] == f"API_BASE_URL: is required but not set{where}"
    assert lines[1].startswith("OPENAI_API_KEY: is required; set your key")
    assert lines[1].endswith(where)


def test_each_wrong_setting_is_one_line(complete: Surroundings) -> None:
    complete.set(CONCURRENCY_LIMIT="many", METRICS_PORT="99999", LOG_FORMAT="xml", API_BASE_URL="ftp://x")
    lines = faults()
    wrong = ["API_BASE_URL", "CONCURRENCY_LIMIT", "LOG_FORMAT", "METRICS_PORT"]
    assert sorted(line.partition(":")[0] for line in lines) == wrong
    assert all(A_LINE.fullmatch(line) for line in lines)


@pytest.mark.parametrize("name", sorted(SECONDS))
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "86401", "soon"])
def test_seconds_are_positive_and_at_most_a_day(complete: Surroundings, name: str, value: str) -> None:
    complete.set(**{name: value})
    assert fault_of(name)


@pytest.mark.parametrize("name", sorted(SECONDS))
def test_seconds_may_be_fractions(complete: Surroundings, name: str) -> None:
    complete.set(**{name: "0.25"})
    assert getattr(load_settings(), name.lower()) == 0.25


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("POLL_WAIT_SECONDS", ["-1", "61", "nan"]),
        ("CONCURRENCY_LIMIT", ["0", "257", "1.5"]),
        ("WORKER_THREADS", ["0", "257"]),
        ("BATCH_MAX_TASKS", ["0", "2049"]),
        ("REPORT_CONCURRENCY", ["0", "65"]),
        ("POOL", ["cluster"]),
        ("RAY_WORKER_CPUS", ["-1", "1.5", "nan", "1025"]),
        ("RAY_WORKER_GPUS", ["-0.5", "2.5", "inf"]),
        ("MAX_TEXT_BYTES", ["0", "64000001", "10MB"]),
        ("MAX_RETRIES", ["-1", "2.5"]),
        ("RETRY_BACKOFF_FACTOR", ["0.5", "61", "nan", "inf"]),
        ("CIRCUIT_BREAKER_THRESHOLD", ["0"]),
        ("OPENAI_REQUESTS_PER_MINUTE", ["-1"]),
        ("OPENAI_TOKENS_PER_MINUTE", ["-1"]),
        ("RATE_SHARE", ["0", "-0.5", "1.01", "50", "25%", "nan", "inf"]),
        ("WORKER_MAX_TASKS", ["-1"]),
        ("WORKER_MAX_RSS_MB", ["-1"]),
        ("WORKER_CRASH_LIMIT", ["0"]),
        ("UNKNOWN_TASK_POLICY", ["drop"]),
        ("EMBEDDING_PROVIDER", ["remote"]),
        ("CLAIM_TASKS", ["perhaps"]),
        ("CLAIM_MODE", ["page"]),
        ("CLAIM_LEASE_SECONDS", ["14", "86401", "nan"]),
        ("BULK_REPORTS", ["-1", "1001", "2.5"]),
        ("SHARD_COUNT", ["0"]),
        ("SHARD_INDEX", ["-1", "1"]),
        ("METRICS_PORT", ["-1", "65536"]),
        ("LOG_LEVEL", ["LOUD"]),
        ("LOG_FORMAT", ["xml"]),
    ],
)
def test_value_out_of_bounds_is_one_readable_line(complete: Surroundings, name: str, bad: list[str]) -> None:
    for value in bad:
        complete.set(**{name: value})
        assert fault_of(name)


@pytest.mark.parametrize(
    ("name", "edges"),
    [
        ("POLL_WAIT_SECONDS", ["0", "60"]),
        ("CONCURRENCY_LIMIT", ["1", "256"]),
        ("WORKER_THREADS", ["1", "256"]),
        ("BATCH_MAX_TASKS", ["1", "2048"]),
        ("REPORT_CONCURRENCY", ["1", "64"]),
        ("MAX_TEXT_BYTES", ["1", "64000000"]),
        ("MAX_RETRIES", ["0"]),
        ("RETRY_BACKOFF_FACTOR", ["1", "60"]),
        ("CIRCUIT_BREAKER_THRESHOLD", ["1"]),
        ("WORKER_CRASH_LIMIT", ["1"]),
        ("SHARD_COUNT", ["1"]),
        ("METRICS_PORT", ["0", "65535"]),
        ("TASK_TIMEOUT_SECONDS", ["0.001", "86400"]),
    ],
)
def test_values_at_the_edges_are_taken(complete: Surroundings, name: str, edges: list[str]) -> None:
    for value in edges:
        complete.set(**{name: value})
        assert getattr(load_settings(), name.lower()) == float(value)


@pytest.mark.parametrize("name", ["CONCURRENCY_LIMIT", "METRICS_PORT"])
def test_line_says_what_would_be_right(complete: Surroundings, name: str) -> None:
    complete.set(**{name: "many"})
    assert fault_of(name).startswith("must be a valid integer")


def test_variable_that_kubernetes_makes_for_a_service_is_recognised(complete: Surroundings) -> None:
    complete.set(METRICS_PORT="tcp://10.0.0.7:8001")
    assert fault_of("METRICS_PORT").endswith("set enableServiceLinks: false")


def test_names_of_choices_may_be_in_any_case(complete: Surroundings) -> None:
    complete.set(
        LOG_LEVEL="debug", LOG_FORMAT="CONSOLE", EMBEDDING_PROVIDER="Local", UNKNOWN_TASK_POLICY="LEAVE"
    )
    settings = load_settings()
    assert settings.log_level is LogLevel.DEBUG
    assert settings.log_format is LogFormat.CONSOLE
    assert settings.embedding_provider == LOCAL
    assert settings.unknown_task_policy is UnknownTaskPolicy.LEAVE


def test_shard_index_is_below_the_count(complete: Surroundings) -> None:
    complete.set(SHARD_COUNT="3", SHARD_INDEX="3")
    assert fault_of("SHARD_INDEX") == "must be below SHARD_COUNT (3)"
    complete.set(SHARD_INDEX="2")
    assert load_settings().shard_index == 2


def test_wrong_shard_count_is_not_blamed_on_the_index(complete: Surroundings) -> None:
    complete.set(SHARD_COUNT="three", SHARD_INDEX="2")
    assert fault_of("SHARD_COUNT")


def test_shortest_poll_is_never_above_the_longest(complete: Surroundings) -> None:
    complete.set(POLLING_INTERVAL_SECONDS="0.5")
    assert load_settings().min_poll_seconds == 0.5


def test_settings_do_not_change_while_the_service_runs(complete: Surroundings) -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.concurrency_limit = 7  # type: ignore[misc]  # that it cannot be set is what is tested


def test_unknown_variables_are_no_fault(complete: Surroundings) -> None:
    complete.write_env_file("SOMETHING_ELSE=1\n")
    assert load_settings().concurrency_limit == 5
