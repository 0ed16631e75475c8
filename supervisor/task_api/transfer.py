"""One request on one libcurl handle, and what comes back of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pycurl

from supervisor.task_api.authorization import Authorization
from supervisor.task_api.exchange import Exchange, NoResponse, Response
from supervisor.task_api.transport import PROXY_LOGIN_NEEDED, Target, failure_of, proxy_refusal

MILLISECONDS = 1000.0
HTTP_2 = pycurl.CURL_HTTP_VERSION_2_0


@dataclass(frozen=True, slots=True)
class RequestKind:
    """What all requests of one kind share. `headers` are whole lines."""

    method: str
    target: Target
    headers: tuple[str, ...]
    timeout_seconds: float
    max_body_bytes: int
    authorization: Authorization


@dataclass(frozen=True, slots=True)
class Request:
    """`on_done` is called in the wire's thread: it must be quick. `about` is the id of a task."""

    kind: RequestKind
    url: str
    on_done: Callable[[Exchange], None]
    body: bytes = b""
    headers: Sequence[str] = ()
    about: str = ""


class Transfer:
    """Does one request after another. Owned by the wire's thread."""

    def __init__(self, handle: pycurl.Curl) -> None:
        self.handle = handle
        self._kind: RequestKind | None = None
        self._head: list[bytes] = []
        self._body = bytearray()
        self._max_body_bytes = 0
        self._complete = True
        self._fresh = False
        handle.setopt(pycurl.HEADERFUNCTION, self._head.append)
        handle.setopt(pycurl.WRITEFUNCTION, self._write)

    def prepare(self, request: Request, credential: str, *, fresh: bool) -> None:
        """Ready the handle for the request; `fresh` asks for a new connection."""
        handle, kind = self.handle, request.kind
        if self._kind is not kind:
            self._prepare_kind(kind)
        if self._fresh is not fresh:
            handle.setopt(pycurl.FRESH_CONNECT, fresh)
            self._fresh = fresh
        handle.setopt(pycurl.URL, request.url)
        lines = [*kind.headers, *request.headers]
        if credential:
            lines.append(f"Authorization: {credential}")
        handle.setopt(pycurl.HTTPHEADER, lines)
        if kind.method != "GET":
            handle.setopt(pycurl.POSTFIELDS, request.body)

    def take_result(self, code: int, message: str, began_at: float, took_seconds: float) -> Exchange:
        """What came of the request, by libcurl's error code, which is 0 for none."""
        body, self._body = self._body, bytearray()
        complete, self._complete = self._complete, True
        headers = _last_head(self._head)
        self._head.clear()
        assert self._kind is not None  # noqa: S101  a request was prepared
        target, status = self._kind.target, self.handle.getinfo(pycurl.RESPONSE_CODE)
        failure, unreadable = None, ""
        if status == PROXY_LOGIN_NEEDED and target.reading_proxy:
            failure = proxy_refusal(target, status)
        elif code == pycurl.E_BAD_CONTENT_ENCODING and not body:
            unreadable = f"content encoding {headers.get('content-encoding', '')[:40]!a}: {message[:80]}"
        elif code and complete:
            failure = failure_of(self.handle, code, message, target, self._kind.timeout_seconds)
        if failure is not None:
            return NoResponse(failure.step, failure.reason, began_at, took_seconds)
        return Response(
            status, headers, body, complete, began_at, took_seconds, unreadable, target.reading_proxy
        )

    def multiplexed_socket(self) -> int | None:
        """The socket of the request that ended, if it can carry several at once."""
        assert self._kind is not None  # noqa: S101  a request was prepared
        if self._kind.target.in_clear or self.handle.getinfo(pycurl.INFO_HTTP_VERSION) < HTTP_2:
            return None
        descriptor: int = self.handle.getinfo(pycurl.ACTIVESOCKET)
        return descriptor if descriptor >= 0 else None

    def _prepare_kind(self, kind: RequestKind) -> None:
        handle = self.handle
        if kind.method == "GET":
            handle.setopt(pycurl.HTTPGET, 1)
            handle.unsetopt(pycurl.CUSTOMREQUEST)
        else:
            handle.setopt(pycurl.CUSTOMREQUEST, kind.method)
        milliseconds = max(1, int(kind.timeout_seconds * MILLISECONDS))
        handle.setopt(pycurl.TIMEOUT_MS, milliseconds)
        # Its own default is five minutes, and it is no longer than the whole.
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, milliseconds)
        handle.setopt(pycurl.PROXY, kind.target.proxy.url if kind.target.proxy else "")
        self._max_body_bytes = kind.max_body_bytes
        self._kind = kind

    def _write(self, chunk: bytes) -> int:
        if len(self._body) + len(chunk) > self._max_body_bytes:
            self._complete = False
            return 0
        self._body += chunk
        return len(chunk)


def _last_head(lines: Sequence[bytes]) -> dict[str, str]:
    """The headers of the final answer: interim answers and proxies send heads of their own before it."""
    headers: dict[str, str] = {}
    for line in b"".join(lines).decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        if line.startswith("HTTP/"):
            headers.clear()
        elif colon:
            headers.setdefault(name.lower(), value.strip())
    return headers
