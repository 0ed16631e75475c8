"""What a worker process is told at its start."""

from dataclasses import dataclass
from pathlib import Path

from shared.models import INPUTS_DIRECTORY
from shared.provider_accounts import ProviderAccount
from shared.settings import LogFormat, LogLevel, Settings
from workers.factory import ProcessorSpec


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    accounts: tuple[ProviderAccount, ...]
    """Of every provider there is."""
    default_provider: str
    """Serves a unit that names none."""
    providers_in_use: tuple[str, ...]
    must_connect: bool
    """The default provider is the only one that was chosen: a worker without it is of no use."""
    metrics_directory: Path
    log_level: LogLevel
    log_format: LogFormat
    inputs_directory: Path = Path()
    """Holds the inputs that are too large for a pipe."""
    processors: tuple[ProcessorSpec, ...] = ()
    threads: int = 1
    """Units that one worker runs at once."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the providers in use."""
        kinds = (account.kind for account in self.accounts if account.name in self.providers_in_use)
        return tuple(dict.fromkeys(kinds))

    @classmethod
    def from_settings(
        cls, settings: Settings, processors: tuple[ProcessorSpec, ...], metrics_directory: Path
    ) -> "WorkerConfig":
        """What of the settings concerns a worker; its metric files go to `metrics_directory`."""
        return cls(
            accounts=tuple(settings.accounts.values()),
            default_provider=settings.embedding_provider,
            providers_in_use=settings.providers_in_use,
            must_connect=not settings.providers and not settings.model_routes,
            processors=processors,
            metrics_directory=metrics_directory,
            log_level=settings.log_level,
            log_format=settings.log_format,
            inputs_directory=settings.state_dir.absolute() / INPUTS_DIRECTORY,
            threads=settings.worker_threads,
        )
