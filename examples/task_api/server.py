"""The task API on a socket, in threads of this process."""

import socket
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Self, cast

from waitress import wasyncore
from waitress.server import BaseWSGIServer, create_server

from examples.task_api.app import BODY_MAX_BYTES, create_app
from examples.task_api.optional import ALL_OPERATIONS, Operation
from examples.task_api.store import LONG_POLLS_AT_ONCE, Store

ORDINARY_THREADS = 8
CONNECTIONS_AT_ONCE = 1000


class TaskApiServer:
    """Serves from `start()` to `close()`, or inside a `with`. Port 0 takes a free one; see `url`."""

    def __init__(
        self,
        database: Path,
        token: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        operations: Collection[Operation] = ALL_OPERATIONS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`operations` and `clock` are as in `create_app`.

        Raises OSError where the port cannot be had, `sqlite3.Error` for a bad database."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
        try:
            app = create_app(database, token, operations, clock)
        except BaseException:
            listener.close()
            raise
        self.store = cast("Store", app.extensions["task_store"])
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        self._sockets: dict[int, socket.socket] = {}
        server = create_server(
            app,
            map=self._sockets,
            sockets=[listener],
            threads=ORDINARY_THREADS + LONG_POLLS_AT_ONCE,
            connection_limit=CONNECTIONS_AT_ONCE,
            recv_bytes=65536,
            max_request_body_size=BODY_MAX_BYTES,
        )
        self._server = cast("BaseWSGIServer", server)  # one socket, so never a MultiSocketServer
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="task-api", daemon=True)

    def start(self) -> None:
        """Begin to answer; connections made before this wait."""
        self._thread.start()

    def close(self) -> None:
        """Finish the requests that are being worked on, then close every connection."""
        self.store.stop_waiting()
        self._server.task_dispatcher.shutdown()
        self._closing.set()
        self._server.pull_trigger()
        self._thread.join()
        wasyncore.close_all(self._sockets)
        self.store.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            wasyncore.loop(timeout=1, use_poll=True, map=self._sockets, count=1)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
