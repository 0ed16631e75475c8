"""What the HTTP port answers to probes, to Prometheus, to people, and to whoever wakes the service."""

import re
import socket
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from ipaddress import ip_address

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from shared.plain_text import escaped_json
from supervisor.console.connections import JSON, TEXT, Answer, Connections, Render, Request
from supervisor.console.listening import listen
from supervisor.console.page.document import CONTENT_SECURITY_POLICY, render_page
from supervisor.console.wake import WakeEndpoint
from supervisor.runtime.events import Event
from supervisor.status.status import NotReady, StatusBoard

LOOP_SILENT_SECONDS = 30.0
HTML = "text/html; charset=utf-8"
WAKE_PATH = "/wake"
ANY_HOST = "*"
PRIVATE_ENDINGS = (".localhost", ".local", ".internal", ".svc", ".home.arpa")
"""Names that are not in the public DNS: no web page can have one."""
READ_ONLY = Answer(HTTPStatus.METHOD_NOT_ALLOWED, TEXT, b"this server is read only\n")
WRONG_HOST = Answer(
    HTTPStatus.FORBIDDEN,
    TEXT,
    b"this service does not answer to the name in the Host header: ask by address, or name it in"
    b" METRICS_ALLOWED_HOSTS\n",
)

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(?::[0-9]*)?")


class MetricsServer:
    """Serves on its own threads until `close`, the drain included. `clock` is monotonic."""

    def __init__(
        self,
        host: str,
        port: int,
        board: StatusBoard,
        registry: CollectorRegistry,
        wake_endpoint: WakeEndpoint,
        clock: Callable[[], float] = time.monotonic,
        *,
        allowed_hosts: Iterable[str] = (),
    ) -> None:
        """Binds at once. Raises ConfigurationError where the address cannot be had."""
        self._board = board
        self._wake_endpoint = wake_endpoint
        self._clock = clock
        self._registry = registry
        self._allowed_hosts = AllowedHosts((host, *allowed_hosts))
        self._probes: dict[str, Render] = {"/health": self._health, "/ready": self._ready}
        self._pages: dict[str, Render] = {
            "/metrics": self._metrics,
            "/status": self._status,
            "/": self._page,
        }
        listeners = listen(host, port)
        self._port: int = listeners[0].getsockname()[1]
        self._connections = Connections(listeners, self._route)

    @property
    def port(self) -> int:
        """The port listened on, also where 0 was asked for."""
        return self._port

    def start(self, post: Callable[[Event], None]) -> None:
        self._connections.start(post)

    def close(self) -> None:
        """Listen no more. Only tests do so: the service answers until the process ends."""
        self._connections.close()

    def _route(self, request: Request) -> Answer | Render:
        """Probes are answered at once, so that no page holds them up. A page is rendered beside them."""
        method, path = request.method, request.path
        if path == WAKE_PATH and method == "POST":
            return self._wake_endpoint.wake(request.authorization or "")
        if path not in self._probes and path not in self._pages:
            paths = ", ".join((*self._probes, *self._pages))
            return Answer(HTTPStatus.NOT_FOUND, TEXT, f"no such page; there are {paths}\n".encode())
        if method not in ("GET", "HEAD"):
            return READ_ONLY
        if path in self._probes:
            return self._probes[path]()
        return self._pages[path] if self._allowed_hosts.allows(request.host) else WRONG_HOST

    def _health(self) -> Answer:
        silent = self._board.age_seconds(self._clock())
        if self._board.read() is not None and silent > LOOP_SILENT_SECONDS:
            body = {"status": "stuck", "loop_silent_seconds": round(silent, 1)}
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, JSON, orjson.dumps(body))
        return Answer(HTTPStatus.OK, JSON, b'{"status":"ok"}')

    def _ready(self) -> Answer:
        status = self._board.read()
        reasons = (NotReady.STARTING,) if status is None else status.not_ready
        if reasons:
            body = {"status": "not_ready", "reasons": list(reasons)}
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, JSON, orjson.dumps(body))
        return Answer(HTTPStatus.OK, JSON, b'{"status":"ready"}')

    def _metrics(self) -> Answer:
        return Answer(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._registry))

    def _status(self) -> Answer:
        status = self._board.read_aged(self._clock())
        if status is None:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, JSON, b'{"phase":"starting"}')
        return Answer(HTTPStatus.OK, JSON, escaped_json(orjson.dumps(status)))

    def _page(self) -> Answer:
        body = render_page(self._board.read_aged(self._clock()))
        return Answer(HTTPStatus.OK, HTML, body, CONTENT_SECURITY_POLICY)


class AllowedHosts:
    """The names that the port answers to, so that no web page reads it by a name of its own (DNS rebinding).

    They are addresses, names without a dot, names of private networks, this machine's name and `named` ones.
    """

    def __init__(self, named: Iterable[str]) -> None:
        self._named = frozenset(map(_plain, (*named, socket.gethostname())))

    def allows(self, host: str | None) -> bool:
        """`host` is the header `Host`; browsers never leave it out."""
        if host is None or ANY_HOST in self._named:
            return True
        read = _HOST.fullmatch(host)
        if read is None:
            return False
        name = _plain(read[1])
        return name in self._named or "." not in name or _is_address(name) or name.endswith(PRIVATE_ENDINGS)


def _plain(name: str) -> str:
    return name.strip().strip("[]").rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
