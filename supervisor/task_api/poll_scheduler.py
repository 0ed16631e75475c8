"""When to poll, and how much to ask for."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from shared.logs import LogEvent, get_logger
from shared.settings import ClaimMode, Settings
from supervisor.runtime.learned_limit import LearnedLimit
from supervisor.task_api.responses import PollAnswer, PollRequest

UNITS_AHEAD = 4
CLAIMED_UNITS_AHEAD = 2
"""Of tasks that no other replica can take."""
MIN_CAPACITY = 100
MAX_TASKS_ASKED = 100_000
MAX_AHEAD = 10_000
MAX_AHEAD_BYTES = 32 * 2**20
MAX_PAGE_BYTES = 72 * 2**20
"""The limit is chosen so that the page stays below this: a much larger page is refused unread."""
SMALLER_LIMIT_SECONDS = 0.2
FIRST_LONGER_POLL_SECONDS = 600.0
MAX_LONGER_POLL_PAUSE_SECONDS = 3600.0
SECONDS_AN_ITEM = 1e-4
"""Ten times what it takes to read one, so that reading long pages takes a tenth of a core."""

log = get_logger("poll_scheduler")


@dataclass(frozen=True, slots=True)
class Load:
    """How much the service has in hand."""

    waiting: int = 0
    """Tasks that wait to run."""
    waiting_bytes: int = 0
    owed: int = 0
    """Reports that the API has not accepted yet."""
    known: int = 0
    """All tasks in the journal: the API lists them until they are reported."""


class PollScheduler:
    """Polls often while work arrives, seldom while none does. Owned by the loop; `clock` is monotonic.

    After a poll that found work the next follows in `min_seconds`, or at once if the page was full and there
    is room. After polls that found nothing new the wait doubles up to `max_seconds`, and so it does after
    polls that failed, beginning anew with the first failure.

    In a long poll the API waits with its answer until there is work, up to `max_long_poll_seconds`. Tasks in
    the journal are pending to the API and would end a long poll at once, so it goes out when there are none.
    """

    def __init__(
        self,
        max_seconds: float,
        min_seconds: float,
        capacity: int,
        clock: Callable[[], float],
        max_long_poll_seconds: float = 0.0,
    ) -> None:
        self._max_seconds = max_seconds
        self._min_seconds = min_seconds
        self.capacity = capacity
        """How many tasks may wait to run, while no more reports are owed."""
        self._clock = clock
        self._wait_seconds = min_seconds
        self._failing = False
        self.next_at = clock()
        self._more_waits = False
        self.polling = False
        self._woken = False
        self._ends_at_once = False
        self._bytes_an_item = 0.0
        """Of the last page; 0 while none was seen."""
        self._max_long_poll_seconds = max_long_poll_seconds
        self._api_long_polls = max_long_poll_seconds > 0
        self.learned_limit = LearnedLimit(clock)
        self._learned_long_poll = LearnedLimit(
            clock, FIRST_LONGER_POLL_SECONDS, MAX_LONGER_POLL_PAUSE_SECONDS, smallest=0
        )
        self._told_limit = 0
        self._request = PollRequest(0)
        self._wanted = 0
        self._known_when_asked = 0

    @classmethod
    def from_settings(cls, settings: Settings, clock: Callable[[], float]) -> "PollScheduler":
        tasks_at_once = settings.concurrency_limit * settings.batch_max_tasks
        ahead = max(MIN_CAPACITY, UNITS_AHEAD * tasks_at_once)
        return cls(
            settings.polling_interval_seconds,
            settings.min_poll_seconds,
            CLAIMED_UNITS_AHEAD * tasks_at_once if settings.claims is ClaimMode.BATCH else ahead,
            clock,
            settings.poll_wait_seconds,
        )

    @property
    def long_poll_seconds(self) -> float:
        """How long the API may wait with its answer to the next poll."""
        return min(
            self._max_long_poll_seconds, self._learned_long_poll.limit(math.ceil(self._max_long_poll_seconds))
        )

    @property
    def learned_wait_seconds(self) -> float | None:
        """The longest poll that is not cut off on the way; None where none was."""
        learned = self._learned_long_poll
        return None if learned.fails_from is None else min(self._max_long_poll_seconds, learned.works_up_to)

    def limit(self, wanted: int) -> int:
        """How many of the `wanted` tasks to ask for."""
        if self._bytes_an_item:
            wanted = min(wanted, int(MAX_PAGE_BYTES / self._bytes_an_item))
        return self.learned_limit.limit(wanted)

    def learn_item_size(self, answer: PollAnswer) -> None:
        """A page came: learn how large its items are."""
        if answer.page.items:
            self._bytes_an_item = max(1.0, answer.page_bytes / answer.page.items)

    def room(self, load: Load) -> int:
        """How many more tasks may be taken."""
        bytes_an_item = self._bytes_an_item or MAX_AHEAD_BYTES / self.capacity
        by_bytes = math.ceil((MAX_AHEAD_BYTES - load.waiting_bytes) / bytes_an_item)
        return max(0, min(self._depth(load.owed) - load.waiting, by_bytes))

    def due_at(self, load: Load, *, probe: bool = False) -> float | None:
        """When to poll for tasks; None while a poll is under way or there is no room.

        A `probe` is due at once: the breaker has waited.
        """
        if self.polling or not self.room(load):
            return None
        # Half empty, so that a poll brings enough new tasks for those that it lists again.
        few = load.waiting <= self._depth(load.owed) // 2 and load.waiting_bytes <= MAX_AHEAD_BYTES // 2
        refill = self._more_waits and few and not self._fills_page(load.known)
        at_once = probe or refill or (self._api_long_polls and not load.known)
        return self._clock() if at_once else self.next_at

    def due(self, load: Load, *, probe: bool = False) -> bool:
        """Is it time to poll for tasks?"""
        due_at = self.due_at(load, probe=probe)
        return due_at is not None and self._clock() >= due_at

    def poll_now(self) -> None:
        """There may be new tasks: poll now, and again after a poll that is under way, which may miss them."""
        self.next_at = self._clock()
        self._woken = self.polling

    def started(self, known: int, request: PollRequest, wanted: int) -> None:
        """A poll goes out while so many tasks are in the journal, and so many are wanted."""
        self._request, self._wanted, self._known_when_asked = request, wanted, known
        self.learned_limit.began(request.limit)
        self._learned_long_poll.began(math.ceil(request.wait_seconds))
        self.polling = True
        self._ends_at_once = known > 0
        self._more_waits = False

    def found(self, new: int, *, full: bool, answer: PollAnswer) -> None:
        """A poll brought `new` tasks not seen before; `full` if the API may have more."""
        self.polling = self._failing = False
        self.learned_limit.worked(self._request.limit)
        self._tell_limit()
        self._learn_long_polling(new, answer.took_seconds)
        # A page full of tasks of others, or of tasks left alone, is the same when it is asked for again.
        self._more_waits = full and (new > 0 or self._fills_page(self._known_when_asked))
        if new:
            self._wait_seconds = self._min_seconds
            self.next_at = self._clock() + self._min_seconds
        else:
            self._slow_down()
        self.next_at = max(self.next_at, self._clock() + answer.page.items * SECONDS_AN_ITEM)
        self._poll_again_if_woken()

    def failed(self, retry_after_seconds: float | None) -> None:
        """A poll brought no page."""
        self.learned_limit.undecided()
        self._learned_long_poll.undecided()
        self.polling = False
        self._api_long_polls = False
        self._woken = False
        if not self._failing:
            self._failing = True
            self._wait_seconds = self._min_seconds
        self._slow_down()
        if retry_after_seconds is not None:
            self.next_at = self._clock() + max(retry_after_seconds, self._min_seconds)

    def too_much(self, retry_after_seconds: float | None) -> None:
        """The API could not serve so large a limit: ask for less, and soon."""
        self.learned_limit.failed(self._request.limit)
        self._tell_limit()
        self._learned_long_poll.undecided()
        self.polling = False
        wait_seconds = SMALLER_LIMIT_SECONDS if retry_after_seconds is None else retry_after_seconds
        self.next_at = self._clock() + max(wait_seconds, SMALLER_LIMIT_SECONDS)

    def cut_off(self, took_seconds: float) -> None:
        """A gateway ended the poll before its wait: ask for a shorter one."""
        self.learned_limit.undecided()
        self._learned_long_poll.failed(math.ceil(min(took_seconds, self._request.wait_seconds)))
        self.polling = False
        self._api_long_polls = self.long_poll_seconds > 0
        self.next_at = self._clock() + self._min_seconds
        self._poll_again_if_woken()

    def _fills_page(self, known: int) -> bool:
        """Was the limit cut, and do tasks of the journal take more than half of the page?"""
        limit = self._request.limit
        return limit < self._wanted and known > limit // 2

    def _tell_limit(self) -> None:
        works_up_to = self.learned_limit.works_up_to
        if self.learned_limit.found and works_up_to not in (0, self._told_limit):
            self._told_limit = works_up_to
            log.warning(LogEvent.POLL_LIMIT_LEARNED, limit=works_up_to)

    def _depth(self, owed: int) -> int:
        """How many tasks may wait to run, if they are small.

        A page lists tasks whose report is owed before new ones. To take as many new tasks as are owed keeps
        the cost of a task from growing with what is owed.
        """
        return max(self.capacity, min(owed, MAX_AHEAD))

    def _slow_down(self) -> None:
        self.next_at = self._clock() + self._wait_seconds
        self._wait_seconds = min(self._wait_seconds * 2, self._max_seconds)

    def _learn_long_polling(self, new: int, took_seconds: float) -> None:
        asked_seconds = self._request.wait_seconds
        waited = asked_seconds > 0 and took_seconds >= asked_seconds / 2
        if waited:
            self._learned_long_poll.worked(math.ceil(asked_seconds))
        else:
            self._learned_long_poll.undecided()
        if waited or not (new or self._ends_at_once):
            self._api_long_polls = waited

    def _poll_again_if_woken(self) -> None:
        if self._woken:
            self._woken = False
            self.next_at = self._clock()
