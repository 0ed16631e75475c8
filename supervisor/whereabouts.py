"""Where to find a service and what it keeps: all that the commands for people need of the settings."""

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import ConfigurationError


class Whereabouts(BaseSettings):
    """Read as the service reads them, but nothing else needs to be set."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    state_dir: Path = Field(default_factory=lambda: Path(os.environ.get("STATE_DIRECTORY") or "state"))
    metrics_host: str = "0.0.0.0"  # noqa: S104  the service's own default
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 8001

    def url(self) -> str:
        """The address of the service's port. Raises ConfigurationError where the settings do not say."""
        if self.metrics_port == 0:
            raise ConfigurationError(
                "METRICS_PORT: is 0, so only the service's log says which port it took; give it with --url"
            )
        return f"http://{_reachable(self.metrics_host)}:{self.metrics_port}"


def find_whereabouts() -> Whereabouts:
    """Raises ConfigurationError where one of these settings is not valid."""
    try:
        return Whereabouts()
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise ConfigurationError(
            *(f"{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in faults)
        ) from error


def _reachable(host: str) -> str:
    """The host to connect to, for one that is listened on."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"  # noqa: PLR2004  the IP version
    return f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004  the same
