"""A report answered by 404 is not over before a page of pending tasks says so."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from supervisor.runtime.process import ExitCode
from supervisor.task_api.responses import Health, PollResult, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.harness import Harness
from tests.readings import reading

Lines = list[MutableMapping[str, Any]]
CONFLICT = ReportAnswer(ReportOutcome.GONE, Health.UNKNOWN, 409, "status 409: another has it")


def make_harness(*tasks: str, **fields: object) -> Harness:
    """The tasks are done, and their reports were answered by 404."""
    harness = Harness(make_settings(concurrency_limit=1, **fields))
    harness.start_workers()
    harness.list_tasks(*tasks)
    if fields.get("claim_tasks"):
        for _ in tasks:
            harness.answer_claim()
    harness.finish(0)
    for _ in tasks:
        harness.answer(outcome=ReportOutcome.GONE)
    return harness


def poll(harness: Harness) -> None:
    """Let time pass until a poll is under way."""
    for _ in range(100):
        if harness.poller.limits:
            return
        harness.pass_time(0.5)
    raise AssertionError("no poll went out")


def pages_until_sent(harness: Harness, *tasks: str) -> None:
    """Answer each poll with these, until a report is sent again."""
    for _ in range(100):
        if harness.report_queue.jobs:
            return
        if harness.poller.limits:
            harness.list_tasks(*tasks)
        harness.pass_time(0.5)
    raise AssertionError("nothing was sent again")


def page(harness: Harness, *tasks: str) -> None:
    """The next poll is answered with these."""
    poll(harness)
    harness.list_tasks(*tasks)


def kept(harness: Harness) -> list[str]:
    return sorted(task_id for task_id in ("a", "b") if harness.journal.holds(task_id))


def test_report_waits_for_a_page() -> None:
    harness = make_harness("a")
    assert kept(harness) == ["a"]
    assert len(harness.outbox) == 1
    assert harness.report_queue.jobs == []
    assert reading(harness.metrics.reports, ReportOutcome.GONE) == 0


def test_task_that_the_page_does_not_list_is_gone(log_lines: Lines) -> None:
    harness = make_harness("a")
    page(harness)
    assert kept(harness) == []
    assert len(harness.outbox) == 0
    assert reading(harness.metrics.reports, ReportOutcome.GONE) == 1
    (finished,) = [line for line in log_lines if line["event"] == "task_finished"]
    assert finished["outcome"] == "gone"


def test_page_asked_for_soon() -> None:
    harness = make_harness("a", polling_interval_seconds=300.0)
    poll(harness)
    assert harness.clock() < 1000.0 + 5.0


def test_task_that_the_page_still_lists_is_reported_again_and_done() -> None:
    harness = make_harness("a", "b")
    page(harness, "a", "b")
    assert harness.held == {}, "it is not run again"
    harness.pass_time(2.1)
    assert sorted(job.task_id for job in harness.answer_all()) == ["a", "b"]
    assert kept(harness) == []
    assert reading(harness.metrics.reports, ReportOutcome.DONE) == 2


def test_after_three_pages_that_list_it_the_report_is_kept_for_a_person(log_lines: Lines) -> None:
    harness = make_harness("a")
    for _ in range(2):
        pages_until_sent(harness, "a")
        harness.answer(outcome=ReportOutcome.GONE)
    assert harness.journal.rejected == 0
    page(harness, "a")
    page(harness, "a")
    assert harness.journal.rejected == 1
    assert len(harness.outbox) == 0
    harness.pass_time(60.0)
    assert harness.report_queue.jobs == []
    assert "report_rejected" in [line["event"] for line in log_lines]


def test_page_asked_for_before_the_answer_decides_nothing() -> None:
    harness = Harness(make_settings(concurrency_limit=1))
    harness.start_workers()
    harness.list_tasks("a")
    poll(harness)
    harness.finish(0)
    harness.answer(outcome=ReportOutcome.GONE)
    harness.list_tasks()
    assert kept(harness) == ["a"]
    page(harness)
    assert kept(harness) == []


def test_full_page_that_does_not_list_it_decides_nothing() -> None:
    harness = make_harness("a")
    poll(harness)
    limit = harness.poller.limits[0]
    harness.list_tasks(*[f"other-{number}" for number in range(limit)])
    assert kept(harness) == ["a"]


def test_full_page_that_lists_it_has_it_sent_again() -> None:
    harness = make_harness("a")
    poll(harness)
    limit = harness.poller.limits[0]
    harness.list_tasks("a", *[f"other-{number}" for number in range(limit - 1)])
    harness.pass_time(2.1)
    assert "a" in [job.task_id for job in harness.report_queue.jobs]


def test_page_as_long_as_the_longest_may_be_capped_and_decides_nothing() -> None:
    others = [f"other-{number}" for number in range(20)]
    harness = Harness(make_settings(concurrency_limit=1, unknown_task_policy="leave"))
    harness.start_workers()
    harness.list_tasks("a", *others[:19])
    harness.finish(0)
    harness.answer(outcome=ReportOutcome.GONE)
    harness.answer_all()
    page(harness, *others)
    assert kept(harness) == ["a"]
    harness.finish(0)
    harness.answer_all()
    page(harness, *others[:12])
    assert kept(harness) == []


@pytest.mark.parametrize("result", [PollResult.CLIENT_ERROR, PollResult.FOREIGN, PollResult.BAD_PAGE])
def test_while_there_is_no_page_the_report_waits(result: PollResult) -> None:
    harness = make_harness("a")
    for _ in range(6):
        poll(harness)
        harness.poll_fails(result, Health.UNKNOWN)
    assert kept(harness) == ["a"]
    assert harness.report_queue.jobs == []
    page(harness, "a")
    harness.pass_time(2.1)
    harness.answer()
    assert kept(harness) == []


def test_redeployed_api_gets_all_reports_once() -> None:
    """Its ingress answers 404 to polls and reports alike for four seconds."""
    tasks = [f"t{number}" for number in range(200)]
    harness = Harness()
    harness.start_workers()
    harness.list_tasks(*tasks)
    for slot in list(harness.held):
        harness.finish(slot)
    began_at = harness.clock()
    reported: list[str] = []
    for _ in range(400):
        well = harness.clock() - began_at > 4.0
        while harness.report_queue.jobs:
            outcome = ReportOutcome.DONE if well else ReportOutcome.GONE
            job = harness.answer(outcome=outcome)
            reported += [job.task_id] if well else []
        if harness.poller.limits and well:
            harness.list_tasks(*[task for task in tasks if task not in reported])
        elif harness.poller.limits:
            harness.poll_fails(PollResult.CLIENT_ERROR, Health.UNKNOWN)
        harness.pass_time(0.1)
    assert sorted(reported) == sorted(tasks)
    assert harness.held == {}
    assert harness.journal.rejected == len(harness.journal) == 0


def test_drain_polls_only_to_decide_and_takes_nothing() -> None:
    harness = make_harness("a")
    assert harness.stop() is None
    poll(harness)
    assert harness.list_tasks("new") == ExitCode.DRAINED
    assert harness.held == {}
    assert not harness.journal.holds("new")


def test_drain_sends_again_what_is_listed_still() -> None:
    harness = make_harness("a")
    harness.stop()
    page(harness, "a")
    harness.pass_time(2.1)
    job = harness.report_queue.send_one()
    assert harness.answer(job).task_id == "a"
    assert len(harness.journal) == 0


def test_drain_without_a_page_ends_by_its_timeout_and_keeps_the_report() -> None:
    harness = make_harness("a", drain_timeout_seconds=10.0)
    harness.stop()
    assert harness.pass_time(11.0) is ExitCode.LEFT_OVER
    assert kept(harness) == ["a"]


def test_paused_service_polls_to_decide_and_takes_nothing() -> None:
    harness = make_harness("a")
    harness.supervisor.state.paused = True
    poll(harness)
    harness.list_tasks("new")
    assert kept(harness) == []
    harness.pass_time(30.0)
    assert harness.poller.limits == []
    assert not harness.journal.holds("new")


def test_poll_to_decide_is_not_held_by_the_api() -> None:
    harness = make_harness("a", poll_wait_seconds=60.0)
    poll(harness)
    assert harness.poller.requests[0].wait_seconds == 0


def test_claimed_task_is_gone_after_three_answers_with_a_page_after_each() -> None:
    harness = make_harness("a", claim_tasks=True)
    for _ in range(2):
        pages_until_sent(harness)
        assert kept(harness) == ["a"]
        harness.answer(outcome=ReportOutcome.GONE)
    page(harness)
    page(harness)
    assert kept(harness) == []
    assert reading(harness.metrics.reports, ReportOutcome.GONE) == 1


def test_conflict_on_a_claimed_task_needs_no_more_than_the_page() -> None:
    harness = Harness(make_settings(claim_tasks=True))
    harness.start_workers()
    harness.list_tasks("a")
    harness.answer_claim()
    harness.finish(0)
    harness.answer(answer=CONFLICT)
    page(harness)
    assert kept(harness) == []


def test_foreign_answer_settles_nothing(log_lines: Lines) -> None:
    harness = Harness(make_settings(concurrency_limit=1))
    harness.start_workers()
    harness.list_tasks("a")
    harness.finish(0)
    harness.answer(outcome=ReportOutcome.FOREIGN)
    assert kept(harness) == ["a"]
    assert reading(harness.metrics.reports, ReportOutcome.FOREIGN) == 1
    (failed,) = [line for line in log_lines if line["event"] == "report_failed"]
    assert failed["outcome"] == "foreign"
    harness.pass_time(2.1)
    harness.answer()
    assert kept(harness) == []


def test_tasks_are_taken_though_a_report_that_waits_for_a_page_was_the_probe() -> None:
    """The pages are capped, and so decide nothing; the next result is the next probe."""
    harness = Harness(make_settings(concurrency_limit=1, batch_max_tasks=1))
    harness.start_workers()
    harness.list_tasks("a")
    harness.finish(0)
    while not harness.supervisor.api_gate.reports.probing:
        pages_until_sent(harness)
        harness.answer(outcome=ReportOutcome.RETRY)
    pages_until_sent(harness)
    harness.answer(outcome=ReportOutcome.GONE)
    page(harness, *[f"new-{number}" for number in range(100)])
    poll(harness)
    harness.list_tasks(*[f"new-{number}" for number in range(100)])
    assert len(harness.held) == 1
    harness.finish(0)
    harness.pass_time(5.0)
    harness.answer()
    assert not harness.supervisor.api_gate.reports.probing


def test_tasks_that_are_listed_for_ever_hold_up_no_report_for_ever() -> None:
    """Ten rejected tasks make every page as long as the longest, and none of them can say what is gone."""
    rejected = [f"r{number}" for number in range(10)]
    harness = make_harness("a")
    page(harness, *rejected)
    harness.finish(0)
    for _ in rejected:
        harness.answer(outcome=ReportOutcome.REJECTED)
    for _ in range(2):
        pages_until_sent(harness, *rejected)
        assert harness.answer(outcome=ReportOutcome.GONE).task_id == "a"
    for _ in range(10):
        page(harness, *rejected)
    assert (harness.journal.rejected, len(harness.outbox)) == (11, 0)
