"""How an address is reached: by which proxy, and with which certificates."""

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import certifi

from shared.errors import ConfigurationError

SYSTEM_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS
)
_PROXY_SCHEMES = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SOCKS_PORT = 1080


@dataclass(frozen=True, slots=True)
class Proxy:
    """`url` may hold a password; `name` is for people. `variable` is that of the environment."""

    url: str
    name: str
    host: str
    variable: str


@dataclass(frozen=True, slots=True)
class Target:
    """The address that requests of one kind go to, the setting that names it, and the proxy on the way."""

    setting: str
    host: str
    proxy: Proxy | None
    in_clear: bool = True

    @property
    def name(self) -> str:
        """The other end of the connection, for people."""
        return self.proxy.name if self.proxy else self.host

    @property
    def reading_proxy(self) -> str:
        """The proxy that can answer requests itself; empty where it only tunnels."""
        return self.proxy.name if self.proxy and self.in_clear else ""


def make_target(url: str, setting: str, environ: Mapping[str, str]) -> Target:
    """Raises ConfigurationError where the environment names a proxy that cannot be used."""
    parts = urlsplit(url)
    return Target(setting, parts.netloc, proxy_for(url, environ), parts.scheme == "http")


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy on the way to `url`, by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; None for none.

    A name in lower case wins; set to nothing it means no proxy. HTTP_PROXY is ignored in a CGI process, where
    it would be a header of the request. Raises ConfigurationError.
    """
    target = urlsplit(url)
    names = [f"{target.scheme}_proxy", f"{target.scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"]
    if "REQUEST_METHOD" in environ:
        names.remove(names[1])
    name = next((name for name in names if name in environ), None)
    if name is None or not environ[name].strip():
        return None
    if _is_exempt(target, environ.get("no_proxy", environ.get("NO_PROXY", ""))):
        return None
    return _parse(name, environ[name].strip())


def _parse(name: str, value: str) -> Proxy:
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, _SOCKS_PORT)
        usable = (
            parts.scheme in _PROXY_SCHEMES and bool(parts.hostname) and url.isprintable() and " " not in url
        )
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(f"{name}: must be the address of a proxy, like http://proxy.example:3128")
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    address = f"{shown}:{port}"
    return Proxy(f"{parts.scheme}://{login}{address}", f"the proxy {address} of {name}", host, name)


def _is_exempt(target: SplitResult, no_proxy: str) -> bool:
    host = (target.hostname or "").rstrip(".").lower()
    port = target.port or _DEFAULT_PORTS.get(target.scheme)
    return any(_matches(entry, host, port) for entry in no_proxy.replace(",", " ").lower().split())


def _matches(entry: str, host: str, port: int | None) -> bool:
    """An entry is `*`, a name with all names under it, an address or a network. It may have a port."""
    if entry == "*":
        return True
    entry = entry.partition("://")[2] or entry
    if _is_in_network(entry, host):
        return True
    name, colon, digits = entry.rpartition(":")
    if colon and digits.isdigit() and (":" not in name or name.startswith("[")):
        if int(digits) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").strip(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))


def _is_in_network(entry: str, host: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """`extra_ca_file` is trusted too. Without `client_key` the key is in `client_cert`.

    `ca_directories` are separated by colons, as in OpenSSL.
    """

    ca_file: Path
    ca_directories: str = ""
    extra_ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


def choose_tls_files(
    extra_ca_file: Path | None, client_cert: Path | None, client_key: Path | None, environ: Mapping[str, str]
) -> TlsFiles:
    """The files of the settings, and the CAs of SSL_CERT_FILE, of the system or of certifi.

    Raises ConfigurationError, which names the setting, where a file cannot be used.
    """
    if extra_ca_file is not None:
        _check_ca("API_CA_FILE", extra_ca_file)
    if client_cert is not None:
        _check_client(client_cert, client_key)
    system = next((path for path in SYSTEM_CA_FILES if Path(path).is_file()), None)
    ca_file = Path(environ.get("SSL_CERT_FILE") or system or certifi.where())
    return TlsFiles(ca_file, environ.get("SSL_CERT_DIR", ""), extra_ca_file, client_cert, client_key)


def _check_ca(setting: str, path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise ConfigurationError(f"{setting}: {path} holds no certificates in PEM") from error
    except OSError as error:
        raise ConfigurationError(f"{setting}: {path} cannot be read: {error.strerror}") from error


def _check_client(cert: Path, key: Path | None) -> None:
    for setting, path in (("API_CLIENT_CERT", cert), ("API_CLIENT_KEY", key)):
        try:
            if path is not None:
                path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{setting}: {path} cannot be read: {error.strerror}") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=lambda: b"")
    except ssl.SSLError as error:
        setting = "API_CLIENT_CERT" if key is None else "API_CLIENT_KEY"
        needed = "a certificate and its key, in PEM and without a password"
        raise ConfigurationError(f"{setting}: {key or cert}: {needed}, are needed") from error
