"""Bodies of reports that need no disk."""

from collections.abc import Iterable
from itertools import count

from supervisor.journal.body_file import Place
from supervisor.journal.report_bodies import BodyFiles


class BodiesInMemory(BodyFiles):
    """As strict as the files: only what was flushed can be read, and only once is it released."""

    def __init__(self) -> None:
        self._starts = count()
        self._added: dict[Place, bytes] = {}
        self._flushed: dict[Place, bytes] = {}

    def keep(self, places: Iterable[Place]) -> None:
        assert not list(places)

    def add(self, body: bytes, *, sent_soon: bool = True) -> Place:
        place = Place(1, next(self._starts), len(body))
        self._added[place] = body
        return place

    def flush(self) -> None:
        self._flushed |= self._added
        self._added.clear()

    def read(self, place: Place) -> bytes:
        return self._flushed[place]

    def release(self, place: Place) -> None:
        del self._flushed[place]

    def sparse(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing is open."""
