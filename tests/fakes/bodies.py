"""Bodies of reports that need no disk."""

from collections.abc import Iterable
from itertools import count

from supervisor.journal.report_bodies import BodyFiles, BodyLocation


class BodiesInMemory(BodyFiles):
    """As strict as the files: only what was flushed can be read, and only once is it released."""

    def __init__(self) -> None:
        self._starts = count()
        self._added: dict[BodyLocation, bytes] = {}
        self._flushed: dict[BodyLocation, bytes] = {}

    def keep(self, locations: Iterable[BodyLocation]) -> None:
        assert not list(locations)

    def add(self, body: bytes, *, sent_soon: bool = True) -> BodyLocation:
        location = BodyLocation(1, next(self._starts), len(body))
        self._added[location] = body
        return location

    def flush(self) -> None:
        self._flushed |= self._added
        self._added.clear()

    def read(self, location: BodyLocation) -> bytes:
        return self._flushed[location]

    def release(self, location: BodyLocation) -> None:
        del self._flushed[location]

    def sparse(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing is open."""
