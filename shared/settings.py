"""Every setting of the service: its name, its default and its bounds."""

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.models import OPENAI_HOST
from shared.provider_accounts import (
    LOCAL,
    LOCAL_MODEL,
    OPENAI,
    GivenProviders,
    ProviderAccount,
    ProviderFields,
    checked_object,
    read_json,
)
from shared.setting_values import checked_secret, checked_url, is_placeholder, is_template, means_no_key

ENV_FILE = Path(".env")
ENV_FILE_ENCODING = "utf-8-sig"
"""Some editors begin a file with a byte order mark."""
PENDING_PATH = "/api/ai-tasks/pending"
TASK_PATH = "/api/ai-tasks/{id}"
LIMITS_EXAMPLE = '{"text-generation": 20}'
ROUTES_EXAMPLE = '{"nomic-*": "ollama"}'
MAX_RESOURCES = 1024
"""Of one machine."""
MAX_UNITS = 256
"""Of work at once."""
NESTED_PROVIDERS = "nested_providers"
"""What variables of the form PROVIDERS__NAME__FIELD say, for the constructor."""
_PATH_SAFE = re.compile(r"/[!-~]*")
_HOST_AND_PORT = re.compile(r"[^\s:/@]+:\d{1,5}|\[[0-9a-fA-F:.]+\]:\d{1,5}")
_QUOTED = re.compile(r"""(["'])(.*)\1(\s+#.*)?""")
_COMMENT = re.compile(r"\s+#.*")
_JSON_STARTS = ("{", "[")
_OAUTH2_REQUIRED = ("api_oauth2_token_url", "api_oauth2_client_id", "api_oauth2_client_secret")
_OAUTH2_OPTIONAL = ("api_oauth2_scope", "api_oauth2_audience")

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
ModelName = Annotated[str, Field(min_length=1, max_length=256)]


class UnknownTaskPolicy(StrEnum):
    """What becomes of a task whose type no processor knows."""

    FAIL = "fail"
    LEAVE = "leave"


class ClaimMode(StrEnum):
    """How the task API is told that a task is ours before work starts."""

    OFF = "off"
    EACH = "each"
    """By a PATCH for each task."""
    BATCH = "batch"
    """The poll itself claims what it brings."""


class Pool(StrEnum):
    """Where workers run."""

    LOCAL = "local"
    RAY = "ray"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogFormat(StrEnum):
    JSON = "json"
    CONSOLE = "console"


class EnvironmentSettings(BaseSettings):
    """A group of settings, read from the environment, then `.env`, then one file each in a secrets directory.

    A group of one's own has names that begin alike: `SettingsConfigDict(env_prefix="SENTIMENT_")`.
    """

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding=ENV_FILE_ENCODING,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, values: Mapping[str, object]) -> dict[str, object]:
        """Docker's `--env-file` keeps what `.env` may have around a value; an empty one counts as not set."""
        bare = {name: _bare(value) if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in bare.items() if value != ""}


class ServiceLocation(EnvironmentSettings):
    """Where a service keeps its state and where it answers: all that the commands for people need to know."""

    state_dir: Path = Field(default_factory=lambda: Path(os.environ.get("STATE_DIRECTORY") or "state"))
    metrics_host: str = "0.0.0.0"  # noqa: S104  Prometheus scrapes from another container
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 8001
    """0 takes a free port and logs which."""

    @field_validator("state_dir", "metrics_host")
    @classmethod
    def _printable(cls, value: Path | str) -> Path | str:
        if "\0" in str(value) or "\n" in str(value):
            raise ValueError("must be one line of text")
        return value


class TaskTypeSettings(EnvironmentSettings):
    """What holds for every task type: all that is needed to list them."""

    processors: str | None = None
    """Processors beside those that are installed: `package.module:Class`, with commas between."""
    batch_max_tasks: Annotated[int, Field(ge=1, le=2048)] = 100
    task_timeout_seconds: Seconds = 180.0


class FurtherProviders(EnvironmentSettings):
    """PROVIDERS: all that is needed to list them."""

    providers: Annotated[Mapping[str, ProviderFields], NoDecode] = Field(default_factory=dict)
    """Beside `openai`, which the OPENAI_* settings describe, and `local`."""

    @model_validator(mode="before")
    @classmethod
    def _with_nested(cls, values: Mapping[str, object]) -> dict[str, object]:
        """What single variables say of a provider belongs to PROVIDERS."""
        given = dict(values)
        nested = given.pop(NESTED_PROVIDERS, None)
        if isinstance(nested, Mapping) and nested:
            bare = {
                name: {field: _bare(value) for field, value in fields.items()}
                for name, fields in nested.items()
            }
            given["providers"] = GivenProviders(given.get("providers"), bare)
        return given

    @field_validator("providers", mode="before")
    @classmethod
    def _providers(cls, value: object) -> object:
        return (value if isinstance(value, GivenProviders) else GivenProviders(value, {})).merged()


