"""Kept connections between two requests: what comes in then was not asked for, and must not be taken for
the next answer.

Libcurl looks at a kept connection only where it was idle for a second. It closes one without a word, and its
number may come to stand for a file of another thread: the inode tells.
"""

import os
import select
import socket
import stat


class IdleSockets:
    """Owned by the wire's thread, in which alone libcurl closes sockets."""

    def __init__(self) -> None:
        self._poller = select.poll()
        self._idle: dict[int, int] = {}
        self._broken: dict[int, int] = {}
        self._passed_over: dict[int, int] = {}

    def add(self, descriptor: int) -> None:
        """The connection waits for its next request."""
        inode = _inode(descriptor)
        if inode and self._passed_over.get(descriptor) != inode:
            self._idle[descriptor] = inode
            self._poller.register(descriptor, select.POLLIN)

    def remove(self, descriptor: int) -> None:
        """The connection is used again, or the number for another one."""
        if self._idle.pop(descriptor, None) is not None:
            self._poller.unregister(descriptor)

    def pass_over(self, descriptor: int) -> None:
        """The other side may say something at any time, as in HTTP/2, and says what it is about."""
        self.remove(descriptor)
        self._passed_over[descriptor] = _inode(descriptor)

    def any_broken(self) -> bool:
        """Look at all that are idle. One that was closed or sent something cannot be written to any more."""
        for descriptor, _ in self._poller.poll(0) if self._idle else ():
            inode = self._idle[descriptor]
            self.remove(descriptor)
            if inode == _inode(descriptor):
                self._break(descriptor, inode)
        if self._broken:
            kept = {number: inode for number, inode in self._broken.items() if _inode(number) == inode}
            self._broken = kept
        return bool(self._broken)

    def _break(self, descriptor: int, inode: int) -> None:
        sock = socket.socket(fileno=descriptor)
        try:
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                self._broken[descriptor] = inode
                sock.shutdown(socket.SHUT_RDWR)
            else:
                self.pass_over(descriptor)  # one of libcurl's own
        except OSError:
            pass  # the other side has closed it
        finally:
            sock.detach()


def _inode(descriptor: int) -> int:
    """0 where there is no such socket."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return 0
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else 0
