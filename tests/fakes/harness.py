"""The whole supervisor on fakes: real loop, journal and everything between, no thread, socket or process."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
from prometheus_client import CollectorRegistry

from shared.errors import Blame, RetryReason
from shared.messages import Failure, RateLimits, Unit, UnitDone, UnitProgress
from shared.metrics import SupervisorMetrics
from shared.models import Output
from shared.settings import Settings
from supervisor.composition import Outside, compose
from supervisor.journal.task_record import MAX_BYTES_IN_MEMORY, Report
from supervisor.loop import Supervisor
from supervisor.pool.base import UnitFinished, UnitProgressed, WorkerDied, WorkerStarted
from supervisor.pool.slot_table import SlotTable
from supervisor.providers.registry import Providers
from supervisor.runtime.events import Event, Inbox, StopRequested
from supervisor.runtime.process import ExitCode
from supervisor.status.status import Status, StatusBoard
from supervisor.task_api.renewal import LeasesAnswered, RenewAnswer
from supervisor.task_api.responses import (
    ClaimDone,
    Health,
    PollAnswer,
    PollResult,
    ReportAnswer,
    ReportDone,
    ReportOutcome,
    TasksPolled,
)
from supervisor.task_api.sender import Outbox
from supervisor.task_api.wire_formats import parse_page
from supervisor.tasks.backlog import Backlog
from tests.builders import PROCESSORS, make_output, make_settings
from tests.fakes.api import HeldBulkCalls, HeldPatches, HeldPoller, HeldRenewals, SendJob
from tests.fakes.clock import Clock
from tests.fakes.disk import IN_MEMORY, Disk
from tests.fakes.journals import open_task_journal
from tests.fakes.pool import FakePool
from workers.factory import ProcessorFactory
from workers.process.redaction import with_shown_words

MAX_TURNS = 1000

_ANSWERS = {
    ReportOutcome.DONE: ReportAnswer(ReportOutcome.DONE, Health.HEALTHY, 200),
    ReportOutcome.GONE: ReportAnswer(ReportOutcome.GONE, Health.UNKNOWN, 404, "status 404: gone"),
    ReportOutcome.REJECTED: ReportAnswer(ReportOutcome.REJECTED, Health.UNKNOWN, 422, "status 422: no"),
    ReportOutcome.RETRY: ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 503, "status 503: busy"),
    ReportOutcome.FOREIGN: ReportAnswer(ReportOutcome.FOREIGN, Health.UNHEALTHY, 403, "status 403: HTML"),
}


def longest(_: float, high: float) -> float:
    """A draw that makes every wait as long as it can be."""
    return high


class Harness:
    """Wired by the program's own composition root, with a clock and everything outside replaced.

    Backoffs are drawn at their longest, if not said otherwise. With a `path` the journal outlives the
    harness: a second harness on it is the service after a restart.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        path: Path = IN_MEMORY,
        clock: Clock | None = None,
        draw: Callable[[float, float], float] = longest,
        max_bytes_in_memory: int = MAX_BYTES_IN_MEMORY,
        disk: Disk | None = None,
        processors: ProcessorFactory = PROCESSORS,
    ) -> None:
        self.processors = processors
        self.settings = settings or make_settings()
        self.clock = clock or Clock()
        self.wall = Clock(time.time())
        self.metrics = SupervisorMetrics(CollectorRegistry())
        self.pool = FakePool()
        self.poller = HeldPoller()
        self.report_queue = HeldPatches()
        self.claim_queue = HeldPatches()
        self.bulk_calls = HeldBulkCalls()
        self.renewals = HeldRenewals()
        self.notices: list[str] = []
        self.board = StatusBoard()
        self.disk = disk or Disk(path)
        self.journal = open_task_journal(path, self.disk, self.wall)
        self._draw = draw
        self._max_bytes_in_memory = max_bytes_in_memory
        self.supervisor = self._compose()
        self._next_pid = 100

    def _compose(self) -> Supervisor:
        return compose(
            self.settings,
            Outside(
                inbox=Inbox(),
                journal=self.journal,
                poller=self.poller,
                report_queue=self.report_queue,
                claim_queue=self.claim_queue,
                bulk_calls=self.bulk_calls,
                renew_queue=self.renewals,
                pool=self.pool,
                metrics=self.metrics,
                board=self.board,
                notify=self.notices.append,
                processors=self.processors,
                clock=self.clock,
                wall=self.wall,
                draw=self._draw,
            ),
            self._max_bytes_in_memory,
        )

    @property
    def backlog(self) -> Backlog:
        return self.supervisor.backlog

    @property
    def outbox(self) -> Outbox[Report]:
        return self.supervisor.outbox

    @property
    def table(self) -> SlotTable:
        return self.supervisor.table

    @property
    def providers(self) -> Providers:
        return self.supervisor.dispatcher.providers

    @property
    def status(self) -> Status:
        """How things are now."""
        return self.supervisor.observer.snapshot()

    @property
    def held(self) -> dict[int, Unit]:
        """The units in the hands of workers, by slot; of a worker that has several, the first."""
        return {slot: units[0] for slot, units in enumerate(self.units) if units}

    @property
    def units(self) -> list[list[Unit]]:
        """What each worker holds."""
        return [[assignment.unit for assignment in slot.assignments.values()] for slot in self.table]

    def turn(self, *events: Event) -> ExitCode | None:
        """One turn of the loop on these events."""
        return self.supervisor.turn(list(events))

    def wait(self) -> float:
        """How long the loop would wait for the next event, in seconds."""
        return self.supervisor.wait_seconds()

    def pass_time(self, seconds: float) -> ExitCode | None:
        """Let time pass, with the loop waking as often as it asks to."""
        until = self.clock() + seconds
        for _ in range(MAX_TURNS):
            left = until - self.clock()
            if left <= 0:
                return None
            self.clock.advance(min(left, max(self.wait(), 0.001)))
            code = self.turn()
            if code is not None:
                return code
        raise AssertionError(f"the loop spun: {MAX_TURNS} turns in {seconds:g} s")

    def start_workers(self, count: int | None = None) -> None:
        """Let the first `count` workers be ready; all, if not said."""
        slots = self.settings.workers if count is None else count
        self.turn(*(self.worker_started(slot) for slot in range(slots)))

    def worker_started(self, slot: int) -> WorkerStarted:
        self._next_pid += 1
        return WorkerStarted(slot, self._next_pid)

    def list_tasks(self, *tasks: str | dict[str, object]) -> ExitCode | None:
        """Answer the poll under way with these: whole items, or ids of ordinary tasks."""
        return self.turn(self.page(*tasks))

    def page(
        self,
        *tasks: str | dict[str, object],
        requested_at: float | None = None,
        took_seconds: float = 0.0,
    ) -> TasksPolled:
        """The answer to the oldest poll under way; it was asked for just now, if not said otherwise."""
        items = [item(task) if isinstance(task, str) else task for task in tasks]
        request = self.poller.requests.pop(0)
        page = parse_page(
            orjson.dumps(items),
            self.processors,
            lambda: "made-here",
            is_known=self.journal.holds,
            sought=request.sought,
            claimed=request.claims,
        )
        result = PollResult.TASKS if items else PollResult.EMPTY
        asked_at = self.clock() if requested_at is None else requested_at
        answer = PollAnswer(
            result,
            Health.HEALTHY,
            request.limit,
            asked_at,
            took_seconds,
            page=page,
            is_claimed=request.claims,
        )
        return TasksPolled(answer)

    def poll_fails(
        self,
        result: PollResult,
        health: Health,
        retry_after_seconds: float | None = None,
        *,
        detail: str = "",
        took_seconds: float = 0.0,
        too_much: bool = False,
        lacks_claim: bool = False,
    ) -> None:
        """Answer the poll under way with trouble. `lacks_claim` means something of a claim only."""
        request = self.poller.requests.pop(0)
        answer = PollAnswer(
            result,
            health,
            request.limit,
            self.clock(),
            took_seconds,
            detail=detail,
            retry_after_seconds=retry_after_seconds,
            too_much=too_much,
            is_claimed=request.claims,
            lacks_claim=lacks_claim and request.claims,
        )
        self.turn(TasksPolled(answer))

    def finish(self, slot: int, output: Output | None = None) -> ExitCode | None:
        """Let the slot's worker answer with an output for each task."""
        return self.turn(self.unit_finished(slot, output))

    def unit_finished(
        self, slot: int, output: Output | None = None, unit_id: int | None = None
    ) -> UnitFinished:
        """`unit_id` says which, where the slot's worker holds several."""
        unit = self.held[slot] if unit_id is None else self._unit(slot, unit_id)
        outcomes = {task.id: output or make_output() for task in unit.tasks}
        return UnitFinished(slot, UnitDone(unit.id, outcomes, rate_limits=RateLimits()))

    def progress(self, slot: int, **outcomes: Output | Failure) -> ExitCode | None:
        """Let the slot's worker send these outcomes on, and go on with its unit."""
        return self.turn(UnitProgressed(slot, UnitProgress(self.held[slot].id, outcomes)))

    def fail(
        self,
        slot: int,
        message: str = "it went wrong",
        *,
        retry: RetryReason | None = None,
        retry_after_seconds: float | None = None,
        blame: Blame = Blame.SOME_TASKS,
    ) -> ExitCode | None:
        """Let the slot's worker answer that the unit failed as a whole."""
        failure, unit = Failure(message, retry, retry_after_seconds, blame), self.held[slot]
        done = with_shown_words(UnitDone(unit.id, failure=failure), unit.tasks)
        return self.turn(UnitFinished(slot, done))

    def fail_unit(self, slot: int, unit_id: int, *, retry: RetryReason) -> ExitCode | None:
        """Let the slot's worker answer that this one of its units failed."""
        return self.turn(UnitFinished(slot, UnitDone(unit_id, failure=Failure("it went wrong", retry))))

    def _unit(self, slot: int, unit_id: int) -> Unit:
        return next(unit for unit in self.units[slot] if unit.id == unit_id)

    def serve_canaries(self) -> int:
        """Let every worker that asks a canary have it served; how many there were."""
        asking = [slot for slot, unit in self.held.items() if unit.tasks[0].id.startswith("canary-")]
        for slot in asking:
            self.clock.advance(0.01)
            self.finish(slot)
        return len(asking)

    def die(self, slot: int, exit_code: int | None = -9) -> ExitCode | None:
        """Let the slot's worker die with what it holds, and another take its place."""
        return self.turn(self.worker_died(slot, exit_code), self.worker_started(slot))

    def worker_died(self, slot: int, exit_code: int | None = -9) -> WorkerDied:
        return WorkerDied(slot, tuple(unit.id for unit in self.units[slot]), exit_code, was_ready=True)

    def answer(
        self,
        job: SendJob | None = None,
        outcome: ReportOutcome = ReportOutcome.DONE,
        answer: ReportAnswer | None = None,
    ) -> SendJob:
        """Send the oldest waiting report (or take one already sent) and let the API answer it."""
        job = job or self.report_queue.send_one()
        self.turn(ReportDone(job.task_id, self._just_begun(answer or _ANSWERS[outcome])))
        return job

    def answer_all(self, outcome: ReportOutcome = ReportOutcome.DONE) -> list[SendJob]:
        """Let the API answer every report that is sent; the loop hears the answers together."""
        jobs: list[SendJob] = []
        while waiting := len(self.report_queue.jobs):
            sent = [self.report_queue.send_one() for _ in range(waiting)]
            said = self._just_begun(_ANSWERS[outcome])
            self.turn(*(ReportDone(job.task_id, said) for job in sent))
            jobs += sent
        return jobs

    def answer_claim(
        self, outcome: ReportOutcome = ReportOutcome.DONE, answer: ReportAnswer | None = None
    ) -> SendJob:
        """Send the oldest waiting claim (or return of one) and let the API answer it."""
        job = self.claim_queue.send_one()
        self.turn(ClaimDone(job.task_id, self._just_begun(answer or _ANSWERS[outcome])))
        return job

    def answer_renewal(self, *lost: str) -> tuple[str, ...]:
        """Renew the leases that are asked for, but those of the tasks that another replica has now."""
        task_ids = self.renewals.asked.pop(0)
        answer = RenewAnswer(self.clock(), frozenset(task_ids) - frozenset(lost))
        self.turn(LeasesAnswered(task_ids, answer))
        return task_ids

    def lack_renewals(self) -> None:
        """Answer the renewal under way as an API without leases."""
        task_ids = self.renewals.asked.pop(0)
        answer = RenewAnswer(self.clock(), is_missing=True, detail="status 404")
        self.turn(LeasesAnswered(task_ids, answer))

    def _just_begun(self, answer: ReportAnswer) -> ReportAnswer:
        return answer if answer.began_at else replace(answer, began_at=self.clock())

    def stop(self) -> ExitCode | None:
        """SIGTERM."""
        return self.turn(StopRequested())


def item(task_id: str, **fields: object) -> dict[str, object]:
    """An item of a page in the flat shape."""
    return {
        "id": task_id,
        "type": "text-embedding",
        "status": "pending",
        "input_data": {"text": f"text of {task_id}"},
        **fields,
    }
