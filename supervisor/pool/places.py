"""Room for units: how many more each worker may be given now."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Free:
    """A worker that may be given `room` more units beside the `held` ones that it has."""

    slot: int
    held: int
    room: int


class Places:
    """Handed out so that all workers hold about as many units.

    A suspect gets a worker that holds nothing and is given nothing else meanwhile: a death is then its own.
    `max_suspects` is how many more of them may run while other tasks wait.
    """

    def __init__(self, workers: Iterable[Free], max_suspects: int) -> None:
        self.max_suspects = max_suspects
        self._workers = [(free.held, free.slot, free.room) for free in workers]
        heapq.heapify(self._workers)
        self._count = sum(max(0, room) for _, _, room in self._workers)

    def __len__(self) -> int:
        """How many units may still be handed out."""
        return self._count

    @property
    def has_idle(self) -> bool:
        """Is there a worker that holds nothing?"""
        return bool(self._workers) and self._workers[0][0] == 0

    def take(self) -> int:
        """The slot of the worker that gets the next unit: one that holds fewest."""
        while True:
            held, slot, room = heapq.heappop(self._workers)
            if room > 0:
                break
        heapq.heappush(self._workers, (held + 1, slot, room - 1))
        self._count -= 1
        return slot

    def take_idle(self) -> int:
        """The slot of a worker that holds nothing. It gets nothing else."""
        _, slot, room = heapq.heappop(self._workers)
        self._count -= room
        return slot

    def let_one_empty(self) -> None:
        """Give nothing more to the worker that holds fewest, so that it comes to hold nothing."""
        if self._workers:
            self._count -= heapq.heappop(self._workers)[2]
