"""One libcurl handle: how it is set up, one request after another on it, and what its failures are called."""

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import pycurl

from supervisor.task_api.http.exchange import Authorization, Exchange, FailedStep, NoResponse, Response
from supervisor.task_api.http.route import Proxy, Target, TlsFiles

MILLISECONDS = 1000.0
HTTP_2 = pycurl.CURL_HTTP_VERSION_2_0
READ_BYTES = 64 * 1024
MAX_REASON_CHARACTERS = 160
PROXY_LOGIN_NEEDED = 407
_PROXY_ERROR = 97  # CURLE_PROXY, which pycurl has no name for
_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21})
"""OpenSSL's numbers for a certificate that no trusted CA vouches for."""
_TLS_ERRORS = frozenset(
    {
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_SSL_ISSUER_ERROR,
        pycurl.E_SSL_INVALIDCERTSTATUS,
        pycurl.E_USE_SSL_FAILED,
    }
)


Failure: TypeAlias = tuple[FailedStep, str]
"""Why a request has no response."""


@dataclass(slots=True)
class Transport:
    """Makes libcurl's handles.

    A token goes to the address of its request only: no redirect is followed, no `.netrc` read. A connection
    that acknowledges nothing for `user_timeout_seconds` is dead.
    """

    tls: TlsFiles
    user_timeout_seconds: float
    _ca_bundle: bytes = field(init=False, default=b"")

    def __post_init__(self) -> None:
        if self.tls.extra_ca_file is not None:
            self._ca_bundle = self.tls.ca_file.read_bytes() + b"\n" + self.tls.extra_ca_file.read_bytes()

    def new_handle(self) -> pycurl.Curl:
        """A handle with everything set that is the same for all requests."""
        handle = pycurl.Curl()
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS),
            (pycurl.PATH_AS_IS, 1),
            (pycurl.ACCEPT_ENCODING, ""),
            (pycurl.BUFFERSIZE, READ_BYTES),
            (pycurl.TCP_NODELAY, 1),
            # Left unset, libcurl would read the environment itself, and not HTTP_PROXY.
            (pycurl.PROXY, ""),
            (pycurl.NOPROXY, ""),
            (pycurl.SOCKOPTFUNCTION, self._set_user_timeout),
        ):
            handle.setopt(option, value)
        self._set_certificates(handle)
        return handle

    def _set_certificates(self, handle: pycurl.Curl) -> None:
        if self._ca_bundle:
            handle.setopt(pycurl.CAINFO_BLOB, self._ca_bundle)
            handle.setopt(pycurl.PROXY_CAINFO_BLOB, self._ca_bundle)
        else:
            handle.setopt(pycurl.CAINFO, str(self.tls.ca_file))
            handle.setopt(pycurl.PROXY_CAINFO, str(self.tls.ca_file))
        if self.tls.ca_directories:
            handle.setopt(pycurl.CAPATH, self.tls.ca_directories)
        if self.tls.client_cert is not None:
            handle.setopt(pycurl.SSLCERT, str(self.tls.client_cert))
            handle.setopt(pycurl.SSLKEY, str(self.tls.client_key or self.tls.client_cert))

    def _set_user_timeout(self, descriptor: int, _: object) -> int:
        # Several requests of HTTP/2 share a connection, and the timeout of one does not close it.
        sock = socket.socket(fileno=descriptor)
        try:
            milliseconds = int(self.user_timeout_seconds * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        finally:
            sock.detach()
        return pycurl.SOCKOPT_OK


@dataclass(frozen=True, slots=True)
class RequestKind:
    """What requests of one kind share. `headers` are whole lines."""

    method: str
    target: Target
    headers: tuple[str, ...]
    timeout_seconds: float
    max_body_bytes: int
    authorization: Authorization


@dataclass(frozen=True, slots=True)
class Request:
    """`on_done` is called in the wire's thread: it must be quick. `task_ids` are the tasks reported on."""

    kind: RequestKind
    url: str
    on_done: Callable[[Exchange], None]
    body: bytes = b""
    headers: Sequence[str] = ()
    task_ids: tuple[str, ...] = ()


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
        """Set up the handle for the request; `fresh` asks for a new connection."""
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
        """What the request came to; `code` is libcurl's error, 0 for none."""
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
            return NoResponse(*failure, began_at, took_seconds)
        return Response(
            status, headers, body, complete, began_at, took_seconds, unreadable, target.reading_proxy
        )

    def multiplexed_socket(self) -> int | None:
        """The socket of the request that ended, if several requests can share it."""
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
        # The default is five minutes.
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


def failure_of(
    handle: pycurl.Curl, code: int, message: str, target: Target, timeout_seconds: float
) -> Failure:
    """Why a request failed. The words name the address and the setting."""
    advice = f": check {target.setting}"
    if code == pycurl.E_COULDNT_RESOLVE_HOST:
        return FailedStep.CONNECT, f"cannot resolve the host of {target.host}{advice}"
    if target.proxy and (failure := _proxy_failure(handle, code, message, target, target.proxy)):
        return failure
    if code == pycurl.E_COULDNT_CONNECT:
        number = handle.getinfo(pycurl.OS_ERRNO)
        reason = os.strerror(number) if number else message
        return FailedStep.CONNECT, f"cannot connect to {target.name}: {reason}{advice}"
    if code in _TLS_ERRORS:
        if handle.getinfo(pycurl.SSL_VERIFYRESULT) in _UNKNOWN_ISSUER:
            advice = ": check API_CA_FILE"
        return FailedStep.CONNECT, f"no TLS with {target.host}: {_bounded(message)}{advice}"
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return _timeout(handle, target, timeout_seconds)
    if code == pycurl.E_GOT_NOTHING:
        return FailedStep.RESPONSE, f"{target.name} closed the connection without an answer"
    return FailedStep.RESPONSE, f"no usable answer of {target.name}: {_bounded(message)}"


def proxy_refusal(target: Target, status: int) -> Failure:
    """The proxy answered with this status and did not pass the request on."""
    login = " (it wants a login)" if status == PROXY_LOGIN_NEEDED else ""
    reason = f"{target.name} answered {status}{login} instead of connecting to {target.host}"
    return FailedStep.CONNECT, reason


def _proxy_failure(
    handle: pycurl.Curl, code: int, message: str, target: Target, proxy: Proxy
) -> Failure | None:
    advice = f": check {proxy.variable}"
    if code == pycurl.E_COULDNT_RESOLVE_PROXY:
        return FailedStep.CONNECT, f"cannot resolve the host of {proxy.name}{advice}"
    status = handle.getinfo(pycurl.HTTP_CONNECTCODE)
    if status >= 300:  # noqa: PLR2004  as HTTP has it, 2xx is a tunnel
        return proxy_refusal(target, status)
    if code == pycurl.E_COULDNT_CONNECT:
        return FailedStep.CONNECT, f"cannot connect to {proxy.name}: {_bounded(message)}{advice}"
    if code == _PROXY_ERROR or (code in _TLS_ERRORS and not handle.getinfo(pycurl.HTTP_CONNECTCODE)):
        return FailedStep.CONNECT, f"no connection by way of {target.name}: {_bounded(message)}"
    return None


def _timeout(handle: pycurl.Curl, target: Target, timeout_seconds: float) -> Failure:
    within = f"within {timeout_seconds:g} s"
    if not handle.getinfo(pycurl.NAMELOOKUP_TIME):
        return FailedStep.CONNECT, f"cannot resolve the host of {target.name} {within}"
    if not handle.getinfo(pycurl.CONNECT_TIME):
        return FailedStep.CONNECT, f"no connection to {target.name} {within}"
    if not handle.getinfo(pycurl.PRETRANSFER_TIME):
        return FailedStep.CONNECT, f"no TLS with {target.host} {within}"
    if not handle.getinfo(pycurl.STARTTRANSFER_TIME):
        return FailedStep.TIMEOUT, f"no answer of {target.name} {within}"
    return FailedStep.TIMEOUT, f"no whole answer of {target.name} {within}"


def _bounded(message: str) -> str:
    return " ".join(message.split())[:MAX_REASON_CHARACTERS]
