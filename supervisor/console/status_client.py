"""Asks a running service for its status."""

import requests
from pydantic import TypeAdapter, ValidationError

from shared.errors import ConfigurationError
from supervisor.status.status import Status

PATIENCE_SECONDS = 5.0
MAX_BYTES = 4 * 2**20
NOT_YET = 503
WRONG_HOST = 403

_STATUS = TypeAdapter(Status)


class StatusClient:
    """Asks at `url`, again and again if need be. No proxy and no `.netrc` is consulted."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False

    def document(self) -> bytes:
        """`/status` as it came. Raises ConfigurationError, with what to do, where none comes."""
        address = f"{self.url}/status"
        try:
            with self._session.get(
                address, timeout=PATIENCE_SECONDS, allow_redirects=False, stream=True
            ) as answer:
                body = next(answer.iter_content(MAX_BYTES), b"")
                code = answer.status_code
        except (requests.RequestException, ValueError) as error:
            raise ConfigurationError(
                f"no service answers at {address} ({type(error).__name__}): start it with `python run.py`,"
                " or say where it is with METRICS_HOST and METRICS_PORT, or with --url"
            ) from error
        if code == NOT_YET:
            raise ConfigurationError(f"{address} is only starting: ask again in a moment")
        if code == WRONG_HOST:
            raise ConfigurationError(
                f"{address} does not answer to that name: ask by address, or name it in METRICS_ALLOWED_HOSTS"
            )
        if not answer.ok:
            raise ConfigurationError(f"{address} answered {code}: is that this service?")
        return body

    def status(self) -> Status:
        """The same, read. Raises ConfigurationError, with what to do, where none comes."""
        try:
            return _STATUS.validate_json(self.document())
        except ValidationError as error:
            raise ConfigurationError(
                f"{self.url}/status is not the status of this version of the service ({error.error_count()}"
                " faults): use the run.py that started it"
            ) from error

    def close(self) -> None:
        self._session.close()
