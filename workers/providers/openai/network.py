"""Connections to the provider, bound by the deadline of the call that uses them."""

import itertools
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore2
from httpcore2 import SOCKET_OPTION

STAGGER_SECONDS = 0.25
"""How long an address may take before the next is tried beside it. Source: RFC 8305, "Happy Eyeballs"."""
MAX_ADDRESSES = 8
_PIECE_BYTES = 64 * 1024
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")
"""How an answer begins that is TLS: an alert, or a handshake."""

Clock = Callable[[], float]


class Call:
    """How far one call came, and when it must be over."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.is_sent = False
        """Has a byte of the request left, the CONNECT to a proxy apart?"""
        self.is_answered = False
        self.is_reused = True
        """Does it go over a connection of an earlier call?"""


class Network(httpcore2.NetworkBackend):
    """Makes the connections. `begin` is called before each call, in the thread of the call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sockets = httpcore2.SyncBackend()
        self._thread = threading.local()

    def begin(self, timeout_seconds: float) -> Call:
        call = Call(self._clock() + timeout_seconds)
        self._thread.call = call
        return call

    @property
    def call(self) -> Call:
        """The call of this thread."""
        call: Call = self._thread.call
        return call

    def left_seconds(self, timeout_seconds: float | None) -> float:
        """What is left to the call, or `timeout_seconds` if that is less. 0 when it is over."""
        left = max(0.0, self.call.deadline - self._clock())
        return left if timeout_seconds is None else min(left, timeout_seconds)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        self.call.is_reused = False
        limit_seconds = self.left_seconds(timeout)
        ends_at = self._clock() + limit_seconds
        addresses = resolve(host, port, limit_seconds)

        def connect(address: str) -> httpcore2.NetworkStream:
            left = max(0.001, ends_at - self._clock())
            return self._sockets.connect_tcp(address, port, left, local_address, socket_options)

        return _Stream(first_to_connect(addresses, connect, ends_at - self._clock()), self)


class _Stream(httpcore2.NetworkStream):
    """A connection whose every wait ends with the deadline of the call."""

    def __init__(self, inner: httpcore2.NetworkStream, network: Network, *, is_tls: bool = False) -> None:
        self._inner = inner
        self._network = network
        self._is_tls = is_tls

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._network.left_seconds(timeout)
        if not left:
            raise httpcore2.ReadTimeout("the call took too long as a whole")
        data = self._inner.read(max_bytes, left)
        call = self._network.call
        if not self._is_tls and not call.is_answered and data.startswith(_TLS_RECORDS):
            raise httpcore2.UnsupportedProtocol("the server speaks https and was asked in http")
        call.is_answered = call.is_answered or (call.is_sent and bool(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE_BYTES):
            left = self._network.left_seconds(timeout)
            if not left:
                raise httpcore2.WriteTimeout("the call took too long as a whole")
            if not buffer.startswith(b"CONNECT "):
                self._network.call.is_sent = True
            self._inner.write(buffer[start : start + _PIECE_BYTES], left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        left = max(0.001, self._network.left_seconds(timeout))
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._network, is_tls=True)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def resolve(host: str, port: int, timeout_seconds: float) -> list[str]:
    """The addresses of `host`, of both families in turn. Raises ConnectError or ConnectTimeout.

    A thread asks: the C library's resolver knows no time limit.
    """
    answer: queue.SimpleQueue[list[tuple[Any, ...]] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put([*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except Exception as error:  # noqa: BLE001  raised in the thread that waits
            answer.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answer.get(timeout=max(0.0, timeout_seconds))
    except queue.Empty as error:
        raise httpcore2.ConnectTimeout(
            f"the name {host} is not resolved within {timeout_seconds:g} s"
        ) from error
    if isinstance(found, Exception):
        raise httpcore2.ConnectError(f"the name {host} is not resolved ({found})") from found
    families: dict[int, list[str]] = {}
    for family, _, _, _, place in found:
        known = families.setdefault(family, [])
        if str(place[0]) not in known:
            known.append(str(place[0]))
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*families.values()))
    return [address for address in in_turn if address is not None][:MAX_ADDRESSES]


def first_to_connect(
    addresses: Sequence[str],
    connect: Callable[[str], httpcore2.NetworkStream],
    timeout_seconds: float,
) -> httpcore2.NetworkStream:
    """The connection to the address that answers first. Raises ConnectError or ConnectTimeout."""
    if len(addresses) == 1:
        return connect(addresses[0])
    return _Race(connect).run(addresses, time.monotonic() + timeout_seconds)


class _Race:
    """One thread for each address. A connection that comes too late is closed."""

    def __init__(self, connect: Callable[[str], httpcore2.NetworkStream]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._over = False
        self._ended: queue.SimpleQueue[httpcore2.NetworkStream | Exception] = queue.SimpleQueue()

    def run(self, addresses: Sequence[str], deadline: float) -> httpcore2.NetworkStream:
        waiting = list(addresses)
        running = 0
        error: Exception = httpcore2.ConnectTimeout(f"none of {', '.join(addresses)} answers")
        try:
            while waiting or running:
                if waiting:
                    threading.Thread(target=self._try, args=(waiting.pop(0),), daemon=True).start()
                    running += 1
                left = deadline - time.monotonic()
                try:
                    ended = self._ended.get(timeout=max(0.0, min(left, STAGGER_SECONDS) if waiting else left))
                except queue.Empty:
                    if time.monotonic() >= deadline:
                        break
                    continue
                if not isinstance(ended, Exception):
                    return ended
                running -= 1
                error = ended
            raise error
        finally:
            self._finish()

    def _try(self, address: str) -> None:
        try:
            ended: httpcore2.NetworkStream | Exception = self._connect(address)
        except Exception as error:  # noqa: BLE001  raised again in the thread that waits
            ended = error
        with self._lock:
            if not self._over:
                self._ended.put(ended)
            elif not isinstance(ended, Exception):
                ended.close()

    def _finish(self) -> None:
        with self._lock:
            self._over = True
            while not self._ended.empty():
                ended = self._ended.get()
                if not isinstance(ended, Exception):
                    ended.close()
