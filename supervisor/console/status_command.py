"""`run.py status`: asks a running service for its status and shows it, once or again and again."""

import sys
import time
from collections.abc import Callable
from ipaddress import ip_address

import orjson
import requests
from pydantic import TypeAdapter, ValidationError
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from shared.errors import ConfigurationError
from shared.plain_text import count, escaped_json, visible
from shared.settings import ServiceLocation
from supervisor.console.terminal import render_status
from supervisor.runtime.process import ExitCode
from supervisor.status.status import Status

WATCH_EVERY_SECONDS = 2.0
PATIENCE_SECONDS = 5.0
MAX_BYTES = 4 * 2**20
NOT_YET = 503
WRONG_HOST = 403


def run_status(
    url: str, *, as_json: bool, watch: bool, sleep: Callable[[float], None] = time.sleep
) -> ExitCode:
    """Show the status of the service at `url`. Raises ConfigurationError where none answers.

    With `watch` it is shown anew until Ctrl-C, also when the service goes away and comes back. As JSON
    it is one document; with `watch`, one document a line for as long as the service answers.
    """
    try:
        if watch and as_json:
            while True:
                _write(fetch_document(url), 0)
                sleep(WATCH_EVERY_SECONDS)
        elif watch:
            _watch(url, sleep)
        elif as_json:
            _write(fetch_document(url), orjson.OPT_INDENT_2)
        else:
            Console().print(render_status(fetch_status(url)))
    except KeyboardInterrupt:
        pass
    return ExitCode.DRAINED


def service_url(location: ServiceLocation) -> str:
    """The address of the HTTP port of a service on this machine. Raises ConfigurationError for port 0."""
    if location.metrics_port == 0:
        raise ConfigurationError(
            "METRICS_PORT: is 0: the service's log says which port it took; give its address with --url"
        )
    return f"http://{_reachable(location.metrics_host)}:{location.metrics_port}"


def fetch_document(url: str) -> bytes:
    """`/status` as it came. Raises ConfigurationError, with what to do, where none comes."""
    address = f"{url.rstrip('/')}/status"
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy and no `.netrc` is consulted
            answer = session.get(address, timeout=PATIENCE_SECONDS, allow_redirects=False, stream=True)
            body: bytes = next(answer.iter_content(MAX_BYTES), b"")
    except (requests.RequestException, ValueError) as error:
        raise ConfigurationError(
            f"no service answers at {address} ({type(error).__name__}): start it with `python run.py`,"
            " or say where it is with METRICS_HOST and METRICS_PORT, or with --url"
        ) from error
    if answer.status_code == NOT_YET:
        raise ConfigurationError(f"{address} is only starting: ask again in a moment")
    if answer.status_code == WRONG_HOST:
        raise ConfigurationError(
            f"{address} does not answer to that name: ask by address, or name it in METRICS_ALLOWED_HOSTS"
        )
    if not answer.ok:
        raise ConfigurationError(f"{address} answered {answer.status_code}: is that this service?")
    return body


def fetch_status(url: str) -> Status:
    """The same, parsed. Raises ConfigurationError, with what to do, where none comes."""
    try:
        return TypeAdapter(Status).validate_json(fetch_document(url))
    except ValidationError as error:
        raise ConfigurationError(
            f"{url}/status is not the status of this version of the service"
            f" ({count(error.error_count(), 'fault')}):"
            " use the run.py that started it"
        ) from error


def _watch(url: str, sleep: Callable[[float], None]) -> None:
    first = render_status(fetch_status(url))
    with Live(first, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            sleep(WATCH_EVERY_SECONDS)
            live.update(_status_or_trouble(url), refresh=True)


def _status_or_trouble(url: str) -> RenderableType:
    try:
        return render_status(fetch_status(url))
    except ConfigurationError as error:
        return Text(visible(str(error)), style="red")


def _write(document: bytes, option: int) -> None:
    try:
        text = orjson.dumps(orjson.loads(document), option=option | orjson.OPT_APPEND_NEWLINE)
        sys.stdout.buffer.write(escaped_json(text))
    except orjson.JSONDecodeError as error:
        raise ConfigurationError("what answers there is not this service: it sent no JSON") from error
    sys.stdout.flush()


def _reachable(host: str) -> str:
    """The host to connect to, for one that is listened on."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    six = address.version == 6  # noqa: PLR2004  the IP version
    if address.is_unspecified:
        return "[::1]" if six else "127.0.0.1"
    return f"[{address}]" if six else str(address)
