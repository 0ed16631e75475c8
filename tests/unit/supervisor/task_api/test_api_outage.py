"""An outage of the task API is over for the service soon after it is over for the API."""

import pytest

from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.task_api.responses import Health, PollResult, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.harness import Harness
from tests.fakes.reports_api import DONE, ReportsAPI

OUTAGE_SECONDS = 20.0
BUSY = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 503, "status 503: busy")
NO_ANSWER = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, None, "no answer")


class Outage:
    """The API is out of order from `began_at` for 20 seconds: PATCHes, and polls where `polls_fail`."""

    def __init__(self, harness: Harness, refusal: ReportAnswer, *, polls_fail: bool) -> None:
        self._harness = harness
        self._refusal = refusal
        self._polls_fail = polls_fail
        self._began_at = harness.clock()
        self._new_tasks = 0
        self.tasks_taken_at: list[float] = []

    @property
    def seconds(self) -> float:
        """How long ago it began."""
        return self._harness.clock() - self._began_at

    @property
    def lasts(self) -> bool:
        return self.seconds < OUTAGE_SECONDS

    def judge(self, _: float) -> ReportAnswer:
        return self._refusal if self.lasts else DONE

    def answer_poll(self) -> None:
        if not self._harness.poller.limits:
            return
        if self.lasts and self._polls_fail:
            self._harness.poll_fails(PollResult.SERVER_ERROR, Health.UNHEALTHY)
        elif not self.lasts:
            self.tasks_taken_at.append(self.seconds)
            self._harness.list_tasks()


def make_harness(results: int) -> Harness:
    harness = Harness(make_settings(concurrency_limit=5, batch_max_tasks=100))
    harness.start_workers()
    harness.list_tasks(*[f"t{number}" for number in range(results)])
    for slot in list(harness.held):
        harness.finish(slot)
    assert len(harness.outbox) == results
    return harness


@pytest.mark.parametrize("polls_fail", [False, True])
@pytest.mark.parametrize("refusal", [BUSY, NO_ANSWER])
@pytest.mark.parametrize("results", [1, 3, 300])
def test_outage_is_over_within_ten_seconds_of_its_end(
    results: int, refusal: ReportAnswer, *, polls_fail: bool
) -> None:
    harness = make_harness(results)
    outage = Outage(harness, refusal, polls_fail=polls_fail)
    api = ReportsAPI(harness, outage.judge)

    def over() -> bool:
        outage.answer_poll()
        return not len(harness.outbox) and bool(outage.tasks_taken_at)

    assert api.run(over, max_seconds=120) <= OUTAGE_SECONDS + 10.1
    assert harness.supervisor.api_gate.breaker.state is BreakerState.CLOSED
    assert api.count(ReportOutcome.RETRY) < 80


def test_outage_that_only_polls_can_see_is_over_within_ten_seconds_of_its_end() -> None:
    harness = Harness()
    harness.start_workers()
    harness.list_tasks()
    harness.pass_time(200.0)
    outage = Outage(harness, BUSY, polls_fail=True)
    while not outage.tasks_taken_at:
        outage.answer_poll()
        harness.pass_time(0.1)
    assert outage.tasks_taken_at[0] <= OUTAGE_SECONDS + 10


def test_nothing_new_is_bought_while_reports_fail() -> None:
    harness = make_harness(20)
    for _ in range(5):
        harness.answer(answer=NO_ANSWER)
    harness.pass_time(30.0)
    if harness.poller.limits:  # it was under way before
        harness.list_tasks()
    harness.pass_time(30.0)
    assert harness.poller.limits == []


def test_what_waited_long_for_the_api_is_sent_as_soon_as_it_takes_another_report() -> None:
    harness = make_harness(1)
    while harness.supervisor.api_gate.reports.breaker.state is BreakerState.CLOSED:
        if harness.report_queue.jobs:
            harness.answer(answer=NO_ANSWER)
        harness.pass_time(0.5)
    harness.list_tasks("late")  # the answer to a poll from before
    harness.finish(0)
    while not harness.report_queue.jobs:
        harness.pass_time(0.5)
    harness.answer()
    harness.turn()
    assert [job.task_id for job in harness.report_queue.jobs] == ["t0"]
