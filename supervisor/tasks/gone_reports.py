"""Reports answered as if their task were gone: the next page of pending tasks decides about them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from supervisor.task_api.responses import PollAnswer, ReportAnswer, ReportOutcome

CONFLICT = 409
MAX_LISTED = 3
FIRST_POLL_WAIT_SECONDS = 0.5
MAX_POLL_WAIT_SECONDS = 30.0
SEND_AGAIN_SECONDS = 2.0
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
    If a complete page does not list it, the task is gone.

    The API does not list `claimed` tasks. Then it takes three answers, each with a page after it. A 409 means
    that another service claimed the task: one page is enough.
    """

    def __init__(self, clock: Callable[[], float], *, claimed: bool = False) -> None:
        self._clock = clock
        self._claimed = claimed
        self._waiting: dict[str, ReportAnswer] = {}
        self._times: dict[str, int] = {}
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

    def seek(self) -> frozenset[str]:
        """A poll goes out: the tasks that it is to look for."""
        self._sought = frozenset(self._waiting)
        return self._sought

    def poll_failed(self) -> None:
        """There was no page."""
        self._poll_later()

    def decide(self, answer: PollAnswer) -> list[Confirmation]:
        """A page came. What it leaves undecided waits for the next."""
        complete = self._is_complete(answer)
        decisions = []
        for task_id in self._sought & self._waiting.keys():
            listed = task_id in answer.page.listed
            if listed or complete:
                decisions.append(self._decide(task_id, self._waiting.pop(task_id), listed=listed))
        if decisions:
            self._poll_wait_seconds = FIRST_POLL_WAIT_SECONDS
            self._limit = MIN_LIMIT
            self._poll_at = self._clock() + self._poll_wait_seconds
        elif self._sought:
            self._limit = min(2 * max(self._limit, answer.page.items), MAX_LIMIT)
            self._poll_later()
        return decisions

    def _decide(self, task_id: str, answer: ReportAnswer, *, listed: bool) -> Confirmation:
        times = self._times[task_id] = self._times.get(task_id, 0) + 1
        unsure = self._claimed and answer.status != CONFLICT
        if not listed and (not unsure or times >= MAX_LISTED):
            return Confirmation(task_id, answer)
        if times >= MAX_LISTED:
            detail = f"{answer.detail} (yet the task API lists the task as pending)"
            return Confirmation(task_id, replace(answer, outcome=ReportOutcome.REJECTED, detail=detail))
        return Confirmation(task_id, answer, SEND_AGAIN_SECONDS * 2 ** (times - 1))

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
