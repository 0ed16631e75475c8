"""An outage of the task API is over for the service soon after it is over for the API."""

import pytest

from supervisor.providers.circuit_breaker import BreakerState
from supervisor.task_api.answers import Health, PollResult, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.house import House
from tests.fakes.reports_api import DONE, ReportsAPI

OUTAGE_SECONDS = 20.0
BUSY = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 503, "status 503: busy")
NO_ANSWER = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, None, "no answer")


class Outage:
    """The API is out of order from `began_at` for 20 seconds: PATCHes, and polls where `polls_fail`."""

    def __init__(self, house: House, refusal: ReportAnswer, *, polls_fail: bool) -> None:
        self._house = house
        self._refusal = refusal
        self._polls_fail = polls_fail
        self._began_at = house.clock()
        self._new_tasks = 0
        self.tasks_taken_at: list[float] = []

    @property
    def seconds(self) -> float:
        """How long ago it began."""
        return self._house.clock() - self._began_at

    @property
    def lasts(self) -> bool:
        return self.seconds < OUTAGE_SECONDS

    def judge(self, _: float) -> ReportAnswer:
        return self._refusal if self.lasts else DONE

    def answer_poll(self) -> None:
        if not self._house.poller.limits:
            return
        if self.lasts and self._polls_fail:
            self._house.poll_fails(PollResult.SERVER_ERROR, Health.UNHEALTHY)
        elif not self.lasts:
            self.tasks_taken_at.append(self.seconds)
            self._house.list_tasks()


def make_house(results: int) -> House:
    house = House(make_settings(concurrency_limit=5, batch_max_tasks=100))
    house.start_workers()
    house.list_tasks(*[f"t{number}" for number in range(results)])
    for slot in list(house.held):
        house.finish(slot)
    assert len(house.outbox) == results
    return house


@pytest.mark.parametrize("polls_fail", [False, True])
@pytest.mark.parametrize("refusal", [BUSY, NO_ANSWER])
@pytest.mark.parametrize("results", [1, 3, 300])
def test_outage_is_over_within_ten_seconds_of_its_end(
    results: int, refusal: ReportAnswer, *, polls_fail: bool
) -> None:
    house = make_house(results)
    outage = Outage(house, refusal, polls_fail=polls_fail)
    api = ReportsAPI(house, outage.judge)

    def over() -> bool:
        outage.answer_poll()
        return not len(house.outbox) and bool(outage.tasks_taken_at)

    assert api.run(over, most_seconds=120) <= OUTAGE_SECONDS + 10.1
    assert house.supervisor.api_gate.breaker.state is BreakerState.CLOSED
    assert api.count(ReportOutcome.RETRY) < 80


def test_outage_that_only_polls_can_see_is_over_within_ten_seconds_of_its_end() -> None:
    house = House()
    house.start_workers()
    house.list_tasks()
    house.pass_time(200.0)
    outage = Outage(house, BUSY, polls_fail=True)
    while not outage.tasks_taken_at:
        outage.answer_poll()
        house.pass_time(0.1)
    assert outage.tasks_taken_at[0] <= OUTAGE_SECONDS + 10


def test_nothing_new_is_bought_while_reports_fail() -> None:
    house = make_house(20)
    for _ in range(5):
        house.answer(answer=NO_ANSWER)
    house.pass_time(30.0)
    if house.poller.limits:  # it was under way before
        house.list_tasks()
    house.pass_time(30.0)
    assert house.poller.limits == []


def test_what_waited_long_for_the_api_is_sent_as_soon_as_it_takes_another_report() -> None:
    house = make_house(1)
    while house.supervisor.api_gate.reports.breaker.state is BreakerState.CLOSED:
        if house.reporter.parcels:
            house.answer(answer=NO_ANSWER)
        house.pass_time(0.5)
    house.list_tasks("late")  # the answer to a poll from before
    house.finish(0)
    while not house.reporter.parcels:
        house.pass_time(0.5)
    house.answer()
    house.turn()
    assert [parcel.task_id for parcel in house.reporter.parcels] == ["t0"]
