"""When to poll, and how much to ask for."""

import math
from collections.abc import Callable

from shared.logs import LogEvent, get_logger
from supervisor.runtime.learned_limit import LearnedLimit
from supervisor.task_api.responses import Listed, PollRequest

MAX_AHEAD = 10_000
MAX_AHEAD_BYTES = 32 * 2**20
MAX_PAGE_BYTES = 72 * 2**20
"""A page is asked for that should stay below this: what is much larger is refused unread."""
SMALLER_LIMIT_SECONDS = 0.2
FIRST_LONGER_HOLD_SECONDS = 600.0
MAX_HOLD_PAUSE_SECONDS = 3600.0
SECONDS_AN_ITEM = 1e-4
"""Ten times what it takes to read one: looking for new tasks in long pages takes a tenth of a core."""

log = get_logger("poll_scheduler")


class TaskScheduler:
    """Polls often while work arrives, seldom while none does. Owned by the loop; `clock` is monotonic.

    After a poll that found work, the next follows `min_seconds` later, or at once if the page was
    full and there is room. After one that found nothing new the wait doubles up to `max_seconds`;
    after one that failed too, beginning anew with the first failure.

    With `held_seconds` the API may hold a poll that long until there is work. What we hold ourselves is
    pending to the API and would end such a poll at once, so the next goes out when nothing is held.
    """

    def __init__(
        self,
        max_seconds: float,
        min_seconds: float,
        capacity: int,
        clock: Callable[[], float],
        held_seconds: float = 0.0,
    ) -> None:
        self._max_seconds = max_seconds
        self._min_seconds = min_seconds
        self._capacity = capacity
        self._clock = clock
        self._wait_seconds = min_seconds
        self._failing = False
        self._next_at = clock()
        self._more_waits = False
        self._polling = False
        self._rung = False
        self._ends_at_once = False
        self._bytes_an_item = 0.0
        """Of the last page; 0 while none was seen."""
        self._held_seconds = held_seconds
        self._api_holds_polls = held_seconds > 0
        self._learned_limit = LearnedLimit(clock)
        self._learned_hold = LearnedLimit(
            clock, FIRST_LONGER_HOLD_SECONDS, MAX_HOLD_PAUSE_SECONDS, smallest=0
        )
        self._told_limit = 0
        self._request = PollRequest(0)
        self._wanted = 0
        self._held_when_asked = 0

    @property
    def polling(self) -> bool:
        """A poll is under way."""
        return self._polling

    @property
    def next_at(self) -> float:
        """The monotonic time of the next poll, if nothing hastens or hinders it."""
        return self._next_at

    @property
    def hold_seconds(self) -> float:
        """How long the API may hold the next poll."""
        return min(self._held_seconds, self._learned_hold.limit(math.ceil(self._held_seconds)))

    @property
    def learned_wait_seconds(self) -> float | None:
        """How long a poll is held at most by what stands between us and the API; None if it has not shown."""
        learned = self._learned_hold
        return None if learned.fails_from is None else min(self._held_seconds, learned.works_up_to)

    @property
    def learned_limit(self) -> LearnedLimit:
        """How many tasks the API takes as a limit."""
        return self._learned_limit

    def limit(self, wanted: int) -> int:
        """How much of `wanted` the API is to be asked for."""
        if self._bytes_an_item:
            wanted = min(wanted, int(MAX_PAGE_BYTES / self._bytes_an_item))
        return self._learned_limit.limit(wanted)

    def weigh(self, listed: Listed) -> None:
        """A page came: what an item of it weighs."""
        if listed.items:
            self._bytes_an_item = max(1.0, listed.page_bytes / listed.items)

    def room(self, backlog: int, owed: int, backlog_bytes: int = 0) -> int:
        """How many more tasks the backlog may take while so many reports are owed."""
        bytes_an_item = self._bytes_an_item or MAX_AHEAD_BYTES / self._capacity
        by_bytes = math.ceil((MAX_AHEAD_BYTES - backlog_bytes) / bytes_an_item)
        return max(0, min(self._depth(owed) - backlog, by_bytes))

    def due(self, backlog: int, owed: int, held: int, *, backlog_bytes: int = 0, probe: bool = False) -> bool:
        """Is it time to poll, with so many tasks waiting to run, so many to report, so many held in all?

        A `probe` waits for nothing: the breaker has waited.
        """
        if self._polling or not self.room(backlog, owed, backlog_bytes):
            return False
        # Half empty, so that each poll brings enough to be worth listing again what is still held.
        half_empty = backlog <= self._depth(owed) // 2 and backlog_bytes <= MAX_AHEAD_BYTES // 2
        refill = self._more_waits and half_empty and not self._fills_page(held)
        return probe or refill or (self._api_holds_polls and not held) or self._clock() >= self._next_at

    def due_at(self, backlog: int, owed: int, *, backlog_bytes: int = 0, probe: bool = False) -> float | None:
        """When `due` turns true by itself; None while a poll is under way or there is no room."""
        if self._polling or not self.room(backlog, owed, backlog_bytes):
            return None
        return self._clock() if probe else self._next_at

    def hasten(self) -> None:
        """The wake_endpoint rang: poll now, or again if the poll under way may be too old to see why."""
        self._next_at = self._clock()
        self._rung = self._polling

    def started(self, held: int, request: PollRequest, wanted: int) -> None:
        """A poll goes out while so many tasks are held, and so many are wanted."""
        self._request, self._wanted, self._held_when_asked = request, wanted, held
        self._learned_limit.began(request.limit)
        self._learned_hold.began(math.ceil(request.wait_seconds))
        self._polling = True
        self._ends_at_once = held > 0
        self._more_waits = False

    def found(self, new: int, *, full: bool, listed: Listed) -> None:
        """A poll brought `new` tasks not seen before; `full` if the API may have more."""
        self._polling = self._failing = False
        self._learned_limit.worked(self._request.limit)
        self._tell_limit()
        self._learn_holding(new, listed.took_seconds)
        # A page that others' tasks fill, or those that are left, is the same when it is asked for again.
        self._more_waits = full and (new > 0 or self._fills_page(self._held_when_asked))
        if new:
            self._wait_seconds = self._min_seconds
            self._next_at = self._clock() + self._min_seconds
        else:
            self._slow_down()
        self._next_at = max(self._next_at, self._clock() + listed.items * SECONDS_AN_ITEM)
        self._answer_bell()

    def failed(self, retry_after_seconds: float | None) -> None:
        """A poll brought nothing but trouble."""
        self._learned_limit.undecided()
        self._learned_hold.undecided()
        self._polling = False
        self._api_holds_polls = False
        self._rung = False
        if not self._failing:
            self._failing = True
            self._wait_seconds = self._min_seconds
        self._slow_down()
        if retry_after_seconds is not None:
            self._next_at = self._clock() + max(retry_after_seconds, self._min_seconds)

    def too_much(self, retry_after_seconds: float | None) -> None:
        """The API could not serve so large a limit: ask for less, and soon."""
        self._learned_limit.failed(self._request.limit)
        self._tell_limit()
        self._learned_hold.undecided()
        self._polling = False
        wait_seconds = SMALLER_LIMIT_SECONDS if retry_after_seconds is None else retry_after_seconds
        self._next_at = self._clock() + max(wait_seconds, SMALLER_LIMIT_SECONDS)

    def cut_off(self, took_seconds: float) -> None:
        """Something between us and the API would not hold the poll for so long: ask for a shorter wait."""
        self._learned_limit.undecided()
        self._learned_hold.failed(math.ceil(min(took_seconds, self._request.wait_seconds)))
        self._polling = False
        self._api_holds_polls = self.hold_seconds > 0
        self._next_at = self._clock() + self._min_seconds
        self._answer_bell()

    def _fills_page(self, held: int) -> bool:
        """Do so many tasks that are held leave little room for others in a page whose limit was cut?"""
        limit = self._request.limit
        return limit < self._wanted and held > limit // 2

    def _tell_limit(self) -> None:
        works_up_to = self._learned_limit.works_up_to
        if self._learned_limit.found and works_up_to not in (0, self._told_limit):
            self._told_limit = works_up_to
            log.warning(LogEvent.POLL_LIMIT_LEARNED, limit=works_up_to)

    def _depth(self, owed: int) -> int:
        """How many tasks may wait to run, if they are small.

        A page lists what is owed before it comes to what is new. To take as much anew as is listed again
        keeps the cost of a task from growing with what is owed.
        """
        return max(self._capacity, min(owed, MAX_AHEAD))

    def _slow_down(self) -> None:
        self._next_at = self._clock() + self._wait_seconds
        self._wait_seconds = min(self._wait_seconds * 2, self._max_seconds)

    def _learn_holding(self, new: int, took_seconds: float) -> None:
        asked_seconds = self._request.wait_seconds
        held = asked_seconds > 0 and took_seconds >= asked_seconds / 2
        if held:
            self._learned_hold.worked(math.ceil(asked_seconds))
        else:
            self._learned_hold.undecided()
        if held or not (new or self._ends_at_once):
            self._api_holds_polls = held

    def _answer_bell(self) -> None:
        if self._rung:
            self._rung = False
            self._next_at = self._clock()
