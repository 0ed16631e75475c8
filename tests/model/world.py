"""The service between an API, a provider, workers and a network that each have a truth of their own."""

import contextlib
import gc
import itertools
import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from shared.messages import Failure, UnitDone, UnitProgress
from shared.models import INPUTS_DIRECTORY, Output, TaskStatus
from shared.settings import ClaimMode, Settings
from supervisor.journal.admin import JournalAdmin
from supervisor.journal.report_bodies import READ, BodyFile
from supervisor.journal.schema import read_location
from supervisor.journal.state_directory import BODIES_DIRECTORY
from supervisor.journal.task_record import TaskState
from supervisor.pool.base import UnitFinished, UnitProgressed
from supervisor.runtime.events import Event
from supervisor.runtime.process import ExitCode
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
from supervisor.task_api.wire_formats import parse_page
from tests.builders import PROCESSORS, make_output
from tests.fakes.api import HeldPatches, SendJob
from tests.fakes.clock import Clock
from tests.model.fuse import Fuse, SuddenEndError
from tests.model.model_api import ApiTask, ModelApi
from tests.model.model_workers import ModelWorkers
from tests.model.watched_harness import Row, WatchedHarness

_TRUE_ANSWERS: Mapping[int, ReportAnswer] = {
    200: ReportAnswer(ReportOutcome.DONE, Health.HEALTHY, 200),
    404: ReportAnswer(ReportOutcome.GONE, Health.UNKNOWN, 404, "gone"),
    409: ReportAnswer(ReportOutcome.GONE, Health.UNKNOWN, 409, "conflict"),
    422: ReportAnswer(ReportOutcome.REJECTED, Health.UNKNOWN, 422, "no"),
}


@dataclass(slots=True)
class Poll:
    """A poll on its way; `items` is what the API had to list when it read the request."""

    request: PollRequest
    began_at: float
    items: list[dict[str, object]] | None = None


@dataclass(slots=True)
class Request:
    """A PATCH that a thread is sending: a report, a claim or its return."""

    job: SendJob
    claim: bool
    began_at: float
    truth: ReportAnswer | None = None
    """What the API answered; None as long as it has not heard of it."""


@dataclass(slots=True)
class BulkRequest:
    """A PATCH of several reports that a thread is sending. `truths` are as in Request."""

    task_ids: tuple[str, ...]
    bodies: Mapping[str, bytes]
    began_at: float
    truths: Mapping[str, ReportAnswer] | None = None


