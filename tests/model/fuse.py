"""A sudden end of the supervisor at a chosen place between two of its steps."""

from enum import StrEnum


class Place(StrEnum):
    """Where the supervisor can die, in a turn of its loop."""

    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"
    BEFORE_DISPATCH = "before_dispatch"
    AFTER_DISPATCH = "after_dispatch"
    BEFORE_REPORT = "before_report"
    AFTER_REPORT = "after_report"
    BEFORE_CLAIM = "before_claim"
    AFTER_CLAIM = "after_claim"
    BEFORE_POLL = "before_poll"


class SuddenEndError(BaseException):
    """kill -9, as far as one thread can show it: nothing that the supervisor does may catch this."""


class Fuse:
    """Set it to a place, and how often that is to be passed before it blows."""

    def __init__(self) -> None:
        self._place: Place | None = None
        self._passes = 0

    def set(self, place: Place, passes: int) -> None:
        self._place, self._passes = place, passes

    def remove(self) -> None:
        self._place = None

    def pass_by(self, place: Place) -> None:
        """Raises SuddenEndError if this is the place and the time."""
        if place is not self._place:
            return
        if self._passes == 0:
            self._place = None
            raise SuddenEndError(place)
        self._passes -= 1
