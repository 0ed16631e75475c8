"""What a worker process is told at its start."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from shared.models import INPUTS_DIRECTORY
from shared.settings import LogFormat, LogLevel, LongText, Settings


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    provider: str
    openai_api_key: SecretStr | None
    openai_base_url: str | None
    openai_timeout_seconds: float
    metrics_directory: Path
    log_level: LogLevel
    log_format: LogFormat
    inputs_directory: Path = Path()
    """Holds the inputs that are too large for a pipe."""
    long_text: LongText = LongText.FAIL

    @classmethod
    def from_settings(cls, settings: Settings, metrics_directory: Path) -> "WorkerConfig":
        """The part of `settings` that concerns a worker; its metric files go to `metrics_directory`."""
        return cls(
            provider=settings.embedding_provider,
            openai_api_key=settings.openai_api_key,
            openai_base_url=settings.openai_base_url,
            openai_timeout_seconds=settings.openai_timeout,
            long_text=settings.long_text,
            metrics_directory=metrics_directory,
            log_level=settings.log_level,
            log_format=settings.log_format,
            inputs_directory=settings.state_dir.absolute() / INPUTS_DIRECTORY,
        )