class Settings(ServiceLocation, TaskTypeSettings, FurtherProviders):
    """The settings of the service. Task types have their own, see `processors`."""

    api_base_url: str
    api_token: SecretStr | None = None
    api_oauth2_token_url: str | None = None
    api_oauth2_client_id: str | None = None
    api_oauth2_client_secret: SecretStr | None = None
    api_oauth2_scope: str | None = None
    api_oauth2_audience: str | None = None
    api_ca_file: Path | None = None
    """Trusted beside the system's CAs."""
    api_client_cert: Path | None = None
    api_client_key: Path | None = None
    api_pending_path: str = PENDING_PATH
    api_task_path: str = TASK_PATH

    model_routes: Annotated[Mapping[str, tuple[str, ...]], NoDecode] = Field(default_factory=dict)
    """Providers by pattern of a model's name; the first that matches counts."""
    embedding_provider: str = OPENAI
    embedding_model: ModelName | None = None
    generation_model: ModelName | None = None
    openai_base_url: str | None = None
    openai_api_key: Annotated[SecretStr | None, Field(validate_default=True)] = None

    polling_interval_seconds: Seconds = 30.0
    polling_min_interval_seconds: Seconds = 1.0
    poll_wait_seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0.0
    """How long the API may hold a poll until there is work; 0 = it answers at once."""
    wake_token: SecretStr | None = None
    """Lets the API ask for a poll at once; without it the wake endpoint is off."""

    concurrency_limit: Annotated[int, Field(ge=1, le=MAX_UNITS)] = 5
    worker_threads: Annotated[int, Field(ge=1, le=256)] = 1
    report_concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    pool: Pool = Pool.LOCAL
    ray_address: str | None = None
    """Of the head of the Ray cluster: `host:port`. Means nothing to another pool."""
    ray_worker_cpus: Annotated[float, Field(ge=0, le=MAX_RESOURCES, allow_inf_nan=False)] = 1.0
    """That Ray sets aside for each worker."""
    ray_worker_gpus: Annotated[float, Field(ge=0, le=MAX_RESOURCES, allow_inf_nan=False)] = 0.0

    max_retries: Count = 3
    retry_backoff_factor: Annotated[float, Field(ge=1, le=60, allow_inf_nan=False)] = 2.0
    request_timeout: Seconds = 30.0
    openai_timeout: Seconds = 60.0

    circuit_breaker_threshold: Positive = 5
    circuit_breaker_recovery_seconds: Seconds = 60.0
    openai_requests_per_minute: Count = 0
    openai_tokens_per_minute: Count = 0
    rate_share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    """This replica's part of every provider's limits, of stated ones and of ceilings."""

    worker_max_tasks: Count = 0
    worker_max_rss_mb: Count = 0
    worker_crash_limit: Positive = 3

    task_limits: Annotated[Mapping[str, int], NoDecode] = Field(default_factory=dict)
    """Units at once, by task type."""
    unknown_task_policy: UnknownTaskPolicy = UnknownTaskPolicy.FAIL
    max_text_bytes: Annotated[int, Field(ge=1, le=64_000_000)] = 10_000_000
    claim_tasks: bool = False
    """The same as CLAIM_MODE=each."""
    claim_mode: ClaimMode = ClaimMode.OFF
    claim_lease_seconds: Annotated[float, Field(ge=15, le=86_400, allow_inf_nan=False)] = 300.0
    bulk_reports: Annotated[int, Field(ge=0, le=1000)] = 0
    """Results in one PATCH at most; 0 and 1 report each alone."""
    shard_count: Positive = 1
    shard_index: Count = 0

    drain_timeout_seconds: Seconds = 25.0
    metrics_allowed_hosts: str | None = None
    """Names, with commas between, that the HTTP port answers to beside addresses and private names."""

    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.JSON

    @field_validator("model_routes", mode="before")
    @classmethod
    def _routes(cls, value: object) -> object:
        routes = _json_object(value, ROUTES_EXAMPLE)
        return {pattern: _route(pattern, names) for pattern, names in routes.items()}

    @field_validator("model_routes")
    @classmethod
    def _known_routes(
        cls, value: Mapping[str, tuple[str, ...]], info: ValidationInfo
    ) -> Mapping[str, tuple[str, ...]]:
        known = _known_providers(info)
        for pattern, names in value.items():
            if known and (unknown := next((name for name in names if name not in known), None)):
                raise ValueError(
                    f'sends "{pattern[:60]}" to "{unknown[:60]}", but the providers are {", ".join(known)}'
                )
            if LOCAL in names and len(names) > 1 and pattern != LOCAL_MODEL:
                raise ValueError(
                    f'sends "{pattern[:60]}" to {" or ".join(names)}, but {LOCAL} has one model of its own,'
                    f" {LOCAL_MODEL}, and stands in for no other"
                )
        return value

    @field_validator("task_limits", mode="before")
    @classmethod
    def _limits(cls, value: object) -> object:
        return _by_task_type(_json_object(value, LIMITS_EXAMPLE))

    @field_validator("embedding_provider")
    @classmethod
    def _known_provider(cls, value: str, info: ValidationInfo) -> str:
        known = _known_providers(info)
        if known and value not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator(
        "embedding_provider", "unknown_task_policy", "claim_mode", "pool", "log_format", mode="before"
    )
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("api_base_url", "api_oauth2_token_url", "openai_base_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        return None if value is None else checked_url(value)

    @field_validator("api_pending_path", "api_task_path")
    @classmethod
    def _path(cls, value: str, info: ValidationInfo) -> str:
        if not _PATH_SAFE.fullmatch(value) or "#" in value:
            raise ValueError("must be a path that begins with a slash; write other letters as %XX")
        if info.field_name == "api_task_path" and (
            value.count("{id}") != 1 or set("{}") & set(value.replace("{id}", ""))
        ):
            raise ValueError(f"must hold {{id}} once, like {TASK_PATH}")
        return value

    @field_validator("api_token", "api_oauth2_client_secret", "openai_api_key", "wake_token")
    @classmethod
    def _secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        text = value.get_secret_value().strip() if value else ""
        if info.field_name == "openai_api_key":
            if not _uses_openai(info) and is_placeholder(text):
                return None
            _require_key(text, info)
        if info.field_name != "api_oauth2_client_secret":
            return checked_secret(SecretStr(text))
        if is_template(text):
            raise ValueError("is the placeholder of an example; set the real one, or none at all")
        return SecretStr(text) if text else None

    @field_validator("ray_address")
    @classmethod
    def _ray_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        # Machines with Ray may have the variable for Ray itself, which takes other addresses too.
        if value is None or info.data.get("pool") is not Pool.RAY or _HOST_AND_PORT.fullmatch(value):
            return value
        raise ValueError("must be host:port of the head of the Ray cluster, such as 10.0.0.1:6379")

    @field_validator("ray_worker_cpus", "ray_worker_gpus")
    @classmethod
    def _resources(cls, value: float) -> float:
        if value > 1 and not value.is_integer():
            raise ValueError("must be a whole number, or a part of one such as 0.5")
        return value

    @field_validator("shard_index")
    @classmethod
    def _shard(cls, value: int, info: ValidationInfo) -> int:
        count = info.data.get("shard_count")
        if count is not None and value >= count:
            raise ValueError(f"must be below SHARD_COUNT ({count})")
        return value

    @property
    def claims(self) -> ClaimMode:
        """CLAIM_MODE; CLAIM_TASKS is its older name."""
        claims_each = self.claim_tasks and self.claim_mode is ClaimMode.OFF
        return ClaimMode.EACH if claims_each else self.claim_mode

    @property
    def workers(self) -> int:
        """How many worker processes there are."""
        return math.ceil(self.concurrency_limit / self.worker_threads)

    @property
    def min_poll_seconds(self) -> float:
        """POLLING_MIN_INTERVAL_SECONDS, never above the longest wait."""
        return min(self.polling_min_interval_seconds, self.polling_interval_seconds)

    @property
    def accounts(self) -> dict[str, ProviderAccount]:
        """Every provider there is, by name."""
        openai = ProviderAccount(
            OPENAI,
            base_url=self.openai_base_url,
            api_key=self.openai_api_key,
            requests_per_minute=self.openai_requests_per_minute,
            tokens_per_minute=self.openai_tokens_per_minute,
        )
        further = (ProviderAccount(name, **dict(fields)) for name, fields in self.providers.items())
        accounts = (openai, ProviderAccount(LOCAL, LOCAL), *further)
        return {each.name: replace(each, timeout_seconds=self.openai_timeout) for each in accounts}

    @property
    def providers_in_use(self) -> tuple[str, ...]:
        """The default for embeddings, then those that are routed to or configured. All of them are tried."""
        routed = [name for names in self.model_routes.values() for name in names]
        keyed = [OPENAI] if self.openai_api_key else []
        return tuple(dict.fromkeys((self.embedding_provider, *routed, *self.providers, *keyed)))


def faults_of_groups(settings: Settings) -> Iterator[str]:
    """A line for each setting that another one requires or excludes."""
    given = [name for name in (*_OAUTH2_REQUIRED, *_OAUTH2_OPTIONAL) if getattr(settings, name) is not None]
    if given:
        yield from (
            f"{name.upper()}: is required but not set, as {given[0].upper()} is set"
            for name in _OAUTH2_REQUIRED
            if name not in given
        )
        if settings.api_token is not None:
            yield f"API_TOKEN: cannot be used together with {given[0].upper()}; unset one of them"
    if settings.pool is Pool.RAY and settings.ray_address is None:
        yield "RAY_ADDRESS: is required but not set, as POOL is ray; write host:port of the cluster's head"
    if settings.api_client_key is not None and settings.api_client_cert is None:
        yield "API_CLIENT_CERT: is required but not set, as API_CLIENT_KEY is set"
    if settings.claims is ClaimMode.BATCH and settings.shard_count > 1:
        yield "CLAIM_MODE: batch cannot be used together with SHARD_COUNT, as it claims tasks of every shard"


def _known_providers(info: ValidationInfo) -> tuple[str, ...]:
    """The names there are; none where PROVIDERS itself is at fault."""
    further = info.data.get("providers")
    return () if further is None else (OPENAI, LOCAL, *further)


def _route(pattern: str, names: object) -> tuple[str, ...]:
    """Raises ValueError with a sentence."""
    listed = [names] if isinstance(names, str) else names
    if (
        not isinstance(listed, list | tuple)
        or not listed
        or not all(isinstance(name, str) for name in listed)
    ):
        raise ValueError(
            f'must give "{pattern[:60]}" the name of a provider, or a list of names; write {ROUTES_EXAMPLE}'
        )
    if not pattern:
        raise ValueError(f"has an empty pattern; write {ROUTES_EXAMPLE}")
    return tuple(dict.fromkeys(name.strip().lower() for name in listed))


def _json_object(value: object, example: str) -> Mapping[str, object]:
    """Raises ValueError with a sentence."""
    return read_json(value, example) if isinstance(value, str) else checked_object(value, example)


def _by_task_type(limits: Mapping[str, object]) -> dict[str, int]:
    """Raises ValueError with a sentence."""
    by_type: dict[str, int] = {}
    for name, units in limits.items():
        task_type = name.strip().lower().replace("_", "-")
        if not task_type:
            raise ValueError(f"has an empty task type; write {LIMITS_EXAMPLE}")
        if task_type in by_type:
            raise ValueError(f"has {task_type[:60]!r} twice")
        if isinstance(units, bool) or not isinstance(units, int) or not 1 <= units <= MAX_UNITS:
            raise ValueError(f'must give "{task_type[:60]}" a whole number from 1 to {MAX_UNITS}')
        by_type[task_type] = units
    return by_type


def _uses_openai(info: ValidationInfo) -> bool:
    """Is `openai` the default for embeddings, or routed to? Not where that is not known, for a fault."""
    routed = any(OPENAI in names for names in info.data.get("model_routes", {}).values())
    return routed or info.data.get("embedding_provider") == OPENAI


def _require_key(text: str, info: ValidationInfo) -> None:
    if not _uses_openai(info):
        return
    set_one = "set your key, or EMBEDDING_PROVIDER=local for the embedded model"
    if not text:
        raise ValueError(f"is required; {set_one}")
    if is_placeholder(text):
        raise ValueError(f"is required, and what is set is a placeholder; {set_one}")
    url = info.data.get("openai_base_url", "")
    if means_no_key(text) and (url is None or OPENAI_HOST in url.lower()):
        raise ValueError(
            f"is required, and what is set is a placeholder; {set_one},"
            " or OPENAI_BASE_URL for a server that needs no key"
        )


def _bare(text: str) -> str:
    """A value without the space, quotes and comment around it."""
    stripped = text.strip()
    if quoted := _QUOTED.fullmatch(stripped):
        return quoted[2].strip()
    return stripped if stripped.startswith(_JSON_STARTS) else _COMMENT.sub("", text, count=1).strip()
