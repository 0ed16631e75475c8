"""One kept-alive connection to the task API, for reports.

The standard library's client on its own spends about half the CPU of a pooled one on a 20 KB PATCH, and
a PATCH is most of what a task costs this process.
"""

import http.client
import select
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult

MAX_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class PatchChannel:
    """For one thread. Connects when needed, again after any trouble; `clock` is monotonic."""

    def __init__(
        self,
        base: SplitResult,
        timeout_seconds: float,
        tls: ssl.SSLContext | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        host = base.hostname or ""
        self._connection: http.client.HTTPConnection
        if tls is None:
            self._connection = http.client.HTTPConnection(host, base.port, timeout_seconds)
        else:
            self._connection = http.client.HTTPSConnection(
                host, base.port, timeout=timeout_seconds, context=tls
            )

    def patch(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one PATCH and read the answer, cut at 64 KiB.

        Raises TimeoutError, other OSErrors and HTTPException; the next call starts on a new connection.
        """
        deadline = self._clock() + self._timeout_seconds
        self._drop_if_stale()
        whole = False
        try:
            self._connection.request("PATCH", path, body, dict(headers))
            response = self._connection.getresponse()
            content = self._read(response, deadline)
            whole = response.isclosed() or response.length == 0
            response.close()
            return Answer(response.status, response.headers, content)
        finally:
            if not whole:
                self._connection.close()

    def _drop_if_stale(self) -> None:
        sock = self._connection.sock
        if sock is None:
            return
        # Between requests there is nothing to read, unless the other side has hung up.
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        if poller.poll(0):
            self._connection.close()

    def _read(self, response: http.client.HTTPResponse, deadline: float) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while size < MAX_ANSWER_BYTES and (chunk := response.read1(MAX_ANSWER_BYTES - size)):
            chunks.append(chunk)
            size += len(chunk)
            if self._clock() > deadline:
                raise TimeoutError("the answer came too slowly")
        return b"".join(chunks)
