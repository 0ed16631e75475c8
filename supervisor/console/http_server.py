"""HTTP for probes, Prometheus and people; one bell to ring. A slow or rude client holds up nobody else."""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from waitress.server import create_server

from supervisor.console.listening import cannot_listen, listen
from supervisor.console.page.document import CONTENT_SECURITY_POLICY, render_page
from supervisor.runtime.events import Event
from supervisor.runtime.threads import start_thread
from supervisor.status.status import NotReady, StatusBoard
from supervisor.task_api.wake import Doorbell, Ring

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LOOP_SILENT_SECONDS = 30.0
THREADS = 4
MAX_CONNECTIONS = 200
IDLE_CONNECTION_SECONDS = 30
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
NOTHING_INSIDE = "default-src 'none'; frame-ancestors 'none'"
HEADERS = (
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)

Answer = tuple[str, str, bytes]

WAKE_PATH = "/wake"
RINGS: dict[Ring, Answer] = {
    Ring.HEARD: ("202 Accepted", JSON, b'{"status":"polling"}'),
    Ring.REFUSED: ("401 Unauthorized", JSON, b'{"status":"wrong_token"}'),
    Ring.TOO_OFTEN: ("429 Too Many Requests", JSON, b'{"status":"too_often"}'),
    Ring.NO_BELL: ("404 Not Found", JSON, b'{"status":"no_wake_token_set"}'),
}


class MetricsServer:
    """Serves on its own threads until `close`, the drain included. `clock` is monotonic."""

    def __init__(
        self,
        host: str,
        port: int,
        board: StatusBoard,
        registry: CollectorRegistry,
        doorbell: Doorbell,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Binds at once. Raises ConfigurationError where the address cannot be had."""
        self._board = board
        self._doorbell = doorbell
        self._clock = clock
        self._registry = registry
        self._routes: dict[str, Callable[[], Answer]] = {
            "/health": self._health,
            "/ready": self._ready,
            "/metrics": self._metrics,
            "/status": self._status,
            "/": self._page,
        }
        sockets = listen(host, port)
        try:
            self._server = create_server(
                self._answer,
                sockets=sockets,
                threads=THREADS,
                connection_limit=MAX_CONNECTIONS,
                channel_timeout=IDLE_CONNECTION_SECONDS,
                max_request_body_size=1024,
                max_request_header_size=16_384,
                ident=None,
                clear_untrusted_proxy_headers=True,
            )
        except (OSError, ValueError) as error:
            for bound in sockets:
                bound.close()
            raise cannot_listen(host, port, error) from error
        self._port: int = sockets[0].getsockname()[1]

    @property
    def port(self) -> int:
        """The port listened on, also where 0 was asked for."""
        return self._port

    def start(self, post: Callable[[Event], None]) -> None:
        start_thread("metrics-server", self._server.run, post)

    def close(self) -> None:
        """Hang up. The service itself never does: it answers until the process ends."""
        self._server.close()

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        status, content_type, body = self._route(environ)
        policy = CONTENT_SECURITY_POLICY if content_type == HTML else NOTHING_INSIDE
        start_response(
            status,
            [
                ("Content-Type", content_type),
                ("Content-Length", str(len(body))),
                ("Content-Security-Policy", policy),
                *HEADERS,
            ],
        )
        return [body]

    def _route(self, environ: "WSGIEnvironment") -> Answer:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path == WAKE_PATH and method == "POST":
            return RINGS[self._doorbell.ring(environ.get("HTTP_AUTHORIZATION", ""))]
        route = self._routes.get(path)
        if route is None:
            return "404 Not Found", TEXT, f"no such page; there are {', '.join(self._routes)}\n".encode()
        if method not in ("GET", "HEAD"):
            return "405 Method Not Allowed", TEXT, b"this server is read only\n"
        return route()

    def _health(self) -> Answer:
        silent = self._board.age_seconds(self._clock())
        if self._board.read() is not None and silent > LOOP_SILENT_SECONDS:
            body = {"status": "stuck", "loop_silent_seconds": round(silent, 1)}
            return "503 Service Unavailable", JSON, orjson.dumps(body)
        return "200 OK", JSON, b'{"status":"ok"}'

    def _ready(self) -> Answer:
        status = self._board.read()
        reasons = (NotReady.STARTING,) if status is None else status.not_ready
        if reasons:
            return (
                "503 Service Unavailable",
                JSON,
                orjson.dumps({"status": "not_ready", "reasons": list(reasons)}),
            )
        return "200 OK", JSON, b'{"status":"ready"}'

    def _metrics(self) -> Answer:
        return "200 OK", CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._registry)

    def _status(self) -> Answer:
        status = self._board.read_aged(self._clock())
        if status is None:
            return "503 Service Unavailable", JSON, b'{"phase":"starting"}'
        return "200 OK", JSON, orjson.dumps(status)

    def _page(self) -> Answer:
        return "200 OK", HTML, render_page(self._board.read_aged(self._clock()))
