"""Which proxy leads to an address, by the environment: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from shared.errors import ConfigurationError

_SCHEMES = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_DEFAULT_PROXY_PORTS = {"http": 80, "https": 443}
_SOCKS_PORT = 1080


@dataclass(frozen=True, slots=True)
class Proxy:
    """`url` may hold a password; `name` is for people; `variable` of the environment says which proxy."""

    url: str
    name: str
    host: str
    variable: str


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that leads to `url`; None to go there directly. Raises ConfigurationError.

    A name in lower case wins, and set to nothing it means no proxy. HTTP_PROXY is not heard in a CGI process,
    where it would be a header of the request.
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
        port = parts.port or _DEFAULT_PROXY_PORTS.get(parts.scheme, _SOCKS_PORT)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and url.isprintable() and " " not in url
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
    """An entry is `*`, a name (which stands for all names under it), an address or a network.

    A name or an address may have a port.
    """
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
