"""Which sockets the HTTP port gets, by what the machine has."""

import errno
import os
import socket
from collections.abc import Sequence

import pytest

from supervisor.console.listening import bind_sockets, has_only_ipv6

BOTH = ["127.0.0.1", "10.0.0.5", "::1", "2001:db8::5"]
ONLY_FOUR = ["127.0.0.1", "10.0.0.5"]
ONLY_SIX = ["127.0.0.1", "::1", "2001:db8::5", "fe80::1"]
NOTHING = ["127.0.0.1", "::1"]


class Machine:
    """Binds nothing, and says what was asked for. `lacks` is the family that its kernel does not have."""

    def __init__(self, addresses: Sequence[str], lacks: int | None = None, taken: str = "") -> None:
        self.addresses = list(addresses)
        self._lacks = lacks
        self._taken = taken
        self.bound: list[str] = []

    def bind(self, family: int, address: tuple[str | int, ...]) -> socket.socket:
        if family == self._lacks:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        if address[0] == self._taken:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self.bound.append(str(address[0]))
        return socket.socket()


def listen(monkeypatch: pytest.MonkeyPatch, machine: Machine, host: str) -> list[str]:
    monkeypatch.setattr("supervisor.console.listening._bind", machine.bind)
    for one in bind_sockets(host, 8001, lambda: machine.addresses):
        one.close()
    return machine.bound


@pytest.mark.parametrize(
    ("host", "addresses", "lacks", "bound"),
    [
        ("0.0.0.0", BOTH, None, "0.0.0.0"),
        ("0.0.0.0", ONLY_FOUR, None, "0.0.0.0"),
        ("0.0.0.0", NOTHING, None, "0.0.0.0"),
        ("0.0.0.0", ONLY_SIX, None, "::"),
        ("0.0.0.0", ONLY_SIX, socket.AF_INET, "::"),
        ("0.0.0.0", NOTHING, socket.AF_INET, "::"),
        ("0.0.0.0", ONLY_FOUR, socket.AF_INET6, "0.0.0.0"),
        ("::", BOTH, None, "::"),
        ("[::]", BOTH, None, "::"),
        ("::", ONLY_FOUR, socket.AF_INET6, "0.0.0.0"),
        ("127.0.0.1", ONLY_SIX, None, "127.0.0.1"),
        ("::1", BOTH, None, "::1"),
    ],
)
def test_all_addresses_means_all_that_the_machine_has(
    monkeypatch: pytest.MonkeyPatch, host: str, addresses: list[str], lacks: int | None, bound: str
) -> None:
    assert listen(monkeypatch, Machine(addresses, lacks), host) == [bound]


def test_address_that_was_named_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="Address family not supported"):
        listen(monkeypatch, Machine(BOTH, lacks=socket.AF_INET), "127.0.0.1")


def test_port_that_is_taken_is_taken_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(BOTH, taken="0.0.0.0")
    with pytest.raises(OSError, match="in use"):
        listen(monkeypatch, machine, "0.0.0.0")
    assert machine.bound == []


def test_addresses_of_a_machine_tell_whether_it_has_ipv6_alone() -> None:
    assert has_only_ipv6(ONLY_SIX)
    assert not any(has_only_ipv6(addresses) for addresses in (BOTH, ONLY_FOUR, NOTHING, []))


def test_name_with_several_addresses_has_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.2", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    bound = bind_sockets("several.test", 0)
    assert len({one.getsockname()[1] for one in bound}) == 1
    assert len(bound) == 2
    for one in bound:
        one.close()
