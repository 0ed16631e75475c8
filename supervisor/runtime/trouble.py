"""What keeps failing on the other side: in its words, at which address, since when and how often."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from shared.plain_text import one_line

MAX_DETAIL_CHARACTERS = 300

_ADVICE = re.compile(r"\bcheck ([A-Z][A-Z0-9]*(?:_+[A-Z0-9.-]*[A-Z0-9])+|(?:https?|all)_proxy)\b")


@dataclass(frozen=True, slots=True)
class Cause:
    """One failure: its kind, the words for it, and the setting to look at. No task's text is in it."""

    reason: str
    detail: str
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Failures of one kind of call since the last success. The words are those of the last one.

    `calls` says which calls to the service, where there are several kinds. Times are epoch seconds.
    """

    service: str
    calls: str
    reason: str
    detail: str
    address: str
    setting: str
    times: int
    since_seconds: float
    last_seconds: float


class TroubleRecord:
    """Remembers the trouble of one kind of call. Owned by the loop; `wall` gives epoch seconds."""

    def __init__(
        self, service: str, address: str = "", calls: str = "", wall: Callable[[], float] = time.time
    ) -> None:
        self._none = Trouble(service, calls, "", "", address, "", 0, 0.0, 0.0)
        self._last = self._none
        self._wall = wall

    @property
    def current(self) -> Trouble | None:
        """What has failed since the last success; None if nothing has."""
        return self._last if self._last.times else None

    @property
    def last(self) -> Trouble | None:
        """What failed last; None if nothing ever failed. Its `times` are 0 if a call has succeeded since."""
        return self._last if self._last.detail else None

    def failed(self, cause: Cause) -> None:
        """A call failed."""
        now = self._wall()
        detail = one_line(cause.detail, MAX_DETAIL_CHARACTERS) or cause.reason.replace("_", " ")
        advised = _ADVICE.search(detail)
        self._last = replace(
            self._last,
            reason=cause.reason,
            detail=detail,
            setting=advised[1] if advised else cause.setting,
            times=self._last.times + 1,
            since_seconds=self._last.since_seconds if self._last.times else now,
            last_seconds=now,
        )

    def succeeded(self) -> None:
        """A call was served."""
        if self._last.times:
            self._last = replace(self._last, times=0)

    def anew(self) -> "TroubleRecord":
        """A record of the same calls in which nothing has failed."""
        return TroubleRecord(self._none.service, self._none.address, self._none.calls, self._wall)

    def facts(self) -> dict[str, object]:
        """What is known, for a line of the log; empty if nothing has failed since the last success."""
        trouble = self.current
        if trouble is None:
            return {}
        facts = {
            "detail": trouble.detail,
            "address": trouble.address,
            "setting": trouble.setting,
            "times": trouble.times,
            "since": datetime.fromtimestamp(trouble.since_seconds, UTC).isoformat(timespec="seconds"),
        }
        return {name: fact for name, fact in facts.items() if fact != ""}


class Troubles:
    """A record for each of several of a kind, by name, made by `make` when it is first needed."""

    def __init__(self, make: Callable[[str], TroubleRecord]) -> None:
        self._make = make
        self._records: dict[str, TroubleRecord] = {}

    def failed(self, name: str, cause: Cause) -> None:
        self._records.setdefault(name, self._make(name)).failed(cause)

    def succeeded(self, name: str) -> None:
        self._records.pop(name, None)

    def __iter__(self) -> Iterator[TroubleRecord]:
        return iter(self._records.values())
