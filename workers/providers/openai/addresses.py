"""Reaching a host that has several addresses: they share one time limit, and the first to answer wins."""

import itertools
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import httpcore2

STAGGER_SECONDS = 0.25
"""How long an address may take before the next is tried beside it. Source: RFC 8305, "Happy Eyeballs"."""
MAX_ADDRESSES = 8

Result = TypeVar("Result")


def resolve(host: str, port: int, timeout_seconds: float) -> list[str]:
    """The addresses of `host`, of both families in turn. Raises ConnectError or ConnectTimeout."""
    try:
        found = _within(timeout_seconds, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except TimeoutError as error:
        raise httpcore2.ConnectTimeout(
            f"the name {host} is not resolved within {timeout_seconds:g} s"
        ) from error
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(f"the name {host} is not resolved ({error})") from error
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
    """What `connect` gives for the address that answers first. Raises ConnectError or ConnectTimeout."""
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


class _Answer(Generic[Result]):
    """What a thread came to."""

    def __init__(self) -> None:
        self.box: queue.SimpleQueue[Result | Exception] = queue.SimpleQueue()

    def fill(self, work: Callable[[], Result]) -> None:
        try:
            self.box.put(work())
        except Exception as error:  # noqa: BLE001  raised again in the thread that waits
            self.box.put(error)


def _within(timeout_seconds: float, work: Callable[[], Result]) -> Result:
    """What `work` returns or raises, or TimeoutError. The C library's resolver knows no time limit."""
    answer: _Answer[Result] = _Answer()
    threading.Thread(target=answer.fill, args=(work,), daemon=True).start()
    try:
        result = answer.box.get(timeout=max(0.0, timeout_seconds))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(result, Exception):
        raise result
    return result
