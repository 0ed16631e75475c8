"""Reports answered as if their task were gone: a page of pending tasks decides whether that is so."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from supervisor.task_api.responses import PollAnswer, ReportAnswer

CONFLICT = 409
MAX_LISTED = 3
FIRST_LOOK_SECONDS = 0.5
MAX_LOOK_SECONDS = 30.0
SEND_AGAIN_SECONDS = 2.0
MIN_CAP = 10
MIN_LIMIT = 100
MAX_LIMIT = 10_000


class Verdict(Enum):
    """What a page says of a report that waited for it."""

    GONE = "gone"
    SEND_AGAIN = "send_again"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Decision:
    """`answer` is the API's last to the report. `wait_seconds` is before it is sent again."""

    task_id: str
    verdict: Verdict
    answer: ReportAnswer
    wait_seconds: float = 0.0


class GoneReports:
    """Reports that wait for a page. Owned by the loop; `clock` is monotonic.

    A gateway may answer in the API's place, so that a 404 to a report says little. A page that was asked
    for after it decides: if it lists the task as pending, the report is sent again, and after three times
    rejected. If it does not, and is complete, the task is gone.

    Where tasks are `claimed` the API does not list them, wherever they are: then it takes three answers,
    each with a page after it. A 409 is another's claim, and needs no more than the page.
    """

    def __init__(self, clock: Callable[[], float], *, claimed: bool = False) -> None:
        self._clock = clock
        self._claimed = claimed
        self._waiting: dict[str, ReportAnswer] = {}
        self._times: dict[str, int] = {}
        self._sought: frozenset[str] = frozenset()
        self._max_page = 0
        self._limit = MIN_LIMIT
        self._look_seconds = FIRST_LOOK_SECONDS
        self._look_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def limit(self) -> int:
        """How many tasks a page must be asked for that is to decide, beside those that are held."""
        return self._limit

    def next_poll_at(self) -> float | None:
        """When to poll for their sake; None if none waits."""
        return self._look_at if self._waiting else None

    def add(self, task_id: str, answer: ReportAnswer) -> None:
        """The report of this task was answered as if the task were gone."""
        if not self._waiting:
            self._look_at = self._clock() + self._look_seconds
        self._waiting[task_id] = answer

    def forget(self, task_id: str) -> None:
        """The report has come to its end."""
        self._times.pop(task_id, None)

    def seek(self) -> frozenset[str]:
        """A poll goes out: the tasks that it is to look for."""
        self._sought = frozenset(self._waiting)
        return self._sought

    def poll_failed(self) -> None:
        """There was no page."""
        self._look_later()

    def decide(self, answer: PollAnswer) -> list[Decision]:
        """A page came. What it leaves undecided waits for the next."""
        complete = self._is_complete(answer)
        decisions = []
        for task_id in self._sought & self._waiting.keys():
            listed = task_id in answer.page.listed
            if listed or complete:
                decisions.append(self._decide(task_id, self._waiting.pop(task_id), listed=listed))
        if decisions:
            self._look_seconds = FIRST_LOOK_SECONDS
            self._limit = MIN_LIMIT
            self._look_at = self._clock() + self._look_seconds
        elif self._sought:
            self._limit = min(2 * max(self._limit, answer.page.items), MAX_LIMIT)
            self._look_later()
        return decisions

    def _decide(self, task_id: str, answer: ReportAnswer, *, listed: bool) -> Decision:
        times = self._times[task_id] = self._times.get(task_id, 0) + 1
        unsure = self._claimed and answer.status != CONFLICT
        if not listed and (not unsure or times >= MAX_LISTED):
            return Decision(task_id, Verdict.GONE, answer)
        if times >= MAX_LISTED:
            return Decision(task_id, Verdict.REJECTED, answer)
        return Decision(task_id, Verdict.SEND_AGAIN, answer, SEND_AGAIN_SECONDS * 2 ** (times - 1))

    def _is_complete(self, answer: PollAnswer) -> bool:
        """Does the page hold all pending tasks?

        An API may cap its pages below the limit. So a page is not complete either if it is as long as the
        longest that this API has sent, unless that is very short.
        """
        items = answer.page.items
        complete = items < answer.limit and (items < MIN_CAP or items < self._max_page)
        self._max_page = max(self._max_page, items)
        return complete

    def _look_later(self) -> None:
        self._look_seconds = min(2 * self._look_seconds, MAX_LOOK_SECONDS)
        self._look_at = self._clock() + self._look_seconds
