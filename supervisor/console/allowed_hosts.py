"""The names that the HTTP port answers to: a web page cannot read it by a name of its own (DNS rebinding)."""

import re
import socket
from collections.abc import Iterable
from ipaddress import ip_address

ANY = "*"
PRIVATE_ENDINGS = ("localhost", "local", "internal", "svc", "home.arpa")
"""No web page can have a name of these: they are not in the public DNS."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(?::[0-9]*)?")


class AllowedHosts:
    """Addresses, names without a dot, names of private networks, this machine's names, and `named` ones."""

    def __init__(self, named: Iterable[str]) -> None:
        self._named = frozenset(map(_plain, (*named, socket.gethostname())))

    def allows(self, host: str | None) -> bool:
        """`host` is the header `Host`; browsers never leave it out."""
        if host is None or ANY in self._named:
            return True
        read = _HOST.fullmatch(host)
        if read is None:
            return False
        name = _plain(read[1])
        return (
            name in self._named
            or "." not in name
            or _is_address(name)
            or name.endswith(tuple(f".{ending}" for ending in PRIVATE_ENDINGS))
        )


def _plain(name: str) -> str:
    return name.strip().strip("[]").rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
