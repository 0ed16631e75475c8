"""The sockets that libcurl waits for, and those of kept connections between two requests.

What comes in between two requests was not asked for, and must not be taken for the next answer. Libcurl looks
at a kept connection only where it was idle for a second.
"""

import select
import socket

import pycurl

READABLE = select.EPOLLIN


class Sockets:
    """Owned by the wire's thread, in which alone libcurl closes sockets. `wake_descriptor` ends a wait.

    A connection stays registered while it is idle. The kernel forgets a registration with its socket, so an
    event is never that of another file which has taken the number.
    """

    def __init__(self, wake_descriptor: int) -> None:
        self._wake_descriptor = wake_descriptor
        self._epoll = select.epoll()
        # By edges: each write wakes once, and nothing needs to be read.
        self._epoll.register(wake_descriptor, READABLE | select.EPOLLET)
        self._events: dict[int, int] = {}
        self._connections: set[int] = set()
        self._idle: set[int] = set()
        self._multiplexed: set[int] = set()
        self._looked = False
        self._was_woken = False

    def close(self) -> None:
        self._epoll.close()

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        """Wait for what libcurl waits for: sockets, and what is to be done with each."""
        found = self._epoll.poll(0 if self._was_woken else seconds)
        self._looked, self._was_woken = True, False
        return [
            (descriptor, _actions(events))
            for descriptor, events in found
            if descriptor != self._wake_descriptor and not self._break_if_idle(descriptor)
        ]

    def watch(self, what: int, descriptor: int) -> None:
        """Libcurl says what it waits for."""
        if what == pycurl.POLL_REMOVE:
            self._let_go(descriptor)
            return
        events = READABLE if what & pycurl.POLL_IN else 0
        if what & pycurl.POLL_OUT:
            events |= select.EPOLLOUT
            self._connections.add(descriptor)
        self._idle.discard(descriptor)
        if descriptor not in self._events:
            self._epoll.register(descriptor, events)
        else:
            try:
                self._epoll.modify(descriptor, events)
            except FileNotFoundError:
                # Libcurl had closed it while it was idle, and the number is that of a new one.
                self._multiplexed.discard(descriptor)
                self._epoll.register(descriptor, events)
        self._events[descriptor] = events

    def pass_over(self, descriptor: int) -> None:
        """The connection speaks HTTP/2: the other side may say something at any time, and says what about."""
        self._multiplexed.add(descriptor)
        if descriptor in self._idle:
            self._forget(descriptor)

    def break_what_is_stale(self) -> None:
        """A kept connection that was closed, or on which something came in, cannot be written to any more.

        Libcurl then takes another one for the request.
        """
        if self._idle and not self._looked:
            for descriptor, _ in self._epoll.poll(0):
                self._was_woken = self._was_woken or descriptor == self._wake_descriptor
                self._break_if_idle(descriptor)
            self._looked = True

    def _let_go(self, descriptor: int) -> None:
        """The connection is idle, or about to be closed."""
        if descriptor not in self._events:
            return
        if descriptor not in self._connections or descriptor in self._multiplexed:
            self._forget(descriptor)
            return
        if self._events[descriptor] != READABLE:
            self._epoll.modify(descriptor, READABLE)
            self._events[descriptor] = READABLE
        self._idle.add(descriptor)
        self._looked = False

    def _break_if_idle(self, descriptor: int) -> bool:
        if descriptor not in self._idle:
            return False
        self._forget(descriptor)
        sock = socket.socket(fileno=descriptor)
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side has closed it
        finally:
            sock.detach()
        return True

    def _forget(self, descriptor: int) -> None:
        self._idle.discard(descriptor)
        self._connections.discard(descriptor)
        del self._events[descriptor]
        self._epoll.unregister(descriptor)


def _actions(events: int) -> int:
    actions = pycurl.CSELECT_IN if events & (select.EPOLLIN | select.EPOLLHUP) else 0
    actions |= pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0
    actions |= pycurl.CSELECT_ERR if events & select.EPOLLERR else 0
    return actions
