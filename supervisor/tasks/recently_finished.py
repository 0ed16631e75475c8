"""Remembers tasks for a while after they have left the journal."""

import itertools


class Recollection:
    """When each task was settled, for so many seconds. Owned by the loop; times are monotonic."""

    def __init__(self, keep_seconds: float) -> None:
        self._keep_seconds = keep_seconds
        self._settled_at: dict[str, float] = {}

    def note(self, task_id: str, now: float) -> None:
        self._settled_at.pop(task_id, None)
        self._settled_at[task_id] = now
        # The oldest stand first. Two go for each that comes, so that what is too old is soon gone.
        for old in list(itertools.islice(self._settled_at, 2)):
            if self._settled_at[old] < now - self._keep_seconds:
                del self._settled_at[old]

    def settled_at(self, task_id: str, now: float) -> float | None:
        """When the task was settled, if that is not too long ago."""
        moment = self._settled_at.get(task_id)
        return moment if moment is not None and now - moment <= self._keep_seconds else None
