"""How libcurl is set up for every request, and what its failures are called."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pycurl

from supervisor.task_api.exchange import FailedStep
from supervisor.task_api.proxies import Proxy, proxy_for
from supervisor.task_api.tls_files import TlsFiles

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


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no response."""

    step: FailedStep
    reason: str


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests of one kind go: an address, which setting names it, and how it is reached."""

    setting: str
    host: str
    proxy: Proxy | None
    in_clear: bool = True

    @property
    def name(self) -> str:
        """Who is connected to."""
        return self.proxy.name if self.proxy else self.host

    @property
    def reading_proxy(self) -> str:
        """The proxy that reads the requests and may answer them itself; none where it only tunnels."""
        return self.proxy.name if self.proxy and self.in_clear else ""


def make_target(url: str, setting: str, environ: Mapping[str, str]) -> Target:
    """Raises ConfigurationError where the environment names a proxy that is none."""
    parts = urlsplit(url)
    return Target(setting, parts.netloc, proxy_for(url, environ), parts.scheme == "http")


@dataclass(slots=True)
class Transport:
    """Makes libcurl's handles. The token of a request goes to the address of that request and nowhere else:
    no redirect is followed, no `.netrc` read.
    """

    tls: TlsFiles
    user_timeout_seconds: float
    """A connection that acknowledges nothing for so long is dead."""
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


def failure_of(
    handle: pycurl.Curl, code: int, message: str, target: Target, timeout_seconds: float
) -> Failure:
    """What a request failed of, in words that name the address and the setting."""
    advice = f": check {target.setting}"
    if code == pycurl.E_COULDNT_RESOLVE_HOST:
        return Failure(FailedStep.CONNECT, f"cannot resolve the host of {target.host}{advice}")
    if target.proxy and (failure := _proxy_failure(handle, code, message, target, target.proxy)):
        return failure
    if code == pycurl.E_COULDNT_CONNECT:
        number = handle.getinfo(pycurl.OS_ERRNO)
        reason = os.strerror(number) if number else message
        return Failure(FailedStep.CONNECT, f"cannot connect to {target.name}: {reason}{advice}")
    if code in _TLS_ERRORS:
        if handle.getinfo(pycurl.SSL_VERIFYRESULT) in _UNKNOWN_ISSUER:
            advice = ": check API_CA_FILE"
        return Failure(FailedStep.CONNECT, f"no TLS with {target.host}: {_bounded(message)}{advice}")
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return _timeout(handle, target, timeout_seconds)
    if code == pycurl.E_GOT_NOTHING:
        return Failure(FailedStep.RESPONSE, f"{target.name} closed the connection without an answer")
    return Failure(FailedStep.RESPONSE, f"no usable answer of {target.name}: {_bounded(message)}")


def proxy_refusal(target: Target, status: int) -> Failure:
    """The proxy answered so in the place of the one behind it."""
    login = " (it wants a login)" if status == PROXY_LOGIN_NEEDED else ""
    reason = f"{target.name} answered {status}{login} instead of connecting to {target.host}"
    return Failure(FailedStep.CONNECT, reason)


def _proxy_failure(
    handle: pycurl.Curl, code: int, message: str, target: Target, proxy: Proxy
) -> Failure | None:
    advice = f": check {proxy.variable}"
    if code == pycurl.E_COULDNT_RESOLVE_PROXY:
        return Failure(FailedStep.CONNECT, f"cannot resolve the host of {proxy.name}{advice}")
    status = handle.getinfo(pycurl.HTTP_CONNECTCODE)
    if status >= 300:  # noqa: PLR2004  as HTTP has it, 2xx is a tunnel
        return proxy_refusal(target, status)
    if code == pycurl.E_COULDNT_CONNECT:
        return Failure(FailedStep.CONNECT, f"cannot connect to {proxy.name}: {_bounded(message)}{advice}")
    if code == _PROXY_ERROR or (code in _TLS_ERRORS and not handle.getinfo(pycurl.HTTP_CONNECTCODE)):
        return Failure(FailedStep.CONNECT, f"no connection by way of {target.name}: {_bounded(message)}")
    return None


def _timeout(handle: pycurl.Curl, target: Target, timeout_seconds: float) -> Failure:
    within = f"within {timeout_seconds:g} s"
    if not handle.getinfo(pycurl.NAMELOOKUP_TIME):
        return Failure(FailedStep.CONNECT, f"cannot resolve the host of {target.name} {within}")
    if not handle.getinfo(pycurl.CONNECT_TIME):
        return Failure(FailedStep.CONNECT, f"no connection to {target.name} {within}")
    if not handle.getinfo(pycurl.PRETRANSFER_TIME):
        return Failure(FailedStep.CONNECT, f"no TLS with {target.host} {within}")
    if not handle.getinfo(pycurl.STARTTRANSFER_TIME):
        return Failure(FailedStep.TIMEOUT, f"no answer of {target.name} {within}")
    return Failure(FailedStep.TIMEOUT, f"no whole answer of {target.name} {within}")


def _bounded(message: str) -> str:
    return " ".join(message.split())[:MAX_REASON_CHARACTERS]
