"""Every setting of the service, parsed and checked once, at the start."""

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from shared.errors import ConfigurationError
from shared.models import Provider

PLACEHOLDER_KEY = "your-openai-api-key"
MOUNTED_FILES_DIRECTORY = "/run/secrets"
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Kind = TypeVar("Kind", bound="Whereabouts")


class UnknownTaskPolicy(StrEnum):
    """What becomes of a task whose type no processor knows."""

    FAIL = "fail"
    LEAVE = "leave"


class LongText(StrEnum):
    """What becomes of a text that is over its model's limit of tokens."""

    FAIL = "fail"
    MEAN = "mean"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogFormat(StrEnum):
    JSON = "json"
    CONSOLE = "console"


class Whereabouts(BaseSettings):
    """Where a service keeps its state and where it answers: all that the commands for people need to know."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    state_dir: Path = Field(default_factory=lambda: Path(os.environ.get("STATE_DIRECTORY") or "state"))
    metrics_host: str = "0.0.0.0"  # noqa: S104  Prometheus scrapes from another container
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 8001
    """0 takes a free port and logs which."""


class Settings(Whereabouts):
    """Read from the environment, then `.env`, then one file a setting in a secrets directory."""

    api_base_url: str
    api_token: SecretStr | None = None

    embedding_provider: Provider = Provider.OPENAI
    openai_api_key: Annotated[SecretStr | None, Field(validate_default=True)] = None
    openai_base_url: str | None = None

    polling_interval_seconds: Seconds = 30.0
    polling_min_interval_seconds: Seconds = 1.0
    poll_wait_seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0.0
    """How long the API may hold a poll until there is work; 0 = it answers at once."""
    wake_token: SecretStr | None = None
    """Lets the API's side ring for an immediate poll; without it there is no doorbell."""

    concurrency_limit: Annotated[int, Field(ge=1, le=256)] = 5
    batch_max_tasks: Annotated[int, Field(ge=1, le=2048)] = 100
    report_concurrency: Annotated[int, Field(ge=1, le=64)] = 8

    max_retries: Count = 3
    retry_backoff_factor: Annotated[float, Field(ge=1, le=60, allow_inf_nan=False)] = 2.0
    request_timeout: Seconds = 30.0
    openai_timeout: Seconds = 60.0
    task_timeout_seconds: Seconds = 180.0

    circuit_breaker_threshold: Positive = 5
    circuit_breaker_recovery_seconds: Seconds = 60.0
    openai_requests_per_minute: Count = 0
    openai_tokens_per_minute: Count = 0

    worker_max_tasks: Count = 0
    worker_max_rss_mb: Count = 0
    worker_crash_limit: Positive = 3

    unknown_task_policy: UnknownTaskPolicy = UnknownTaskPolicy.FAIL
    long_text: LongText = LongText.FAIL
    claim_tasks: bool = False
    shard_count: Positive = 1
    shard_index: Count = 0

    drain_timeout_seconds: Seconds = 25.0

    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.JSON

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("embedding_provider", "unknown_task_policy", "long_text", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("api_base_url", "openai_base_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value.strip())
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False  # the library's message would repeat what may hold a password
        if not usable:
            raise ValueError("must be an address like https://host or http://host:8000")
        if parts.username or parts.password:
            raise ValueError("must not carry a user or password; use the token or key setting")
        if parts.query or parts.fragment:
            raise ValueError("must not have a query or fragment")
        return value.strip().rstrip("/")

    @field_validator("api_token", "openai_api_key", "wake_token")
    @classmethod
    def _secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        text = value.get_secret_value().strip() if value else ""
        if info.field_name == "openai_api_key":
            _require_key(text, info)
        if not text:
            return None
        if not _HEADER_SAFE.fullmatch(text):
            raise ValueError("must be printable ASCII without spaces, as it is sent in a header")
        return SecretStr(text)

    @field_validator("shard_index")
    @classmethod
    def _shard(cls, value: int, info: ValidationInfo) -> int:
        count = info.data.get("shard_count")
        if count is not None and value >= count:
            raise ValueError(f"must be below SHARD_COUNT ({count})")
        return value

    @property
    def shortest_poll_seconds(self) -> float:
        """POLLING_MIN_INTERVAL_SECONDS, never above the longest wait."""
        return min(self.polling_min_interval_seconds, self.polling_interval_seconds)


def _require_key(text: str, info: ValidationInfo) -> None:
    if info.data.get("embedding_provider") is Provider.LOCAL:
        return
    if not text or text.startswith(PLACEHOLDER_KEY):
        raise ValueError("is required; set your key, or EMBEDDING_PROVIDER=local for the embedded model")


def load_settings() -> Settings:
    """The settings of this process. Raises ConfigurationError with a line for each fault."""
    return _load(Settings)


def load_whereabouts() -> Whereabouts:
    """The same for a command that only needs to find the service; nothing has to be set."""
    return _load(Whereabouts)


def _load(kind: type[Kind]) -> Kind:
    directories = [MOUNTED_FILES_DIRECTORY, os.environ.get("CREDENTIALS_DIRECTORY", "")]
    try:
        return kind(_secrets_dir=[path for path in directories if path and Path(path).is_dir()])
    except ValidationError as error:
        raise ConfigurationError(*_readable(error)) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(".env: is not UTF-8 text; save it as UTF-8") from error
    except SettingsError as error:
        name = str(error).partition('field "')[2].partition('"')[0].upper()
        raise ConfigurationError(f"{name}: its file cannot be read as UTF-8 text") from error


def _readable(error: ValidationError) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        name = str(fault["loc"][0]).upper() if fault["loc"] else "settings"
        lines.append(f"{name}: {_sentence(fault)}")
    return lines


def _sentence(fault: ErrorDetails) -> str:
    if fault["type"] == "missing":
        return "is required but not set"
    message = str(fault["msg"])
    return message.removeprefix("Value error, ").replace("Input should be", "must be")
