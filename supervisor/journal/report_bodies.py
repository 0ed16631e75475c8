"""The bodies of reports on disk: appended to files, each of which is removed with the last of its bodies.

A body of 20 KB in a row of the journal's table would be copied into the write-ahead log page by page, and
its pages freed again: more than twice the CPU of appending it here.
"""

import contextlib
import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from supervisor.journal.state_directory import FILE_MODE, sync_directory

FILE_BYTES = 32 * 2**20
"""A file that has grown to this takes no further body."""
MAX_RECENT_BYTES = 16 * 2**20
YOUNG_FILES = 4
"""The last few files are likely to be removed soon without help."""
SPARSE_BYTES = FILE_BYTES // 16
"""So little that moving it costs next to nothing, even if it is released right after."""
BODIES_A_WRITE = 1000
"""Source: IOV_MAX of Linux is 1,024."""
READ = os.O_RDONLY
WRITE = os.O_WRONLY


@dataclass(frozen=True, slots=True)
class BodyLocation:
    """Where a body is: in which file, from which byte on, how many."""

    file: int
    start: int
    length: int


class BodyFile:
    """One open file at a time: bodies read or written in turn are mostly neighbours. All raise OSError."""

    def __init__(self, directory: Path, flags: int) -> None:
        """`flags` is READ or WRITE."""
        self._directory = directory
        self._flags = flags
        self._number: int | None = None
        self._descriptor = -1

    def read(self, location: BodyLocation) -> bytes:
        """The body at `location`."""
        body = os.pread(self._open(location.file), location.length, location.start)
        if len(body) < location.length:
            raise _cut_off(body_path(self._directory, location.file))
        return body

    def write(self, number: int, start: int, bodies: Sequence[bytes]) -> None:
        """Write and sync `bodies`, one after the other. After an error the same call can be repeated."""
        descriptor = self._open(number)
        for first in range(0, len(bodies), BODIES_A_WRITE):
            some = bodies[first : first + BODIES_A_WRITE]
            size = sum(map(len, some))
            if os.pwritev(descriptor, some, start) < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            start += size
        os.fdatasync(descriptor)

    def close(self, number: int | None = None) -> None:
        """Close the open file; with a `number`, only if it is that one. An open file keeps its disk space."""
        if self._number is not None and number in (None, self._number):
            os.close(self._descriptor)
            self._number = None

    def _open(self, number: int) -> int:
        if number != self._number:
            self.close()
            path = body_path(self._directory, number)
            if self._flags == WRITE:
                os.close(os.open(path, WRITE | os.O_CREAT, FILE_MODE))
                sync_directory(self._directory)
            self._descriptor = os.open(path, self._flags)
            self._number = number
        return self._descriptor


class BodyFiles:
    """Owned by the journal, which keeps the locations. Each process begins a file of its own.

    A body that was just added is read from memory, up to 16 MB of them, and once: most reports are accepted
    at the first attempt.
    """

    def __init__(self, directory: Path) -> None:
        """`directory` exists. Call `keep` first."""
        self._directory = directory
        self._number = 0
        self._size = 0
        self._writing = BodyFile(directory, WRITE)
        self._reading = BodyFile(directory, READ)
        self._kept_bytes: dict[int, int] = {}
        self._unreadable: set[int] = set()
        self._unwritten: dict[BodyLocation, bytes] = {}
        self._recent: dict[BodyLocation, bytes] = {}
        self._recent_bytes = 0

    def keep(self, locations: Iterable[BodyLocation]) -> None:
        """Take over what an earlier process left, and remove files in which nothing is left.

        Raises OSError where a file is missing or too short.
        """
        ends: dict[int, int] = {}
        for location in locations:
            self._keep(location)
            ends[location.file] = max(ends.get(location.file, 0), location.start + location.length)
        for number, end in ends.items():
            path = body_path(self._directory, number)
            if path.stat().st_size < end:
                raise _cut_off(path)
        for number in [int(path.name) for path in self._directory.iterdir() if path.name.isdecimal()]:
            self._number = max(self._number, number)
            if number not in self._kept_bytes:
                body_path(self._directory, number).unlink()
        self._number += 1

    def add(self, body: bytes, *, sent_soon: bool = True) -> BodyLocation:
        """Where `body`, which is not empty, will be once `flush` has returned."""
        if self._size >= FILE_BYTES:
            self._number += 1
            self._size = 0
            self._remove_if_empty(self._number - 1)
        location = BodyLocation(self._number, self._size, len(body))
        self._size += len(body)
        self._keep(location)
        self._unwritten[location] = body
        if sent_soon and self._recent_bytes < MAX_RECENT_BYTES:
            self._recent[location] = body
            self._recent_bytes += len(body)
        return location

    def flush(self) -> None:
        """Write and sync what was added. Raises OSError, with all kept for the next call."""
        for number, added in groupby(self._unwritten, key=lambda location: location.file):
            locations = list(added)
            self._writing.write(number, locations[0].start, [self._unwritten[each] for each in locations])
        self._unwritten.clear()

    def read(self, location: BodyLocation) -> bytes:
        """The body: from memory if it is recent or not yet flushed. Raises OSError."""
        recent = self._forget_recent(location)
        kept = self._unwritten.get(location) if recent is None else recent
        return self._reading.read(location) if kept is None else kept

    def release(self, location: BodyLocation) -> None:
        """The body is needed no more. Call once no row on disk refers to it."""
        self._forget_recent(location)
        self._kept_bytes[location.file] -= location.length
        if location.file != self._number:
            self._remove_if_empty(location.file)

    def sparse(self) -> int | None:
        """A file of some age that a few bodies keep on the disk; None if there is none."""
        for number, kept_bytes in self._kept_bytes.items():
            old = number < self._number - YOUNG_FILES
            if old and kept_bytes <= SPARSE_BYTES and number not in self._unreadable:
                return number
        return None

    def leave(self, number: int) -> None:
        """The file cannot be read: do not call it sparse again."""
        self._unreadable.add(number)

    def close(self) -> None:
        self._writing.close()
        self._reading.close()

    def _keep(self, location: BodyLocation) -> None:
        self._kept_bytes[location.file] = self._kept_bytes.get(location.file, 0) + location.length

    def _forget_recent(self, location: BodyLocation) -> bytes | None:
        recent = self._recent.pop(location, None)
        self._recent_bytes -= len(recent or b"")
        return recent

    def _remove_if_empty(self, number: int) -> None:
        if not self._kept_bytes[number]:
            del self._kept_bytes[number]
            # What cannot be removed now is removed at the next start.
            with contextlib.suppress(OSError):
                body_path(self._directory, number).unlink()
            self._reading.close(number)
            self._writing.close(number)


def body_path(directory: Path, number: int) -> Path:
    return directory / f"{number:08}"


def _cut_off(path: Path) -> OSError:
    return OSError(errno.EIO, "the file is cut off", str(path))
