"""Up to a thousand replicas on one task API, in simulated time: what a task costs that API in calls.

Each replica is the whole supervisor as its tests wire it: the real loop, polls, claims, backlog and outbox,
on a journal in memory. What lies outside is simulated: an API that answers each call after `API_SECONDS`, and
workers that take `UNIT_SECONDS` for a unit. So it shows how many calls there are, not how fast they are. It
leaves out CPU, the network, queues at the API and for a replica's connections, failures, and reading pages.
"""

import heapq
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice

import structlog

from benchmarks.fleet import Way
from shared.models import Task
from shared.settings import Settings
from supervisor.runtime.events import Event
from supervisor.task_api.bulk import BulkAnswer, BulkReportDone
from supervisor.task_api.renewal import LeasesAnswered, RenewAnswer
from supervisor.task_api.responses import (
    ClaimDone,
    Health,
    PollAnswer,
    PollRequest,
    PollResult,
    ReportAnswer,
    ReportDone,
    ReportOutcome,
    TasksPolled,
)
from supervisor.task_api.wire_formats import Page
from tests.builders import make_output, make_settings, make_task
from tests.fakes.clock import Clock
from tests.fakes.harness import Harness

REPLICAS = {
    Way.SHARDS: (1, 10, 100, 300),
    Way.EACH: (1, 10, 100, 300),
    Way.BATCH: (1, 10, 100, 300, 1000),
}
"""A thousand only where the calls of a task do not grow with the replicas: else it would take minutes."""
TASKS_A_REPLICA = 8
API_SECONDS = 0.02
UNIT_SECONDS = 1.0
START_SECONDS = 1.0
"""Each replica starts at some moment within this."""
TICKS_A_SECOND = 1000
LIMIT_MAX = 1_000
"""An API may list fewer tasks than are asked for."""
ITEM_BYTES = 500
OUTPUT = make_output()
DONE = ReportAnswer(ReportOutcome.DONE, Health.HEALTHY, 200)
LOST = ReportAnswer(ReportOutcome.GONE, Health.UNKNOWN, 409, "status 409")

