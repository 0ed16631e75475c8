"""Reports reach the API as far as it lets us: after the commit, within bounds, one probe when it is ill."""

import errno

import pytest

from supervisor.journal.journal import TaskJournal
from supervisor.task_api.responses import Health, ReportAnswer, ReportDone, ReportOutcome
from tests.builders import make_settings
from tests.fakes.harness import Harness

WINDOW = 2 * 8
NO_ANSWER = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, None, "no answer")
BUSY = ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "busy", 40.0)


def make_harness(results: int) -> Harness:
    """So many tasks are done, one after the other, and their reports on the way."""
    harness = Harness(make_settings(report_concurrency=2, concurrency_limit=1, batch_max_tasks=1))
    harness.start_workers()
    harness.list_tasks(*[f"t{number}" for number in range(results)])
    while harness.held:
        harness.clock.advance(0.01)
        harness.finish(0)
    return harness


def under_way(harness: Harness) -> list[str]:
    return [job.task_id for job in harness.report_queue.jobs]


def no_polls(harness: Harness) -> None:
    """Keep polls away, which could be the probe as well: a full outbox stops them."""
    harness.supervisor.outbox_limit = 1


def fail_all_begun(harness: Harness, begun: int) -> None:
    """The first reports were being sent; no answer came to any."""
    jobs = [harness.report_queue.send_one() for _ in range(begun)]
    for job in jobs:
        harness.turn(ReportDone(job.task_id, NO_ANSWER))


def test_no_more_reports_are_handed_over_than_the_window_holds() -> None:
    harness = make_harness(50)
    assert under_way(harness) == [f"t{number}" for number in range(WINDOW)]
    harness.answer()
    assert len(under_way(harness)) == WINDOW


def test_api_that_fails_again_and_again_is_left_alone() -> None:
    harness = make_harness(50)
    fail_all_begun(harness, 5)
    assert under_way(harness) == []
    assert len(harness.outbox) == 50
    harness.pass_time(3.5)
    assert under_way(harness) == []


def test_one_report_probes_whether_the_api_is_back_and_the_rest_follow_slowly() -> None:
    harness = make_harness(50)
    fail_all_begun(harness, 5)
    no_polls(harness)
    harness.pass_time(60.0)
    assert len(under_way(harness)) == 1
    harness.answer()
    assert len(under_way(harness)) == 2
    harness.answer()
    assert len(under_way(harness)) == 3


def test_oldest_report_is_the_first_to_go_once_the_api_is_back() -> None:
    harness = make_harness(50)
    fail_all_begun(harness, 5)
    no_polls(harness)
    sent: list[str] = []
    harness.pass_time(130.0)
    while harness.report_queue.jobs:
        sent.append(harness.answer().task_id)
        harness.pass_time(0.1)
    assert sent == [f"t{number}" for number in range(50)]


def test_every_report_arrives_once_after_a_long_outage() -> None:
    harness = make_harness(50)
    for _ in range(20):
        if harness.report_queue.jobs:
            harness.answer(outcome=ReportOutcome.RETRY)
        harness.pass_time(61.0)
        if harness.poller.limits:
            harness.list_tasks()
    sent: list[str] = []
    for _ in range(200):
        sent.extend(job.task_id for job in harness.answer_all())
        harness.pass_time(5.0)
        if harness.poller.limits:
            harness.list_tasks()
    assert sorted(sent) == sorted(f"t{number}" for number in range(50))
    assert len(harness.outbox) == len(harness.journal) == 0


def test_pause_that_the_api_asks_for_holds_what_was_not_begun() -> None:
    harness = make_harness(50)
    harness.answer(answer=BUSY)
    assert under_way(harness) == []
    harness.pass_time(39.0)
    assert under_way(harness) == []
    harness.pass_time(1.1)
    assert under_way(harness) != []


@pytest.mark.parametrize("status", [400, 404, 409, 410, 412, 422])
def test_refusal_of_one_report_is_no_trouble_of_the_api(status: int) -> None:
    harness = make_harness(50)
    outcome = ReportOutcome.REJECTED if status in (400, 422) else ReportOutcome.GONE
    for _ in range(20):
        harness.answer(answer=ReportAnswer(outcome, Health.UNKNOWN, status, "no"))
    assert len(under_way(harness)) == WINDOW


def test_probe_is_the_only_call_however_wide_the_window_is() -> None:
    harness = Harness(make_settings(concurrency_limit=1))
    harness.start_workers()
    harness.list_tasks(*[f"t{number}" for number in range(50)])
    for _ in range(5):
        harness.supervisor.api_gate.reports.on_response(Health.UNHEALTHY, harness.clock(), None)
    harness.finish(0)
    assert under_way(harness) == []
    harness.pass_time(60.0)
    calls = len(harness.report_queue.jobs) + len(harness.poller.limits)
    assert calls == 1
    harness.pass_time(100.0)
    assert len(harness.report_queue.jobs) + len(harness.poller.limits) == 1
    harness.answer()
    assert len(under_way(harness)) > 1


def test_report_that_cannot_be_read_is_tried_again_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harness = Harness()
    harness.start_workers()
    harness.list_tasks("bad", "good")
    with monkeypatch.context() as patch:
        body = harness.journal.body

        def read(task_id: str) -> bytes:
            if task_id == "bad":
                raise OSError(errno.EIO, "a bad spot on the disk")
            return body(task_id)

        patch.setattr(TaskJournal, "body", lambda _, task_id: read(task_id))
        for slot in list(harness.held):
            harness.finish(slot)
        assert under_way(harness) == ["good"]
        harness.answer()
    harness.pass_time(130.0)
    assert under_way(harness) == ["bad"]


def refused(status: int) -> ReportAnswer:
    return ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, status, "no")


@pytest.mark.parametrize("status", [401, 403, 408, 307])
def test_api_that_refuses_all_gets_one_report_after_each_pause(status: int) -> None:
    harness = make_harness(50)
    answered_at: list[float] = []
    began_at = harness.clock()
    while harness.clock() < began_at + 300.0:
        if harness.report_queue.jobs:
            harness.answer(answer=refused(status))
            answered_at.append(harness.clock() - began_at)
        if harness.poller.limits:
            harness.list_tasks()
        harness.pass_time(0.5)
    assert len(answered_at) <= 11
    assert len(harness.outbox) == 50


def test_reports_flow_again_once_the_api_takes_one() -> None:
    harness = make_harness(50)
    harness.answer(answer=refused(401))
    assert under_way(harness) == []
    harness.pass_time(1.1)
    assert len(under_way(harness)) == 1
    harness.answer()
    assert len(under_way(harness)) == 2


def test_reports_that_are_always_refused_hold_up_no_others() -> None:
    harness = make_harness(50)
    refused_ids = {f"t{number}" for number in range(20)}
    arrived: set[str] = set()
    for _ in range(600):
        for job in [harness.report_queue.send_one() for _ in under_way(harness)]:
            if job.task_id in refused_ids:
                harness.answer(job, answer=refused(403))
            else:
                arrived.add(harness.answer(job).task_id)
        if harness.poller.limits:
            harness.list_tasks()
        harness.pass_time(0.1)
    assert arrived == {f"t{number}" for number in range(20, 50)}


def test_pace_is_kept_too_while_reports_are_refused() -> None:
    harness = make_harness(50)
    harness.answer(answer=refused(401))
    sent = 0
    for _ in range(100):
        harness.pass_time(0.1)
        if harness.report_queue.jobs:
            sent += 1
            harness.answer(answer=ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "busy"))
        if harness.poller.limits:
            harness.list_tasks()
    assert sent <= 15
