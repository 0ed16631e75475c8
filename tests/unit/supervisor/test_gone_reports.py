"""A report answered by 404 is not over before a page of pending tasks says so."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from supervisor.runtime.exit_codes import ExitCode
from supervisor.task_api.answers import Health, PollResult, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.house import House
from tests.readings import reading

Lines = list[MutableMapping[str, Any]]
CONFLICT = ReportAnswer(ReportOutcome.GONE, Health.UNKNOWN, 409, "status 409: another has it")


def make_house(*tasks: str, **fields: object) -> House:
    """The tasks are done, and their reports were answered by 404."""
    house = House(make_settings(concurrency_limit=1, **fields))
    house.start_workers()
    house.list_tasks(*tasks)
    if fields.get("claim_tasks"):
        for _ in tasks:
            house.answer_claim()
    house.finish(0)
    for _ in tasks:
        house.answer(outcome=ReportOutcome.GONE)
    return house


def poll(house: House) -> None:
    """Let time pass until a poll is under way."""
    for _ in range(100):
        if house.poller.limits:
            return
        house.pass_time(0.5)
    raise AssertionError("no poll went out")


def pages_until_sent(house: House, *tasks: str) -> None:
    """Answer each poll with these, until a report is sent again."""
    for _ in range(100):
        if house.reporter.parcels:
            return
        if house.poller.limits:
            house.list_tasks(*tasks)
        house.pass_time(0.5)
    raise AssertionError("nothing was sent again")


def page(house: House, *tasks: str) -> None:
    """The next poll is answered with these."""
    poll(house)
    house.list_tasks(*tasks)


def kept(house: House) -> list[str]:
    return sorted(task_id for task_id in ("a", "b") if house.journal.holds(task_id))


def test_report_waits_for_a_page() -> None:
    house = make_house("a")
    assert kept(house) == ["a"]
    assert len(house.outbox) == 1
    assert house.reporter.parcels == []
    assert reading(house.metrics.reports, ReportOutcome.GONE) == 0


def test_task_that_the_page_does_not_list_is_gone(log_lines: Lines) -> None:
    house = make_house("a")
    page(house)
    assert kept(house) == []
    assert len(house.outbox) == 0
    assert reading(house.metrics.reports, ReportOutcome.GONE) == 1
    (finished,) = [line for line in log_lines if line["event"] == "task_finished"]
    assert finished["outcome"] == "gone"


def test_page_asked_for_soon() -> None:
    house = make_house("a", polling_interval_seconds=300.0)
    poll(house)
    assert house.clock() < 1000.0 + 5.0


def test_task_that_the_page_still_lists_is_reported_again_and_done() -> None:
    house = make_house("a", "b")
    page(house, "a", "b")
    assert house.held == {}, "it is not run again"
    house.pass_time(2.1)
    assert sorted(parcel.task_id for parcel in house.answer_all()) == ["a", "b"]
    assert kept(house) == []
    assert reading(house.metrics.reports, ReportOutcome.DONE) == 2


def test_after_three_pages_that_list_it_the_report_is_kept_for_a_person(log_lines: Lines) -> None:
    house = make_house("a")
    for _ in range(2):
        pages_until_sent(house, "a")
        house.answer(outcome=ReportOutcome.GONE)
    assert house.journal.rejected == 0
    page(house, "a")
    page(house, "a")
    assert house.journal.rejected == 1
    assert len(house.outbox) == 0
    house.pass_time(60.0)
    assert house.reporter.parcels == []
    assert "report_rejected" in [line["event"] for line in log_lines]


def test_page_asked_for_before_the_answer_decides_nothing() -> None:
    house = House(make_settings(concurrency_limit=1))
    house.start_workers()
    house.list_tasks("a")
    poll(house)
    house.finish(0)
    house.answer(outcome=ReportOutcome.GONE)
    house.list_tasks()
    assert kept(house) == ["a"]
    page(house)
    assert kept(house) == []


def test_full_page_that_does_not_list_it_decides_nothing() -> None:
    house = make_house("a")
    poll(house)
    limit = house.poller.limits[0]
    house.list_tasks(*[f"other-{number}" for number in range(limit)])
    assert kept(house) == ["a"]


def test_full_page_that_lists_it_has_it_sent_again() -> None:
    house = make_house("a")
    poll(house)
    limit = house.poller.limits[0]
    house.list_tasks("a", *[f"other-{number}" for number in range(limit - 1)])
    house.pass_time(2.1)
    assert "a" in [parcel.task_id for parcel in house.reporter.parcels]


def test_page_as_long_as_the_longest_may_be_capped_and_decides_nothing() -> None:
    others = [f"other-{number}" for number in range(20)]
    house = House(make_settings(concurrency_limit=1, unknown_task_policy="leave"))
    house.start_workers()
    house.list_tasks("a", *others[:19])
    house.finish(0)
    house.answer(outcome=ReportOutcome.GONE)
    house.answer_all()
    page(house, *others)
    assert kept(house) == ["a"]
    house.finish(0)
    house.answer_all()
    page(house, *others[:12])
    assert kept(house) == []


@pytest.mark.parametrize("result", [PollResult.CLIENT_ERROR, PollResult.FOREIGN, PollResult.BAD_PAGE])
def test_while_there_is_no_page_the_report_waits(result: PollResult) -> None:
    house = make_house("a")
    for _ in range(6):
        poll(house)
        house.poll_fails(result, Health.UNKNOWN)
    assert kept(house) == ["a"]
    assert house.reporter.parcels == []
    page(house, "a")
    house.pass_time(2.1)
    house.answer()
    assert kept(house) == []


def test_redeployed_api_gets_all_reports_once() -> None:
    """Its ingress answers 404 to polls and reports alike for four seconds."""
    tasks = [f"t{number}" for number in range(200)]
    house = House()
    house.start_workers()
    house.list_tasks(*tasks)
    for slot in list(house.held):
        house.finish(slot)
    began_at = house.clock()
    reported: list[str] = []
    for _ in range(400):
        well = house.clock() - began_at > 4.0
        while house.reporter.parcels:
            outcome = ReportOutcome.DONE if well else ReportOutcome.GONE
            parcel = house.answer(outcome=outcome)
            reported += [parcel.task_id] if well else []
        if house.poller.limits and well:
            house.list_tasks(*[task for task in tasks if task not in reported])
        elif house.poller.limits:
            house.poll_fails(PollResult.CLIENT_ERROR, Health.UNKNOWN)
        house.pass_time(0.1)
    assert sorted(reported) == sorted(tasks)
    assert house.held == {}
    assert house.journal.rejected == len(house.journal) == 0


def test_drain_polls_only_to_decide_and_takes_nothing() -> None:
    house = make_house("a")
    assert house.stop() is None
    poll(house)
    assert house.list_tasks("new") == ExitCode.DRAINED
    assert house.held == {}
    assert not house.journal.holds("new")


def test_drain_sends_again_what_is_listed_still() -> None:
    house = make_house("a")
    house.stop()
    page(house, "a")
    house.pass_time(2.1)
    parcel = house.reporter.send_one()
    assert house.answer(parcel).task_id == "a"
    assert len(house.journal) == 0


def test_drain_without_a_page_ends_by_its_timeout_and_keeps_the_report() -> None:
    house = make_house("a", drain_timeout_seconds=10.0)
    house.stop()
    assert house.pass_time(11.0) is ExitCode.LEFT_OVER
    assert kept(house) == ["a"]


def test_paused_service_polls_to_decide_and_takes_nothing() -> None:
    house = make_house("a")
    house.supervisor.conditions.paused = True
    poll(house)
    house.list_tasks("new")
    assert kept(house) == []
    house.pass_time(30.0)
    assert house.poller.limits == []
    assert not house.journal.holds("new")


def test_poll_to_decide_is_not_held_by_the_api() -> None:
    house = make_house("a", poll_wait_seconds=60.0)
    poll(house)
    assert house.poller.requests[0].wait_seconds == 0


def test_claimed_task_is_gone_after_three_answers_with_a_page_after_each() -> None:
    house = make_house("a", claim_tasks=True)
    for _ in range(2):
        pages_until_sent(house)
        assert kept(house) == ["a"]
        house.answer(outcome=ReportOutcome.GONE)
    page(house)
    page(house)
    assert kept(house) == []
    assert reading(house.metrics.reports, ReportOutcome.GONE) == 1


def test_conflict_on_a_claimed_task_needs_no_more_than_the_page() -> None:
    house = House(make_settings(claim_tasks=True))
    house.start_workers()
    house.list_tasks("a")
    house.answer_claim()
    house.finish(0)
    house.answer(answer=CONFLICT)
    page(house)
    assert kept(house) == []


def test_foreign_answer_settles_nothing(log_lines: Lines) -> None:
    house = House(make_settings(concurrency_limit=1))
    house.start_workers()
    house.list_tasks("a")
    house.finish(0)
    house.answer(outcome=ReportOutcome.FOREIGN)
    assert kept(house) == ["a"]
    assert reading(house.metrics.reports, ReportOutcome.FOREIGN) == 1
    (failed,) = [line for line in log_lines if line["event"] == "report_failed"]
    assert failed["outcome"] == "foreign"
    house.pass_time(2.1)
    house.answer()
    assert kept(house) == []


def test_tasks_are_taken_though_a_report_that_waits_for_a_page_was_the_probe() -> None:
    """The pages are capped, and so decide nothing; the next result is the next probe."""
    house = House(make_settings(concurrency_limit=1, batch_max_tasks=1))
    house.start_workers()
    house.list_tasks("a")
    house.finish(0)
    while not house.supervisor.api_gate.reports.probing:
        pages_until_sent(house)
        house.answer(outcome=ReportOutcome.RETRY)
    pages_until_sent(house)
    house.answer(outcome=ReportOutcome.GONE)
    page(house, *[f"new-{number}" for number in range(100)])
    poll(house)
    house.list_tasks(*[f"new-{number}" for number in range(100)])
    assert len(house.held) == 1
    house.finish(0)
    house.pass_time(5.0)
    house.answer()
    assert not house.supervisor.api_gate.reports.probing
