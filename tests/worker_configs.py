"""What a worker of a test is told at its start."""

from pathlib import Path

from pydantic import SecretStr

from shared.provider_accounts import OPENAI, ProviderAccount
from shared.settings import LogFormat, LogLevel
from tests.builders import PROCESSORS
from workers.config import WorkerConfig


def make_config(
    metrics_directory: Path = Path("unused"),
    *,
    provider: str = OPENAI,
    key: str | None = "sk-test-0123456789",
    base_url: str | None = None,
    further: tuple[ProviderAccount, ...] = (),
) -> WorkerConfig:
    """A worker with one provider, whose kind is its name, and `further` ones."""
    account = ProviderAccount(provider, provider, base_url, SecretStr(key) if key else None)
    return WorkerConfig(
        accounts=(account, *further),
        default_provider=provider,
        providers_in_use=(provider, *(each.name for each in further)),
        must_connect=not further,
        metrics_directory=metrics_directory,
        log_level=LogLevel.ERROR,
        log_format=LogFormat.JSON,
        processors=PROCESSORS.specs(),
    )
