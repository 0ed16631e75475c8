"""The sockets that the HTTP port listens on, with IPv4, IPv6 or both."""

import errno
import ipaddress
import socket
from collections.abc import Callable

import psutil

from shared.errors import ConfigurationError

ALL_IPV4 = "0.0.0.0"  # noqa: S104  METRICS_HOST narrows it
ALL = "::"
"""IPv6, and IPv4 as well."""
BACKLOG = 1024
_MISSING_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def listen(host: str, port: int) -> list[socket.socket]:
    """The sockets of METRICS_HOST and METRICS_PORT. Raises ConfigurationError where they cannot be had."""
    try:
        return bind_sockets(host, port)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"METRICS_HOST, METRICS_PORT: cannot listen on {host}:{port}: {reason}"
        ) from error


def bind_sockets(
    host: str, port: int, addresses: Callable[[], list[str]] | None = None
) -> list[socket.socket]:
    """One for each address of `host`, all on one port; 0 takes a free one. Raises OSError or ValueError.

    0.0.0.0 and :: stand for whatever the machine has: where that is IPv6 alone, nobody would reach
    0.0.0.0; and where the kernel has only one of the two, the other cannot be bound.
    """
    host = host.strip("[]")
    if host not in (ALL_IPV4, ALL):
        return _bind_each(host, port)
    six_first = host == ALL or has_only_ipv6((addresses or machine_addresses)())
    first, second = (ALL, ALL_IPV4) if six_first else (ALL_IPV4, ALL)
    try:
        return _bind_each(first, port)
    except OSError as error:
        if error.errno not in _MISSING_FAMILY:
            raise
        return _bind_each(second, port)


def has_only_ipv6(addresses: list[str]) -> bool:
    """Do other machines reach this one by IPv6 and by nothing else?"""
    outer = [ip for ip in map(ipaddress.ip_address, addresses) if not ip.is_loopback]
    return bool(outer) and all(ip.version == 6 for ip in outer)  # noqa: PLR2004  the IP version


def machine_addresses() -> list[str]:
    """All that its interfaces have, without zones."""
    return [
        address.address.partition("%")[0]
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family in (socket.AF_INET, socket.AF_INET6)
    ]


def _bind_each(host: str, port: int) -> list[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            free_port = bound[0].getsockname()[1] if bound else port
            bound.append(_bind(family, (address[0], free_port, *address[2:])))
    except OSError:
        for one in bound:
            one.close()
        raise
    return bound


def _bind(family: int, address: tuple[str | int, ...]) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != ALL)
        one.bind(address)
        one.listen(BACKLOG)
    except OSError:
        one.close()
        raise
    return one
