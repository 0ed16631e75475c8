"""An API that takes only so many reports a second gets about so many, and is not taken for broken."""

import random
from collections.abc import MutableMapping
from typing import Any

import pytest

from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.task_api.responses import Health, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.harness import Harness
from tests.fakes.reports_api import DONE, ReportsAPI, TokenBucket

Lines = list[MutableMapping[str, Any]]
BUSY = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 503, "status 503: busy")
BUSY_PAGE = ReportAnswer(ReportOutcome.FOREIGN, Health.UNHEALTHY, 503, "status 503: an HTML page")
TOO_MANY = ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "status 429: slow down")
TOO_MANY_WAIT = ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "slow down", retry_after_seconds=1.0)
BUSY_WAIT = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 503, "busy", retry_after_seconds=1.0)


def make_harness(results: int) -> Harness:
    """So many results are ready to be reported."""
    harness = Harness(make_settings(concurrency_limit=5, batch_max_tasks=100))
    harness.start_workers()
    harness.list_tasks(*[f"t{number}" for number in range(results)])
    while harness.held:
        for slot in list(harness.held):
            harness.finish(slot)
        harness.turn()
    assert len(harness.outbox) == results
    return harness


@pytest.mark.parametrize(
    ("per_second", "burst", "refusal", "reports", "within_seconds"),
    [
        (50, 10, BUSY, 500, 15),
        (50, 10, TOO_MANY, 500, 15),
        (5, 1, BUSY, 50, 20),
        (5, 10, TOO_MANY, 50, 15),
        pytest.param(50, 10, BUSY_PAGE, 500, 15, marks=pytest.mark.slow),
        pytest.param(50, 10, TOO_MANY_WAIT, 500, 20, marks=pytest.mark.slow),
        pytest.param(50, 10, BUSY_WAIT, 500, 20, marks=pytest.mark.slow),
        pytest.param(50, 1, BUSY, 500, 20, marks=pytest.mark.slow),
        pytest.param(2, 2, BUSY, 100, 60, marks=pytest.mark.slow),
        pytest.param(200, 20, BUSY, 2000, 17, marks=pytest.mark.slow),
    ],
)
def test_reports_settle_at_the_pace_that_the_api_takes(
    per_second: float, burst: float, refusal: ReportAnswer, reports: int, within_seconds: float
) -> None:
    harness = make_harness(reports)
    api = ReportsAPI(harness, TokenBucket(per_second, burst, refusal))
    seconds = api.run(lambda: not len(harness.outbox), max_seconds=120)
    refused = api.count(refusal.outcome)
    assert seconds < within_seconds
    assert refused < 0.3 * reports
    assert harness.supervisor.api_gate.breaker.state is BreakerState.CLOSED


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_refusals_by_chance_do_not_slow_the_reports_down_for_long(share: float) -> None:
    harness = make_harness(2000)
    chance = random.Random(1)
    api = ReportsAPI(harness, lambda _: BUSY if chance.random() < share else DONE)
    assert api.run(lambda: not len(harness.outbox), max_seconds=200) < 60


@pytest.mark.parametrize("refusal", [BUSY, pytest.param(TOO_MANY, marks=pytest.mark.slow)])
def test_api_that_refuses_once_is_soon_at_full_speed_again(refusal: ReportAnswer, log_lines: Lines) -> None:
    harness = make_harness(2000)
    answers = iter([DONE] * 20 + [refusal] * 8)
    api = ReportsAPI(harness, lambda _: next(answers, DONE))
    assert api.run(lambda: not len(harness.outbox), max_seconds=120) < 8
    events = [line["event"] for line in log_lines if str(line["event"]).startswith("reports_")]
    assert events == ["reports_slowed", "reports_at_full_speed"]
    assert harness.supervisor.reports.sender.pace.reports_per_second is None


def test_pace_is_forgotten_a_minute_after_the_last_refusal() -> None:
    harness = make_harness(60)
    api = ReportsAPI(harness, TokenBucket(20, 5, BUSY))
    api.run(lambda: not len(harness.outbox), max_seconds=30)
    assert harness.supervisor.reports.sender.pace.reports_per_second is not None
    harness.pass_time(61.0)
    harness.list_tasks("late")
    harness.finish(0)
    harness.answer()
    assert harness.supervisor.reports.sender.pace.reports_per_second is None


def test_pause_that_comes_with_one_refusal_holds_all_reports() -> None:
    harness = make_harness(100)
    harness.answer()
    harness.answer(answer=TOO_MANY_WAIT)
    assert harness.report_queue.jobs == []
    harness.pass_time(0.9)
    assert harness.report_queue.jobs == []
    harness.pass_time(1.2)
    assert harness.report_queue.jobs != []


def test_refusals_of_reports_sent_before_the_cut_cut_no_further() -> None:
    harness = make_harness(100)
    for _ in range(20):
        harness.answer()
    sent = [harness.report_queue.send_one() for _ in range(8)]
    began_at = harness.clock()
    harness.clock.advance(0.01)
    refusal = ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "slow down", began_at=began_at)
    for job in sent:
        harness.answer(job, answer=refusal)
    assert harness.supervisor.reports.sender.pace.reports_per_second == pytest.approx(0.8 * 20)


def test_503_without_any_success_is_an_outage() -> None:
    harness = make_harness(100)
    for _ in range(5):
        harness.answer(answer=BUSY)
    assert harness.supervisor.api_gate.reports.breaker.state is BreakerState.OPEN
    assert harness.supervisor.reports.sender.pace.reports_per_second is None


def test_503_long_after_the_last_success_is_an_outage() -> None:
    harness = make_harness(100)
    harness.answer()
    harness.clock.advance(2.1)
    for _ in range(5):
        harness.answer(answer=BUSY)
    assert harness.supervisor.api_gate.reports.breaker.state is BreakerState.OPEN


def test_other_server_errors_are_no_matter_of_pace() -> None:
    harness = make_harness(100)
    harness.answer()
    harness.clock.advance(0.01)
    harness.answer(answer=ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 500, "broken"))
    assert harness.supervisor.reports.sender.pace.reports_per_second is None


def test_polls_go_on_while_reports_are_paced() -> None:
    harness = make_harness(100)
    harness.answer()
    harness.answer(answer=TOO_MANY_WAIT)
    harness.pass_time(0.5)
    if not harness.poller.limits:
        harness.pass_time(1.0)
    assert len(harness.poller.limits) == 1
