"""Remembers tasks for a while after they have left the journal."""

import sys
from collections import OrderedDict

MAX_ENTRIES = 100_000
MAX_BYTES = 32 * 2**20
BYTES_AN_ENTRY = 200
"""What a dictionary that keeps its order takes for one, beside the id."""
NEVER = float("-inf")


class RecentlyFinished:
    """When each task was settled, for so many seconds. Owned by the loop; times are monotonic.

    Where there are too many, or their ids are too long, the oldest are forgotten before their time.
    """

    def __init__(
        self, keep_seconds: float, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES
    ) -> None:
        self._keep_seconds = keep_seconds
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        # A dict that is emptied from the front gets slower with each entry: it looks for the first anew.
        self._settled_at: OrderedDict[str, float] = OrderedDict()
        self._size_bytes = 0
        self._forgot_until = NEVER

    def __len__(self) -> int:
        return len(self._settled_at)

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def note(self, task_id: str, now: float) -> None:
        if task_id in self._settled_at:
            self._settled_at.move_to_end(task_id)
        else:
            self._size_bytes += _weight(task_id)
        self._settled_at[task_id] = now
        while len(self) > self._max_entries or self._size_bytes > self._max_bytes:
            self._forgot_until = max(self._forgot_until, self._forget_oldest())
        while now - next(iter(self._settled_at.values()), now) > self._keep_seconds:
            self._forget_oldest()

    def settled_at(self, task_id: str, now: float) -> float | None:
        """When the task was settled, if that is not too long ago."""
        moment = self._settled_at.get(task_id)
        return moment if moment is not None and now - moment <= self._keep_seconds else None

    def is_complete_since(self, moment: float, now: float) -> bool:
        """Is every task known that was settled at `moment` or later?"""
        return now - moment <= self._keep_seconds and moment > self._forgot_until

    def _forget_oldest(self) -> float:
        task_id, moment = self._settled_at.popitem(last=False)
        self._size_bytes -= _weight(task_id)
        return moment


def _weight(task_id: str) -> int:
    return sys.getsizeof(task_id) + BYTES_AN_ENTRY
