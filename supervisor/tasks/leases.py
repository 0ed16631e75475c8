"""Keeps claimed tasks ours: renews their leases, and drops what another replica has now."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from shared.logs import LogEvent, get_logger
from supervisor.journal.journal import TaskJournal
from supervisor.task_api.optional import OptionalOperation
from supervisor.task_api.renewal import LeasesAnswered, RenewAnswer
from supervisor.tasks.backlog import Backlog
from supervisor.tasks.claims import Claims

RENEWALS_A_LEASE = 3
TRIES_A_RENEWAL = 5
"""So often a renewal that fails is tried before the next would be due."""
IDS_A_CALL = 1000
NEVER = float("-inf")

log = get_logger("leases")


class RenewQueue(Protocol):
    """The way to the API. The answer comes back as LeasesAnswered."""

    def renew(self, task_ids: tuple[str, ...]) -> None: ...


@dataclass(slots=True)
class Leases:
    """Owned by the loop; `clock` is monotonic. Where claims are off, `operation` is not in use.

    Every third of a lease the API is asked for longer leases of all claimed tasks in the journal, finished
    ones too: until its report is accepted a task is ours. No breaker holds renewals back, since what waits
    out an outage is to stay ours. After a start they are renewed before any of them runs. Where the renewal
    fails for a whole lease, nothing is run until it succeeds: another replica may have the tasks.
    """

    lease_seconds: float
    operation: OptionalOperation
    journal: TaskJournal
    backlog: Backlog
    claims: Claims
    queue: RenewQueue
    clock: Callable[[], float]
    _sure_since: float = field(init=False, default=NEVER)
    """When the last renewal of all began that succeeded."""
    _began_at: float = field(init=False, default=NEVER)
    _next_at: float = field(init=False, default=NEVER)
    _left: deque[tuple[str, ...]] = field(init=False, default_factory=deque)
    _unsure: frozenset[str] = field(init=False, default=frozenset())
    """Tasks whose claim was not answered when the renewal began: it says nothing of what came of that."""
    _is_asking: bool = field(init=False, default=False)
    _is_failing: bool = field(init=False, default=False)

    @property
    def are_sure(self) -> bool:
        """Is every claimed task surely ours still? If not, none may begin to run."""
        return not self.operation.in_use or self.clock() < self._sure_since + self.lease_seconds

    def renew_if_due(self) -> None:
        """Call after the commit."""
        if self._is_asking or not self.operation.in_use or self.clock() < self._next_at:
            return
        self._left = deque(_calls(self._ours()))
        self._began_at = self.clock()
        if self._left:
            self._ask()
        else:
            self._succeeded()

    def answered(self, event: LeasesAnswered) -> None:
        """The API said which of the tasks are still ours, or did not."""
        self._is_asking = False
        answer = event.answer
        if answer.kept is None:
            self._failed(answer)
            return
        self.operation.worked()
        lost = set(event.task_ids) - answer.kept - self._unsure
        for record in self.backlog.remove(lost):
            # What runs is paid for already, and what is finished is reported: the API decides.
            log.info(LogEvent.CLAIM_LOST, task_id=record.task.id, detail="the lease was not renewed")
            self.journal.forget(record.task.id)
        if self._left:
            self._ask()
        else:
            self._succeeded()

    def next_at(self) -> float | None:
        """When there is something to do, unless an event comes first."""
        return None if self._is_asking or not self.operation.in_use else self._next_at

    def _ours(self) -> Iterator[str]:
        """The ids of all tasks that are claimed, or may be. Notes which of them only may be."""
        asked = {message.task_id: message.unsure for message in self.claims.sender.outbox}
        self._unsure = frozenset(task_id for task_id, unsure in asked.items() if unsure)
        return (task_id for task_id in self.journal if asked.get(task_id, True))

    def _ask(self) -> None:
        self._is_asking = True
        self.queue.renew(self._left.popleft())

    def _succeeded(self) -> None:
        self._sure_since = self._began_at
        self._next_at = self._began_at + self.lease_seconds / RENEWALS_A_LEASE
        if self._is_failing:
            self._is_failing = False
            log.info(LogEvent.LEASES_RENEWED)

    def _failed(self, answer: RenewAnswer) -> None:
        lacks = answer.is_missing or answer.is_refused
        if lacks and self.operation.failed_as_missing(answer.detail):
            return
        wait_seconds = self.lease_seconds / RENEWALS_A_LEASE / TRIES_A_RENEWAL
        self._next_at = self.clock() + max(wait_seconds, answer.retry_after_seconds or 0.0)
        if not self._is_failing:
            self._is_failing = True
            log.warning(LogEvent.LEASES_NOT_RENEWED, detail=answer.detail)


def _calls(task_ids: Iterator[str]) -> Iterator[tuple[str, ...]]:
    while call := tuple(islice(task_ids, IDS_A_CALL)):
        yield call