Happening = Callable[[], Event]
"""Something that happens in the world, and what a replica hears of it."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """One run. `listed_a_task` is how often a page had a task."""

    way: Way
    replicas: int
    tasks: int
    polls_a_task: float
    listed_a_task: float
    claims_a_task: float
    reports_a_task: float
    lost_claims: int
    repeated: int


def run_simulations() -> Iterator[Simulated]:
    """Each way with each number of replicas."""
    # The lines of a thousand supervisors are nobody's log.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for way, numbers in REPLICAS.items():
        for replicas in numbers:
            yield run_simulation(way, replicas)


def run_simulation(way: Way, replicas: int, tasks_a_replica: int = TASKS_A_REPLICA) -> Simulated:
    """Let the replicas do the tasks, which are there from the start, until all of them are final."""
    tasks = [make_task(f"task-{number}") for number in range(replicas * tasks_a_replica)]
    api = SimulatedApi({task.id: task for task in tasks})
    Simulation(way, replicas, api).run()
    return Simulated(
        way=way,
        replicas=replicas,
        tasks=len(tasks),
        polls_a_task=api.polls / len(tasks),
        listed_a_task=api.listed / len(tasks),
        claims_a_task=api.claims / len(tasks),
        reports_a_task=api.reports / len(tasks),
        lost_claims=api.lost_claims,
        repeated=api.repeated,
    )


@dataclass(slots=True)
class SimulatedApi:
    """Tasks by id, the oldest first, and what was asked of it."""

    pending: dict[str, Task]
    processing: dict[str, Task] = field(default_factory=dict)
    polls: int = 0
    listed: int = 0
    claims: int = 0
    lost_claims: int = 0
    reports: int = 0
    repeated: int = 0

    @property
    def is_done(self) -> bool:
        return not self.pending and not self.processing

    def page(self, limit: int) -> list[Task]:
        self.polls += 1
        tasks = list(islice(self.pending.values(), min(limit, LIMIT_MAX)))
        self.listed += len(tasks)
        return tasks

    def claim_page(self, limit: int) -> list[Task]:
        self.claims += 1
        tasks = list(islice(self.pending.values(), min(limit, LIMIT_MAX)))
        self.listed += len(tasks)
        for task in tasks:
            self.processing[task.id] = self.pending.pop(task.id)
        return tasks

    def claim(self, task_id: str) -> ReportAnswer:
        self.claims += 1
        task = self.pending.pop(task_id, None)
        if task is None:
            self.lost_claims += 1
            return LOST
        self.processing[task_id] = task
        return DONE

    def report(self, task_ids: Sequence[str]) -> None:
        self.reports += 1
        for task_id in task_ids:
            found = self.pending.pop(task_id, None) or self.processing.pop(task_id, None)
            self.repeated += found is None


class Simulation:
    """All replicas on one clock. Each has turns when something happens to it, or when it wanted to wake."""

    def __init__(self, way: Way, replicas: int, api: SimulatedApi) -> None:
        chance = random.Random(1)
        self._api = api
        self._clock = Clock(0.0)
        self._queue: list[tuple[int, int, int, Happening | None]] = []
        self._order = count()
        self._replicas = [
            Harness(_settings(way, replicas, index), clock=self._clock, draw=chance.uniform)
            for index in range(replicas)
        ]
        self._wakes_at = [0] * replicas
        for index, replica in enumerate(self._replicas):
            starts_in = chance.uniform(0, START_SECONDS)
            for slot in range(replica.settings.workers):
                self._later(index, starts_in, partial(replica.worker_started, slot))

    def run(self) -> None:
        """Until every task is final."""
        while not self._api.is_done:
            tick = self._queue[0][0]
            self._clock.seconds = tick / TICKS_A_SECOND
            events: dict[int, list[Event]] = {}
            while self._queue and self._queue[0][0] == tick:
                _, _, index, happen = heapq.heappop(self._queue)
                if happen is not None:
                    events.setdefault(index, []).append(happen())
                elif self._wakes_at[index] == tick:
                    events.setdefault(index, [])
            for index, heard in events.items():
                self._replicas[index].turn(*heard)
                self._follow(index)
        for replica in self._replicas:
            replica.journal.close()

    def _follow(self, index: int) -> None:
        """Take up what the replica asks of the world, and when it wants to wake."""
        replica = self._replicas[index]
        for request in replica.poller.requests:
            self._later(index, API_SECONDS, partial(self._answer_poll, replica, request, self._clock()))
        for job in replica.claim_queue.jobs:
            self._later(index, API_SECONDS, partial(self._answer_claim, job.task_id))
        for job in replica.report_queue.jobs:
            self._later(index, API_SECONDS, partial(self._answer_report, job.task_id))
        for task_ids, _ in replica.bulk_calls.calls:
            self._later(index, API_SECONDS, partial(self._answer_reports, task_ids))
        for task_ids in replica.renewals.asked:
            self._later(index, API_SECONDS, partial(_renew, task_ids, self._clock()))
        for sent in replica.pool.dispatched:
            self._later(index, UNIT_SECONDS, partial(_finish, replica, sent.slot, sent.unit.id))
        replica.poller.requests.clear()
        replica.claim_queue.jobs.clear()
        replica.report_queue.jobs.clear()
        replica.bulk_calls.calls.clear()
        replica.renewals.asked.clear()
        replica.pool.dispatched.clear()
        self._wakes_at[index] = self._later(index, replica.wait(), None)

    def _answer_poll(self, replica: Harness, request: PollRequest, began_at: float) -> Event:
        listed = (self._api.claim_page if request.claims else self._api.page)(request.limit)
        new = tuple(task for task in listed if not replica.journal.holds(task.id))
        page = Page(new, known=len(listed) - len(new))
        result = PollResult.TASKS if listed else PollResult.EMPTY
        return TasksPolled(
            PollAnswer(
                result,
                Health.HEALTHY,
                request.limit,
                began_at,
                API_SECONDS,
                page,
                page_bytes=ITEM_BYTES * len(listed),
                is_claimed=request.claims,
            )
        )

    def _answer_claim(self, task_id: str) -> Event:
        return ClaimDone(task_id, self._api.claim(task_id))

    def _answer_report(self, task_id: str) -> Event:
        self._api.report([task_id])
        return ReportDone(task_id, DONE)

    def _answer_reports(self, task_ids: tuple[str, ...]) -> Event:
        self._api.report(task_ids)
        return BulkReportDone(task_ids, BulkAnswer(DONE, dict.fromkeys(task_ids, DONE)))

    def _later(self, index: int, seconds: float, happening: Happening | None) -> int:
        """Let it happen to the replica; None: it wakes. Returns the tick of that moment."""
        tick = max(
            round((self._clock() + seconds) * TICKS_A_SECOND), round(self._clock() * TICKS_A_SECOND) + 1
        )
        heapq.heappush(self._queue, (tick, next(self._order), index, happening))
        return tick


def _finish(replica: Harness, slot: int, unit_id: int) -> Event:
    return replica.unit_finished(slot, OUTPUT, unit_id)


def _renew(task_ids: tuple[str, ...], began_at: float) -> Event:
    """No lease runs out in so short a run."""
    return LeasesAnswered(task_ids, RenewAnswer(began_at, frozenset(task_ids)))


def _settings(way: Way, replicas: int, index: int) -> Settings:
    """Little at once, so that a replica has no appetite for the tasks of many others."""
    return make_settings(concurrency_limit=2, batch_max_tasks=2, **way.settings(replicas, index))
