"""Any order of events, and the supervisor's death between any two steps: the journal's promise holds.

The API, the workers and the requests on their way have a truth of their own here. The loop, the journal
and all between them are the real ones.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.messages import Failure
from shared.models import Output, TaskStatus
from shared.provider_accounts import ProviderFields
from shared.settings import ClaimMode
from supervisor.runtime.events import Event
from supervisor.task_api.responses import ReportAnswer
from tests.builders import make_settings
from tests.fakes.disk import Step
from tests.model.calm import go_well, go_well_with_poll, settle
from tests.model.checks import (
    check_every_held_task_has_one_place,
    check_no_claim_is_forgotten,
    check_no_task_is_with_two_workers,
    check_no_turn_was_long,
    check_outcomes_do_not_differ,
    check_suspects_are_alone_in_their_worker,
    check_what_the_api_has_is_not_computed_again,
)
from tests.model.draws import (
    ANSWERS,
    BULK_ANSWERS,
    FAILURES,
    LATER,
    LIMITS,
    LONG,
    NOT_THE_API,
    SIGNALS,
    SLOTS,
    WHICH,
)
from tests.model.fuse import Place
from tests.model.world import World

MAX_POLL_SECONDS = 30.0
SERVER = ProviderFields(base_url="http://host/v1")


class Promise(RuleBasedStateMachine):
    """One service on one journal, over as many of its processes as it takes."""

    claim_mode = ClaimMode.OFF
    bulk_reports = 0
    threads = 1
    routes: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="model-"))
        chosen = make_settings(
            claim_mode=self.claim_mode,
            claim_lease_seconds=30.0,
            bulk_reports=self.bulk_reports,
            concurrency_limit=2 * self.threads,
            worker_threads=self.threads,
            batch_max_tasks=3,
            report_concurrency=4,
            max_retries=2,
            worker_crash_limit=2,
            worker_max_tasks=5,
            task_timeout_seconds=40.0,
            polling_interval_seconds=5.0,
            drain_timeout_seconds=25.0,
            providers={"a": SERVER, "b": SERVER},
            model_routes=self.routes,
        )
        self.world = World(self._folder, chosen)

    def teardown(self) -> None:
        try:
            settle(self.world)
            self._check()
            check_no_turn_was_long(self.world)
        finally:
            self.world.close()
            shutil.rmtree(self._folder)

    @initialize(count=st.integers(0, 6))
    def the_first_tasks_are_taken_up(self, count: int) -> None:
        for _ in range(count):
            self.world.api.create()
        self.world.turn()
        go_well_with_poll(self.world)
        self.world.turn()

    @rule(
        count=st.integers(1, 5),
        known_type=st.sampled_from([True] * 4 + [False]),
        poison=st.sampled_from([False] * 8 + [True]),
        refusing=st.sampled_from([False] * 5 + [True]),
    )
    def tasks_are_created(self, count: int, known_type: bool, poison: bool, refusing: bool) -> None:
        for number in range(count):
            self.world.api.create(known_type=known_type, poison=poison and not number, refusing=refusing)

    @rule(data=st.data())
    def a_task_is_deleted(self, data: st.DataObject) -> None:
        tasks = [task for task in self.world.api.tasks.values() if not task.final]
        if tasks:
            data.draw(st.sampled_from(tasks)).deleted = True

    @rule(data=st.data())
    def a_task_is_set_back_to_pending(self, data: st.DataObject) -> None:
        tasks = [task for task in self.world.api.tasks.values() if self.world.is_over(task)]
        if tasks:
            data.draw(st.sampled_from(tasks)).set_back()

    @rule(dropped=st.booleans(), relents=st.booleans())
    def a_person_mends_the_journal(self, dropped: bool, relents: bool) -> None:
        self.world.mend_journal(dropped=dropped, relents=relents)

    @rule(steps=st.sampled_from([1, 2, 3, 3, 3]), later=LATER)
    def a_poll_goes_on(self, steps: int, later: bool) -> None:
        for step in (self.world.begin_poll, self.world.read_poll, self.world.answer_poll)[:steps]:
            step()
        self._step(later)

    @rule(rounds=st.integers(1, 3), later=LATER)
    def a_page_is_late(self, rounds: int, later: bool) -> None:
        self.world.clock.advance(1.0)
        self.world.turn()
        self.world.begin_poll()
        self.world.read_poll()
        for _ in range(rounds):
            go_well(self.world)
        self.world.answer_poll()
        self._step(later)

    @rule(later=LATER)
    def a_poll_is_answered(self, later: bool) -> None:
        self.world.answer_poll()
        self._step(later)

    @rule(rounds=st.integers(1, 3))
    def all_goes_well_for_a_while(self, rounds: int) -> None:
        for _ in range(rounds):
            go_well_with_poll(self.world)
            go_well(self.world)
            self.world.clock.advance(1.0)

    @rule(slot=SLOTS, later=LATER)
    def a_worker_starts(self, slot: int, later: bool) -> None:
        if slot not in self.world.workers.alive:
            self.world.post(self.world.workers.start(slot))
        self._step(later)

    @rule(slot=SLOTS, which=WHICH, later=LATER)
    def a_worker_succeeds(self, slot: int, which: int, later: bool) -> None:
        self.world.hear(slot)
        if slot in self.world.workers.busy():
            self.world.finish_unit(slot, lambda _: self.world.new_output(), which)
        self._step(later)

    @rule(slot=SLOTS, count=st.integers(1, 3), which=WHICH, data=st.data(), later=LATER)
    def some_tasks_are_done_before_their_unit(
        self, slot: int, count: int, which: int, data: st.DataObject, later: bool
    ) -> None:
        def outcome(_: str) -> Output | Failure:
            return data.draw(st.one_of(st.builds(self.world.new_output), FAILURES))

        self.world.hear(slot)
        if slot in self.world.workers.busy():
            self.world.send_progress(slot, count, outcome, which)
        self._step(later)

    @rule(slot=SLOTS, failure=FAILURES, which=WHICH, later=LATER)
    def a_unit_fails(self, slot: int, failure: Failure, which: int, later: bool) -> None:
        self.world.hear(slot)
        if slot in self.world.workers.busy():
            self.world.fail_unit(slot, failure, which)
        self._step(later)

    @rule(slot=SLOTS, data=st.data(), later=LATER)
    def some_tasks_of_a_unit_fail(self, slot: int, data: st.DataObject, later: bool) -> None:
        def outcome(_: str) -> Output | Failure | None:
            return data.draw(st.one_of(st.builds(self.world.new_output), FAILURES, st.none()))

        self.world.hear(slot)
        if slot in self.world.workers.busy():
            self.world.finish_unit(slot, outcome)
        self._step(later)

    @rule(slot=SLOTS, heard=st.booleans(), replaced=st.booleans(), later=LATER)
    def a_worker_dies(self, slot: int, heard: bool, replaced: bool, later: bool) -> None:
        if heard:
            self.world.hear(slot)
        if slot in self.world.workers.alive:
            self.world.worker_dies(slot)
            if replaced:
                self.world.post(self.world.workers.start(slot))
        self._step(later)

    @rule(claim=st.booleans(), carried_out=st.booleans())
    def requests_are_sent(self, claim: bool, carried_out: bool) -> None:
        for request in self.world.begin_requests(claim=claim):
            if carried_out:
                self.world.carry_out(request)

    @precondition(lambda self: self.world.requests)
    @rule(data=st.data(), said=ANSWERS, later=LATER)
    def a_request_is_answered(self, data: st.DataObject, said: ReportAnswer | None, later: bool) -> None:
        request = data.draw(st.sampled_from(self.world.requests))
        if said is NOT_THE_API and self.claim_mode is not ClaimMode.OFF and not request.claim:
            said = None  # the list cannot say that a claimed task is still there
        if said is None:
            self.world.carry_out(request)
        self.world.answer_request(request, said)
        self._step(later)

    @rule()
    def late_requests_arrive(self) -> None:
        self.world.ghosts_arrive()

    @rule(seconds=st.sampled_from([0.2, 1.0, 3.0, 20.0, 61.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        if seconds > MAX_POLL_SECONDS:
            self.world.answer_poll()
        self.world.clock.advance(seconds)
        self._step(later=False)

    @rule(fails_at=st.none() | st.sampled_from([Step.BEGIN, Step.INSERT, Step.COMMIT]))
    def the_disk_fills_up_or_has_room(self, fails_at: Step | None) -> None:
        self.world.harness.disk.fill(fails_at)
        self._step(later=False)

    @rule(event=st.sampled_from(SIGNALS), later=LATER)
    def a_signal_comes(self, event: Event, later: bool) -> None:
        self.world.post(event)
        self._step(later)

    @rule(place=st.sampled_from([None, None, *Place]), passes=st.integers(0, 2))
    def the_supervisor_dies(self, place: Place | None, passes: int) -> None:
        """Now, or when it comes by that place."""
        if place is None:
            self.world.restart()
        else:
            self.world.fuse.set(place, passes)

    @invariant()
    def _check(self) -> None:
        check_every_held_task_has_one_place(self.world)
        check_no_task_is_with_two_workers(self.world)
        check_suspects_are_alone_in_their_worker(self.world)
        check_what_the_api_has_is_not_computed_again(self.world)
        check_outcomes_do_not_differ(self.world)
        check_no_claim_is_forgotten(self.world)

    def _step(self, later: bool) -> None:
        if not later:
            self.world.turn()


class PromiseOfThreads(Promise):
    """The same with three units in each worker."""

    threads = 3


class PromiseOfProviders(Promise):
    """The same with two providers, one of which stands in for the other for some of the models."""

    routes: ClassVar[Mapping[str, tuple[str, ...]]] = {"ab*": ("a", "b"), "a*": ("a",), "b*": ("b",)}


class PromiseOfClaims(Promise):
    """The same with claims, beside a replica that takes tasks too."""

    claim_mode = ClaimMode.EACH

    @rule(heard=st.booleans())
    def leases_are_renewed(self, heard: bool) -> None:
        self.world.begin_renewal()
        self.world.answer_renewals(heard=heard)

    @rule(data=st.data())
    def another_replica_takes_a_task(self, data: st.DataObject) -> None:
        free = [task for task in self.world.api.tasks.values() if self._is_free(task.id)]
        if free:
            task = data.draw(st.sampled_from(free))
            task.state, task.others = TaskStatus.PROCESSING, True

    def _is_free(self, task_id: str) -> bool:
        task = self.world.api.tasks[task_id]
        row = self.world.on_disk(task_id)
        return task.state is TaskStatus.PENDING and not task.deleted and (row is None or row.claim == "none")


class PromiseOfBatches(PromiseOfClaims):
    """The same with a page claimed at once, for the time of a lease, and several reports in one call."""

    claim_mode = ClaimMode.BATCH
    bulk_reports = 3

    @rule(carried_out=st.booleans())
    def a_bulk_call_is_sent(self, carried_out: bool) -> None:
        self.world.begin_bulk()
        for request in self.world.bulk_requests if carried_out else ():
            self.world.carry_out_bulk(request)

    @precondition(lambda self: self.world.bulk_requests)
    @rule(said=BULK_ANSWERS, left_out=st.sampled_from([0, 0, 0, 1, 3]), later=LATER)
    def a_bulk_call_is_answered(self, said: ReportAnswer | None, left_out: int, later: bool) -> None:
        request = self.world.bulk_requests[0]
        self.world.answer_bulk(request, said, min(left_out, len(request.task_ids)))
        self._step(later)

    def _is_free(self, task_id: str) -> bool:
        return self.world.api.tasks[task_id] in self.world.api.pending()


MACHINES = [Promise, PromiseOfThreads, PromiseOfProviders, PromiseOfClaims, PromiseOfBatches]
TestPromise = pytest.mark.timeout(400)(Promise.TestCase)  # a failure is first made small, which takes time
TestPromise.settings = LIMITS
TestPromiseOfThreads = pytest.mark.timeout(400)(PromiseOfThreads.TestCase)
TestPromiseOfThreads.settings = LIMITS
TestPromiseOfProviders = pytest.mark.timeout(400)(PromiseOfProviders.TestCase)
TestPromiseOfProviders.settings = LIMITS
TestPromiseOfClaims = pytest.mark.timeout(400)(PromiseOfClaims.TestCase)
TestPromiseOfClaims.settings = LIMITS
TestPromiseOfBatches = pytest.mark.timeout(400)(PromiseOfBatches.TestCase)
TestPromiseOfBatches.settings = LIMITS


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("machine", MACHINES)
def test_promise_holds_in_a_long_search(machine: type[Promise]) -> None:
    run_state_machine_as_test(machine, settings=LONG)
