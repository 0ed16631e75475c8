"""One file of bodies of reports at a time, open to read or to write."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILE_MODE = 0o600
BODIES_A_WRITE = 1000
"""Source: IOV_MAX of Linux is 1,024."""
READ = os.O_RDONLY
WRITE = os.O_WRONLY


@dataclass(frozen=True, slots=True)
class Place:
    """Where a body is: in which file, from which byte on, how many."""

    file: int
    start: int
    length: int


class BodyFile:
    """Stays open until another file is asked for: bodies read or written in turn are mostly neighbours.

    Everything here raises OSError.
    """

    def __init__(self, directory: Path, flags: int) -> None:
        """`flags` is READ or WRITE."""
        self._directory = directory
        self._flags = flags
        self._number: int | None = None
        self._descriptor = -1

    def read(self, place: Place) -> bytes:
        """The body at `place`."""
        body = os.pread(self._open(place.file), place.length, place.start)
        if len(body) < place.length:
            raise cut_off(body_path(self._directory, place.file))
        return body

    def write(self, number: int, start: int, bodies: Sequence[bytes]) -> None:
        """Write and sync `bodies`, one after the other. What failed half-way can simply be repeated."""
        descriptor = self._open(number)
        for first in range(0, len(bodies), BODIES_A_WRITE):
            some = bodies[first : first + BODIES_A_WRITE]
            size = sum(map(len, some))
            if os.pwritev(descriptor, some, start) < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            start += size
        os.fdatasync(descriptor)

    def let_go(self, number: int) -> None:
        """The file was removed: an open one would keep its room on the disk."""
        if number == self._number:
            self.close()

    def close(self) -> None:
        if self._number is not None:
            os.close(self._descriptor)
            self._number = None

    def _open(self, number: int) -> int:
        if number != self._number:
            self.close()
            if self._flags == WRITE:
                _make(self._directory, number)
            self._descriptor = os.open(body_path(self._directory, number), self._flags)
            self._number = number
        return self._descriptor


def body_path(directory: Path, number: int) -> Path:
    return directory / f"{number:08}"


def cut_off(path: Path) -> OSError:
    return OSError(errno.EIO, "the file is cut off", str(path))


def _make(directory: Path, number: int) -> None:
    """Lasting: the file's name is synced as well."""
    os.close(os.open(body_path(directory, number), os.O_WRONLY | os.O_CREAT, FILE_MODE))
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
