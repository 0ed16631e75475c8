"""Whatever happens, in whatever order: once all that can be done is done, the loop waits."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.errors import Blame, RetryReason
from shared.messages import RateLimits, UnitDone
from shared.settings import ClaimMode
from supervisor.pool.base import UnitFinished, WorkerDied
from supervisor.runtime.events import PauseRequested, ResumeRequested, StopRequested, WakeRequested
from supervisor.task_api.bulk import BulkAnswer, BulkReportDone
from supervisor.task_api.renewal import LeasesAnswered, RenewAnswer
from supervisor.task_api.responses import Health, PollResult, ReportAnswer, ReportOutcome
from tests.builders import make_output, make_settings
from tests.fakes.disk import Step
from tests.fakes.harness import Harness

WORKERS = 2
MAX_TURNS = 3
LEASE_SECONDS = 60.0
RETRY_AFTER = st.sampled_from([None, 0.0, 0.001, 3.0, 100.0])
SLOTS = st.integers(0, WORKERS - 1)


class SpinMachine(RuleBasedStateMachine):
    """A service, and an outside that does whatever it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.harness = Harness()
        self.ended = False
        self.made = 0

    @initialize(
        claims=st.sampled_from(ClaimMode),
        bulk=st.sampled_from([0, 4]),
        ceilings=st.booleans(),
        held=st.sampled_from([0.0, 10.0]),
    )
    def start(self, claims: ClaimMode, bulk: int, ceilings: bool, held: float) -> None:
        self.harness = Harness(
            make_settings(
                concurrency_limit=WORKERS,
                batch_max_tasks=3,
                claim_mode=claims,
                claim_lease_seconds=LEASE_SECONDS,
                bulk_reports=bulk,
                circuit_breaker_threshold=2,
                poll_wait_seconds=held,
                openai_requests_per_minute=5 if ceilings else 0,
                openai_tokens_per_minute=60 if ceilings else 0,
                worker_max_tasks=4,
            )
        )
        self.harness.start_workers()

    @precondition(lambda self: self.harness.poller.limits)
    @rule(count=st.integers(0, 12))
    def page(self, count: int) -> None:
        names = [f"t{self.made + number}" for number in range(count)]
        self.made += count
        self.harness.list_tasks(*names)

    @precondition(lambda self: self.harness.poller.limits)
    @rule(
        result=st.sampled_from(PollResult),
        health=st.sampled_from(Health),
        retry_after=RETRY_AFTER,
        lacks_claim=st.booleans(),
    )
    def poll_fails(
        self, result: PollResult, health: Health, retry_after: float | None, lacks_claim: bool
    ) -> None:
        if result not in (PollResult.TASKS, PollResult.EMPTY):
            self.harness.poll_fails(result, health, retry_after, lacks_claim=lacks_claim)

    @precondition(lambda self: self.harness.report_queue.jobs)
    @rule(outcome=st.sampled_from(ReportOutcome), health=st.sampled_from(Health), retry_after=RETRY_AFTER)
    def report_answered(self, outcome: ReportOutcome, health: Health, retry_after: float | None) -> None:
        status = None if health is Health.UNHEALTHY else 400
        self.harness.answer(answer=ReportAnswer(outcome, health, status, "", retry_after))

    @precondition(lambda self: self.harness.claim_queue.jobs)
    @rule(outcome=st.sampled_from(ReportOutcome), health=st.sampled_from(Health), retry_after=RETRY_AFTER)
    def claim_answered(self, outcome: ReportOutcome, health: Health, retry_after: float | None) -> None:
        self.harness.answer_claim(answer=ReportAnswer(outcome, health, None, "", retry_after))

    @precondition(lambda self: self.harness.bulk_calls.calls)
    @rule(
        outcome=st.sampled_from(ReportOutcome),
        health=st.sampled_from(Health),
        retry_after=RETRY_AFTER,
        answered=st.integers(0, 4),
        refused=st.sampled_from(["", "missing", "too large", "odd"]),
    )
    def bulk_reports_answered(
        self, outcome: ReportOutcome, health: Health, retry_after: float | None, answered: int, refused: str
    ) -> None:
        task_ids, _ = self.harness.bulk_calls.calls.pop(0)
        call = ReportAnswer(outcome, health, 400, "", retry_after, self.harness.clock())
        answer = BulkAnswer(
            call,
            dict.fromkeys(task_ids[:answered], call),
            refused,
            is_missing=refused == "missing",
            is_too_large=refused == "too large",
        )
        self.harness.turn(BulkReportDone(task_ids, answer))

    @precondition(lambda self: self.harness.renewals.asked)
    @rule(kept=st.integers(0, 8))
    def renewal_answered(self, kept: int) -> None:
        task_ids = self.harness.renewals.asked.pop(0)
        answer = RenewAnswer(self.harness.clock(), frozenset(task_ids[:kept]))
        self.harness.turn(LeasesAnswered(task_ids, answer))

    @precondition(lambda self: self.harness.renewals.asked)
    @rule(lacks=st.booleans(), retry_after=RETRY_AFTER)
    def renewal_fails(self, lacks: bool, retry_after: float | None) -> None:
        task_ids = self.harness.renewals.asked.pop(0)
        answer = RenewAnswer(self.harness.clock(), is_missing=lacks, retry_after_seconds=retry_after)
        self.harness.turn(LeasesAnswered(task_ids, answer))

    @rule(slot=SLOTS, remaining=st.none() | st.integers(0, 3), reset=RETRY_AFTER)
    def unit_finishes(self, slot: int, remaining: int | None, reset: float | None) -> None:
        if slot in self.harness.held:
            unit = self.harness.held[slot]
            limits = RateLimits(remaining, remaining, remaining, remaining, reset, reset)
            done = UnitDone(unit.id, {task.id: make_output() for task in unit.tasks}, rate_limits=limits)
            self.harness.turn(UnitFinished(slot, done))

    @rule(slot=SLOTS, retry=st.none() | st.sampled_from(RetryReason), after=RETRY_AFTER)
    def unit_fails(self, slot: int, retry: RetryReason | None, after: float | None) -> None:
        if slot in self.harness.held:
            blame = Blame.SOME_TASKS if after else Blame.WHOLE_UNIT
            self.harness.fail(slot, retry=retry, retry_after_seconds=after, blame=blame)

    @rule(slot=SLOTS, ready=st.booleans(), back=st.booleans())
    def worker_dies(self, slot: int, ready: bool, back: bool) -> None:
        unit_ids = tuple(unit.id for unit in self.harness.units[slot])
        self.harness.turn(WorkerDied(slot, unit_ids, -9, was_ready=ready))
        if back:
            self.harness.turn(self.harness.worker_started(slot))

    @rule(event=st.sampled_from([PauseRequested(), ResumeRequested(), WakeRequested()]))
    def person_acts(self, event: PauseRequested | ResumeRequested | WakeRequested) -> None:
        self.harness.turn(event)

    @rule(fails_at=st.none() | st.sampled_from([Step.BEGIN, Step.INSERT, Step.COMMIT]))
    def disk_fills_up_or_empties(self, fails_at: Step | None) -> None:
        self.harness.disk.fill(fails_at)

    # Sums of these are exact, so that no wait is nothing by rounding alone.
    @rule(seconds=st.sampled_from([0.0625, 0.125, 1.0, 7.0, 30.0, 61.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.harness.clock.advance(seconds)

    @precondition(lambda self: self.made > 20)
    @rule()
    def stop(self) -> None:
        self.harness.turn(StopRequested())

    @invariant()
    def waits_once_all_is_done(self) -> None:
        for _ in range(MAX_TURNS):
            if self.ended or self.harness.turn() is not None:
                self.ended = True
                return
            if self.harness.wait() > 0.0:
                return
        raise AssertionError(f"the loop spins: {self.harness.status}")


SpinMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
TestLoopNeverSpins = SpinMachine.TestCase
