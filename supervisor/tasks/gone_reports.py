"""Reports answered as if their task were gone: the next page of pending tasks decides about them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from supervisor.task_api.responses import PollAnswer, ReportAnswer, ReportOutcome

CONFLICT = 409
MAX_LISTED = 3
FIRST_POLL_WAIT_SECONDS = 0.5
MAX_POLL_WAIT_SECONDS = 30.0
SEND_AGAIN_SECONDS = 2.0
MAX_UNDECIDED_PAGES = 5
STILL_LISTED = "yet the task API lists the task as pending"
NO_COMPLETE_PAGE = "and every page of the task API is as long as its longest, so it may leave tasks out"
MIN_CAP = 10
MIN_LIMIT = 100
MAX_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A report is to be sent again after a wait; without one, it ends with `answer`."""

    task_id: str
    answer: ReportAnswer
    send_again_seconds: float | None = None


class GoneReports:
    """Reports that wait for a page. Owned by the loop; `clock` is monotonic.

    A gateway may answer in the API's place, so a 404 to a report says little. A page that was asked for after
    it decides. If the page lists the task as pending, the report is sent again, and the third time rejected.
    If a complete page does not list it, the task is gone. Tasks whose reports were rejected are listed for
    ever: where these alone make the page look capped, the report is sent again after some pages, and the
    third time rejected as well. Nothing is thrown away on a guess.

    The API does not list `claimed` tasks. Then it takes three answers, each with a page after it. A 409 means
    that another service claimed the task: one page is enough.
    """

    def __init__(self, clock: Callable[[], float], *, claimed: bool = False) -> None:
        self._clock = clock
        self._claimed = claimed
        self._waiting: dict[str, ReportAnswer] = {}
        self._times: dict[str, int] = {}
        self._undecided_pages: dict[str, int] = {}
        self._sought: frozenset[str] = frozenset()
        self._max_page = 0
        self._limit = MIN_LIMIT
        self._poll_wait_seconds = FIRST_POLL_WAIT_SECONDS
        self._poll_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def limit(self) -> int:
        """How many tasks to ask for, beside those in the journal, so that the page can decide."""
        return self._limit

    def next_poll_at(self) -> float | None:
        """When to poll for their sake; None if none waits."""
        return self._poll_at if self._waiting else None

    def add(self, task_id: str, answer: ReportAnswer) -> None:
        """This report was answered as if its task were gone."""
        if not self._waiting:
            self._poll_at = self._clock() + self._poll_wait_seconds
        self._waiting[task_id] = answer

    def forget(self, task_id: str) -> None:
        """Nothing more is sent about this task."""
        self._times.pop(task_id, None)
        self._undecided_pages.pop(task_id, None)

    def seek(self) -> frozenset[str]:
        """A poll goes out: the tasks that it is to look for."""
        self._sought = frozenset(self._waiting)
        return self._sought

    def poll_failed(self) -> None:
        """There was no page."""
        self._poll_later()

    def decide(self, answer: PollAnswer, rejected: int) -> list[Confirmation]:
        """A page came. What it leaves undecided waits for the next. `rejected` reports are in the journal."""
        complete = self._is_complete(answer)
        stuck = answer.page.items < answer.limit and answer.page.items - rejected < MIN_CAP
        decisions = []
        for task_id in self._sought & self._waiting.keys():
            listed = task_id in answer.page.listed
            if listed or complete:
                decisions.append(self._decide(task_id, self._waiting.pop(task_id), listed=listed))
            elif stuck and self._is_undecidable(task_id):
                decisions.append(self._send_again(task_id, self._waiting.pop(task_id), NO_COMPLETE_PAGE))
        if decisions:
            self._poll_wait_seconds = FIRST_POLL_WAIT_SECONDS
            self._limit = MIN_LIMIT
            self._poll_at = self._clock() + self._poll_wait_seconds
        elif self._sought:
            self._limit = min(2 * max(self._limit, answer.page.items), MAX_LIMIT)
            self._poll_later()
        return decisions

    def _decide(self, task_id: str, answer: ReportAnswer, *, listed: bool) -> Confirmation:
        times = self._times.get(task_id, 0) + 1
        unsure = self._claimed and answer.status != CONFLICT
        if not listed and (not unsure or times >= MAX_LISTED):
            return Confirmation(task_id, answer)
        return self._send_again(task_id, answer, STILL_LISTED)

    def _send_again(self, task_id: str, answer: ReportAnswer, why: str) -> Confirmation:
        """The last time it is rejected instead."""
        times = self._times[task_id] = self._times.get(task_id, 0) + 1
        if times >= MAX_LISTED:
            detail = f"{answer.detail} ({why})"
            return Confirmation(task_id, replace(answer, outcome=ReportOutcome.REJECTED, detail=detail))
        return Confirmation(task_id, answer, SEND_AGAIN_SECONDS * 2 ** (times - 1))

    def _is_undecidable(self, task_id: str) -> bool:
        """Did so many such pages leave the task out that the next will not help?"""
        pages = self._undecided_pages[task_id] = self._undecided_pages.get(task_id, 0) + 1
        if pages < MAX_UNDECIDED_PAGES:
            return False
        del self._undecided_pages[task_id]
        return True

    def _is_complete(self, answer: PollAnswer) -> bool:
        """Does the page hold all pending tasks?

        An API may cap its pages below the limit: a page as long as the longest so far may be cut, unless it
        is very short.
        """
        items = answer.page.items
        complete = items < answer.limit and (items < MIN_CAP or items < self._max_page)
        self._max_page = max(self._max_page, items)
        return complete

    def _poll_later(self) -> None:
        self._poll_wait_seconds = min(2 * self._poll_wait_seconds, MAX_POLL_WAIT_SECONDS)
        self._poll_at = self._clock() + self._poll_wait_seconds
