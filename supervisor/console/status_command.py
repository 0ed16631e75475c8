"""`run.py status`: once, or again and again."""

import sys
import time
from collections.abc import Callable

import orjson
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from shared.errors import ConfigurationError
from shared.plain_text import escaped_json, visible
from supervisor.console.status_client import StatusClient
from supervisor.console.terminal import render_status
from supervisor.runtime.exit_codes import ExitCode

WATCH_EVERY_SECONDS = 2.0


def run_status(
    url: str, *, as_json: bool, watch: bool, sleep: Callable[[float], None] = time.sleep
) -> ExitCode:
    """Show the status of the service at `url`. Raises ConfigurationError where none answers.

    With `watch` it is shown anew until Ctrl-C, also when the service goes away and comes back. As JSON
    it is one document; with `watch`, one document a line for as long as the service answers.
    """
    client = StatusClient(url)
    try:
        if watch:
            _watch(client, as_json, sleep)
        elif as_json:
            _write(client.document(), orjson.OPT_INDENT_2)
        else:
            Console().print(render_status(client.status()))
    except KeyboardInterrupt:
        pass
    finally:
        client.close()
    return ExitCode.DRAINED


def _watch(client: StatusClient, as_json: bool, sleep: Callable[[float], None]) -> None:
    if as_json:
        while True:
            _write(client.document(), 0)
            sleep(WATCH_EVERY_SECONDS)
    first = render_status(client.status())
    with Live(first, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            sleep(WATCH_EVERY_SECONDS)
            live.update(_look(client), refresh=True)


def _look(client: StatusClient) -> RenderableType:
    try:
        return render_status(client.status())
    except ConfigurationError as error:
        return Text(visible(str(error)), style="red")


def _write(document: bytes, option: int) -> None:
    try:
        text = orjson.dumps(orjson.loads(document), option=option | orjson.OPT_APPEND_NEWLINE)
        sys.stdout.buffer.write(escaped_json(text))
    except orjson.JSONDecodeError as error:
        raise ConfigurationError("what answers there is not this service: it sent no JSON") from error
    sys.stdout.flush()
