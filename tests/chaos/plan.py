"""What a chaos run does, and the settings of the service under it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.settings import ClaimMode
from tests.chaos.faulty_provider import TWENTY_PERCENT, ProviderFault

API_TOKEN = "chaos-api-token"
PATIENCE_SECONDS = 1.0
WORKERS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. The same seed draws the same faults, victims and moments; the machine adds its own chance."""

    tasks: int = 5000
    seed: int = 1
    worker_kill_seconds: float = 0.2
    supervisor_kills: int = 20
    open_tasks: int = 300
    """So many tasks at most stand at the API without a final state: others come as these are finished."""
    claims: ClaimMode = ClaimMode.OFF
    bulk_reports: int = 0
    """So many reports in a call, if more than one."""
    threads: int = 1
    """Units in one worker; there are four workers in any case."""
    provider_rates: Mapping[ProviderFault, float] = field(default_factory=lambda: TWENTY_PERCENT)
    limit_seconds: float = 900.0
    """A run that takes longer has failed."""


def settings(api_url: str, provider_url: str, state_dir: str, **more: str) -> dict[str, str]:
    """The service's settings.

    WORKER_CRASH_LIMIT is higher than a user's: at five random deaths a second a task alone with its worker
    dies with it about once in ten times, and three times in a row now and then. Ten deaths in a row by
    chance are less than one in a million, so a FAILED task still means that something is miscounted.
    """
    chosen = {
        "API_BASE_URL": api_url,
        "API_TOKEN": API_TOKEN,
        "OPENAI_BASE_URL": provider_url,
        "OPENAI_API_KEY": "sk-chaos",
        "STATE_DIR": state_dir,
        "CONCURRENCY_LIMIT": str(WORKERS),
        "BATCH_MAX_TASKS": "4",
        "REQUEST_TIMEOUT": f"{PATIENCE_SECONDS:g}",
        "OPENAI_TIMEOUT": f"{PATIENCE_SECONDS:g}",
        "TASK_TIMEOUT_SECONDS": "10",
        "RETRY_BACKOFF_FACTOR": "1",
        "WORKER_CRASH_LIMIT": "10",
        "CIRCUIT_BREAKER_RECOVERY_SECONDS": "0.5",
        "CLAIM_LEASE_SECONDS": "15",  # what was claimed by an answer that was lost waits so long
    }
    return chosen | more