class World:
    """`inbox` holds events that the loop has not yet seen."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock()
        models = [pattern.replace("*", "1") for pattern in settings.model_routes]
        has_leases = settings.claims is ClaimMode.BATCH
        self.api = ModelApi(models, self.clock, settings.claim_lease_seconds if has_leases else math.inf)
        self.fuse = Fuse()
        self.workers = ModelWorkers(settings.workers, settings.worker_threads)
        self.inbox: list[Event] = []
        self.max_turn_seconds = 0.0
        """In time of the processor: what else the machine does is not the loop's fault."""
        self.poll: Poll | None = None
        self.requests: list[Request] = []
        self.bulk_requests: list[BulkRequest] = []
        self.renewals: list[tuple[str, ...]] = []
        """Under way."""
        self.ghosts: list[tuple[str, bytes]] = []
        """Reports whose sender no longer waits for an answer, and which may yet reach the API."""
        self._path = folder / "journal.sqlite3"
        self._bodies = folder / BODIES_DIRECTORY
        self._outputs = itertools.count()
        self._reader = sqlite3.connect(self._path, isolation_level=None)
        self.harness = self._new_harness()

    def close(self) -> None:
        self.harness.abandon()
        self._reader.close()

    def on_disk(self, task_id: str) -> Row | None:
        """The task's row as a second look at the file shows it: what was committed."""
        found = self._reader.execute(
            "SELECT state, claim, body_file, body_start, body_length FROM tasks WHERE id = ?", (task_id,)
        )
        row = found.fetchone()
        if row is None:
            return None
        state, claim, *columns = row
        location = read_location(*columns)
        if location is None:
            return Row(state, claim, None)
        bodies = BodyFile(self._bodies, READ)  # opened anew: after a restart a number may be another file's
        with contextlib.closing(bodies):
            return Row(state, claim, bodies.read(location))

    def input_files(self) -> list[Path]:
        """The files of inputs that are too large for the table."""
        return list(self._path.parent.glob(f"{INPUTS_DIRECTORY}/*"))

    def post(self, *events: Event) -> None:
        self.inbox.extend(events)

    def is_over(self, task: ApiTask) -> bool:
        """It has a final state, and nothing about it is held or on its way."""
        under_way = [request.job.task_id for request in self.requests]
        under_way += [task_id for request in self.bulk_requests for task_id in request.task_ids]
        under_way += [task_id for task_id, _ in self.ghosts]
        held = self.harness.journal.holds(task.id) or self.on_disk(task.id) is not None
        return task.final and not task.deleted and not held and task.id not in under_way

    def mend_journal(self, *, dropped: bool, relents: bool) -> None:
        """Someone retries, or drops, all rejected reports by hand; the API may take them by now."""
        with JournalAdmin(self._path) as admin:
            rejected = [entry.task_id for entry in admin.entries(TaskState.REJECTED, 100)]
            for task_id in rejected:
                task = self.api.tasks[task_id]
                task.refusing &= not relents
                # Who drops a claimed task has taken it upon himself to see to it at the API.
                task.others |= dropped and task.state is TaskStatus.PROCESSING
            (admin.drop if dropped else admin.retry)(rejected)

    def turn(self) -> None:
        """One turn of the loop on all that has come in. The supervisor may die in it, or end."""
        events, self.inbox = self.inbox, []
        gc.disable()  # of all that the tests of this process have left
        began = time.thread_time()
        try:
            code = self.harness.turn(*events)
        except SuddenEndError:
            self.restart()
            return
        finally:
            gc.enable()
        self.max_turn_seconds = max(self.max_turn_seconds, time.thread_time() - began)
        if code is not None:
            self._end(code)
        else:
            self.workers.take_orders(self.harness.pool)

    def restart(self) -> None:
        """The process is gone, whatever it was doing, and another takes up its journal."""
        if len(alone := self._running_on_disk()) == 1:
            self._blame(alone)  # a death that several shared is no reason to fail any of them
        self.fuse.remove()
        self.harness.abandon()
        self.inbox.clear()
        self.poll = None
        for request in self.requests:
            self._leave_behind(request)
        self.requests.clear()
        for bulk in self.bulk_requests:
            self._leave_bulk_behind(bulk)
        self.bulk_requests.clear()
        self.renewals.clear()
        self.workers = ModelWorkers(self.settings.workers, self.settings.worker_threads)
        self.harness = self._new_harness()

    def begin_poll(self) -> None:
        """A thread sends the poll that was asked for, if one was."""
        if self.poll is None and self.harness.poller.limits:
            self.poll = Poll(self.harness.poller.requests.pop(0), self.clock())

    def read_poll(self) -> None:
        if self.poll is not None and self.poll.items is None:
            read = self.api.claim if self.poll.request.claims else self.api.page
            self.poll.items = read(self.poll.request.limit)

    def answer_poll(self) -> None:
        """The answer to the poll comes in; of a poll that was never read, that it failed."""
        if self.poll is None:
            return
        poll, self.poll = self.poll, None
        claims = poll.request.claims
        if poll.items is None:
            answer = PollAnswer(
                PollResult.TIMEOUT, Health.UNHEALTHY, poll.request.limit, poll.began_at, is_claimed=claims
            )
        else:
            page = parse_page(
                orjson.dumps(poll.items),
                PROCESSORS,
                lambda: "made-here",
                is_known=self.harness.journal.holds,
                sought=poll.request.sought,
                claimed=claims,
            )
            page = replace(page, tasks=self.harness.journal.inputs.store(page.tasks))
            result = PollResult.TASKS if poll.items else PollResult.EMPTY
            answer = PollAnswer(
                result, Health.HEALTHY, poll.request.limit, poll.began_at, page=page, is_claimed=claims
            )
        self.post(TasksPolled(answer))

    def begin_requests(self, *, claim: bool) -> list[Request]:
        """Threads take up what waits to be sent, as many as there are."""
        report_queue: HeldPatches = self.harness.claim_queue if claim else self.harness.report_queue
        free = self.settings.report_concurrency - len(self.requests)
        begun = [
            Request(report_queue.send_one(), claim, self.clock()) for _ in report_queue.jobs[: max(0, free)]
        ]
        self.requests += begun
        return begun

    def carry_out(self, request: Request) -> None:
        """The API does what the request asks for, once."""
        if request.truth is None:
            request.truth = _TRUE_ANSWERS[self.api.patch(request.job.task_id, request.job.body)]

    def answer_request(self, request: Request, answer: ReportAnswer | None = None) -> None:
        """The thread hears `answer`, or the truth."""
        # Who says "too many requests" has not carried it out; who breaks down may have, or may yet.
        unheard = answer is not None and (answer.status is None or answer.status >= 500)
        heard = answer if request.truth is None or unheard else request.truth
        assert heard is not None, f"nothing was said to {request}"
        self.requests.remove(request)
        if unheard:
            self._leave_behind(request)
        done = ClaimDone if request.claim else ReportDone
        self.post(done(request.job.task_id, replace(heard, began_at=request.began_at)))

    def begin_bulk(self) -> None:
        """A thread takes up a call with several reports, if one waits."""
        if not self.bulk_requests and self.harness.bulk_calls.calls:
            task_ids, body = self.harness.bulk_calls.calls.pop(0)
            items = orjson.loads(body)
            assert all(item.pop("correlation_id") for item in items)
            bodies = {item.pop("id"): orjson.dumps(item) for item in items}
            assert tuple(bodies) == task_ids
            self.bulk_requests.append(BulkRequest(task_ids, bodies, self.clock()))

    def carry_out_bulk(self, request: BulkRequest) -> None:
        """The API does what the call asks for, once."""
        if request.truths is None:
            request.truths = {
                task_id: _TRUE_ANSWERS[self.api.patch(task_id, body)]
                for task_id, body in request.bodies.items()
            }

    def answer_bulk(self, request: BulkRequest, said: ReportAnswer | None = None, left_out: int = 0) -> None:
        """The thread hears `said` of the call as a whole, or the truth of its reports but the last few."""
        self.bulk_requests.remove(request)
        if said is not None:
            if said.status is None or said.status >= 500:
                self._leave_bulk_behind(request)
            answer = BulkAnswer(replace(said, began_at=request.began_at))
        else:
            self.carry_out_bulk(request)
            assert request.truths is not None
            told = request.task_ids[: len(request.task_ids) - left_out]
            call = replace(_TRUE_ANSWERS[200], began_at=request.began_at)
            each = {task_id: replace(request.truths[task_id], began_at=request.began_at) for task_id in told}
            answer = BulkAnswer(call, each, "some are left out" if left_out else "")
        self.post(BulkReportDone(request.task_ids, answer))

    def begin_renewal(self) -> None:
        """A thread asks for longer leases."""
        self.renewals += self.harness.renewals.asked
        self.harness.renewals.asked.clear()

    def answer_renewals(self, *, heard: bool) -> None:
        """The API renews them, or has no leases; the thread hears so, or nothing."""
        for task_ids in self.renewals:
            if self.api.has_leases:
                kept = self.api.renew(task_ids)
                answer = RenewAnswer(self.clock(), kept if heard else None)
            else:
                answer = RenewAnswer(self.clock(), is_missing=heard)
            self.post(LeasesAnswered(task_ids, answer))
        self.renewals.clear()

    def ghosts_arrive(self) -> None:
        for task_id, body in self.ghosts:
            self.api.patch(task_id, body)
        self.ghosts.clear()

    def hear(self, slot: int) -> None:
        """The slot hears its orders. If it now holds a poison, all is over."""
        if slot in self.workers.alive and (gone := self.workers.hear(slot)) is not None:
            self.post(gone)
        if any(self.api.tasks[task_id].poison for task_id in self.workers.held_by(slot)):
            self.restart()

    def worker_dies(self, slot: int) -> None:
        self._blame(self.workers.held_by(slot))
        self.post(self.workers.die(slot))

    def send_progress(
        self, slot: int, count: int, outcome: Callable[[str], Output | Failure], which: int = 0
    ) -> None:
        """The worker sends the outcomes of so many of its tasks on, and goes on with the others."""
        unit, task_ids = self.workers.end_some(slot, count, which)
        outcomes = {task_id: outcome(task_id) for task_id in task_ids}
        self._blame(task_id for task_id, result in outcomes.items() if isinstance(result, Failure))
        self.post(UnitProgressed(slot, UnitProgress(unit.id, outcomes)))

    def finish_unit(
        self, slot: int, outcome: Callable[[str], Output | Failure | None], which: int = 0
    ) -> None:
        """The worker answers with `outcome` of each task that it still has; None leaves the task out."""
        unit, task_ids = self.workers.answer(slot, which)
        found = {task_id: outcome(task_id) for task_id in task_ids}
        outcomes = {task_id: result for task_id, result in found.items() if result is not None}
        self._blame(task_id for task_id in found if not isinstance(found[task_id], Output))
        self.post(UnitFinished(slot, UnitDone(unit.id, outcomes)))

    def fail_unit(self, slot: int, failure: Failure, which: int = 0) -> None:
        unit, task_ids = self.workers.answer(slot, which)
        self._blame(task_ids)
        self.post(UnitFinished(slot, UnitDone(unit.id, failure=failure)))

    def new_output(self) -> Output:
        """Unlike any before, so that a task that is computed twice shows."""
        return make_output(value=b"[%d]" % next(self._outputs))

    def _running_on_disk(self) -> list[str]:
        return [row[0] for row in self._reader.execute("SELECT id FROM tasks WHERE state = 'running'")]

    def _blame(self, task_ids: Iterable[str]) -> None:
        for task_id in self.api.tasks.keys() & set(task_ids):
            self.api.tasks[task_id].blamed = True

    def _leave_behind(self, request: Request) -> None:
        if request.truth is None and not request.claim:
            self.ghosts.append((request.job.task_id, request.job.body))

    def _leave_bulk_behind(self, request: BulkRequest) -> None:
        if request.truths is None:
            self.ghosts += request.bodies.items()

    def _new_harness(self) -> WatchedHarness:
        harness = WatchedHarness(
            self.settings, self._path, self.clock, self.fuse, self.on_disk, self.workers.is_alive
        )
        harness.supervisor.recover()
        for slot in self.workers.missing():
            self.post(self.workers.start(slot))
        return harness

    def _end(self, code: ExitCode) -> None:
        """What `run` does at its end, and then the next process."""
        assert code in (ExitCode.DRAINED, ExitCode.LEFT_OVER), code
        if code is ExitCode.DRAINED:
            assert not len(self.harness.outbox), "drained with reports left"
            assert not self.harness.held, "drained with work left"
        with suppress(SuddenEndError):
            self.harness.supervisor.release()
        self.restart()
