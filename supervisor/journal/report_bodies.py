"""The bodies of reports on disk: appended to files, each of which goes when all its bodies are settled.

A body of 20 KB in a row of the journal's table would be copied into the write-ahead log page by page, and
its pages freed again: more than twice the CPU of appending it here.
"""

import contextlib
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from supervisor.journal.body_file import READ, WRITE, BodyFile, Place, body_path, cut_off

BODIES_DIRECTORY = "bodies"
FILE_BYTES = 32 * 2**20
"""A file that has grown to this takes no further body."""
MAX_RECENT_BYTES = 16 * 2**20
SETTLING_FILES = 4
"""What is in the last few files is likely to be settled soon by itself."""
SPARSE_BYTES = FILE_BYTES // 16
"""So little that moving it costs next to nothing, even if all of the file was about to be settled."""


class BodyFiles:
    """Owned by the journal, which keeps the places. Each process begins a file of its own.

    A body that was just added is read from memory, up to 16 MB of them, and once: it is for the first
    report, which most often is the last.
    """

    def __init__(self, directory: Path) -> None:
        """`directory` exists. Call `keep` first."""
        self._directory = directory
        self._number = 0
        self._size = 0
        self._writing = BodyFile(directory, WRITE)
        self._reading = BodyFile(directory, READ)
        self._held_bytes: dict[int, int] = {}
        self._unreadable: set[int] = set()
        self._unwritten: dict[Place, bytes] = {}
        self._recent: dict[Place, bytes] = {}
        self._recent_bytes = 0

    def keep(self, places: Iterable[Place]) -> None:
        """Take over what an earlier process left at `places`, and remove files that have nothing there.

        Raises OSError where a file is missing or too short.
        """
        ends: dict[int, int] = {}
        for place in places:
            self._hold(place)
            ends[place.file] = max(ends.get(place.file, 0), place.start + place.length)
        for number, end in ends.items():
            path = body_path(self._directory, number)
            if path.stat().st_size < end:
                raise cut_off(path)
        for number in list(self._numbers()):
            self._number = max(self._number, number)
            if number not in self._held_bytes:
                body_path(self._directory, number).unlink()
        self._number += 1

    def add(self, body: bytes, *, sent_soon: bool = True) -> Place:
        """Where `body`, which is not empty, will be once `flush` has returned."""
        if self._size >= FILE_BYTES:
            self._number += 1
            self._size = 0
            self._remove_if_settled(self._number - 1)
        place = Place(self._number, self._size, len(body))
        self._size += len(body)
        self._hold(place)
        self._unwritten[place] = body
        if sent_soon and self._recent_bytes < MAX_RECENT_BYTES:
            self._recent[place] = body
            self._recent_bytes += len(body)
        return place

    def flush(self) -> None:
        """Write and sync what was added. Raises OSError, with all kept for the next call."""
        for number, added in groupby(self._unwritten, key=lambda place: place.file):
            places = list(added)
            self._writing.write(number, places[0].start, [self._unwritten[place] for place in places])
        self._unwritten.clear()

    def read(self, place: Place) -> bytes:
        """The body at `place`: from memory if it is recent or not yet flushed. Raises OSError."""
        recent = self._forget_recent(place)
        kept = self._unwritten.get(place) if recent is None else recent
        return self._reading.read(place) if kept is None else kept

    def release(self, place: Place) -> None:
        """Nobody will read the body again: nothing on disk may refer to it any more."""
        self._forget_recent(place)
        self._held_bytes[place.file] -= place.length
        if place.file != self._number:
            self._remove_if_settled(place.file)

    def sparse(self) -> int | None:
        """A file of some age that a few bodies keep on the disk; None if there is none."""
        old = (number for number in self._held_bytes if number < self._number - SETTLING_FILES)
        return next((number for number in old if self._is_sparse(number)), None)

    def leave(self, number: int) -> None:
        """The file cannot be read: it is not to be called sparse again."""
        self._unreadable.add(number)

    def close(self) -> None:
        self._writing.close()
        self._reading.close()

    def _is_sparse(self, number: int) -> bool:
        return self._held_bytes[number] <= SPARSE_BYTES and number not in self._unreadable

    def _hold(self, place: Place) -> None:
        self._held_bytes[place.file] = self._held_bytes.get(place.file, 0) + place.length

    def _forget_recent(self, place: Place) -> bytes | None:
        recent = self._recent.pop(place, None)
        self._recent_bytes -= len(recent or b"")
        return recent

    def _remove_if_settled(self, number: int) -> None:
        if not self._held_bytes[number]:
            del self._held_bytes[number]
            # What cannot be removed now is removed at the next start.
            with contextlib.suppress(OSError):
                body_path(self._directory, number).unlink()
            self._reading.let_go(number)
            self._writing.let_go(number)

    def _numbers(self) -> Iterator[int]:
        return (int(path.name) for path in self._directory.iterdir() if path.name.isdecimal())
