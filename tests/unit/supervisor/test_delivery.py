"""Reports reach the API as far as it lets us: after the commit, within bounds, one probe when it is ill."""

import errno

import pytest

from supervisor.journal.journal import TaskJournal
from supervisor.runtime.events import ReportDone
from supervisor.task_api.answers import Health, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.house import House

WINDOW = 2 * 8
NO_ANSWER = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, None, "no answer")
BUSY = ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "busy", 40.0)


def make_house(results: int) -> House:
    """So many tasks are done, one after the other, and their reports on the way."""
    house = House(make_settings(report_concurrency=2, concurrency_limit=1, batch_max_tasks=1))
    house.start_workers()
    house.list_tasks(*[f"t{number}" for number in range(results)])
    while house.held:
        house.clock.advance(0.01)
        house.finish(0)
    return house


def under_way(house: House) -> list[str]:
    return [parcel.task_id for parcel in house.reporter.parcels]


def no_polls(house: House) -> None:
    """Keep polls away, which could be the probe as well: a full outbox stops them."""
    house.supervisor.outbox_limit = 1


def fail_all_begun(house: House, begun: int) -> None:
    """The first reports were being sent; no answer came to any."""
    parcels = [house.reporter.send_one() for _ in range(begun)]
    for parcel in parcels:
        house.turn(ReportDone(parcel.task_id, NO_ANSWER))


def test_no_more_reports_are_handed_over_than_the_window_holds() -> None:
    house = make_house(50)
    assert under_way(house) == [f"t{number}" for number in range(WINDOW)]
    house.answer()
    assert len(under_way(house)) == WINDOW


def test_api_that_fails_again_and_again_is_left_alone() -> None:
    house = make_house(50)
    fail_all_begun(house, 5)
    assert under_way(house) == []
    assert len(house.outbox) == 50
    house.pass_time(3.5)
    assert under_way(house) == []


def test_one_report_probes_whether_the_api_is_back_and_the_rest_follow_slowly() -> None:
    house = make_house(50)
    fail_all_begun(house, 5)
    no_polls(house)
    house.pass_time(60.0)
    assert len(under_way(house)) == 1
    house.answer()
    assert len(under_way(house)) == 2
    house.answer()
    assert len(under_way(house)) == 3


def test_oldest_report_is_the_first_to_go_once_the_api_is_back() -> None:
    house = make_house(50)
    fail_all_begun(house, 5)
    no_polls(house)
    sent: list[str] = []
    house.pass_time(130.0)
    while house.reporter.parcels:
        sent.append(house.answer().task_id)
        house.pass_time(0.1)
    assert sent == [f"t{number}" for number in range(50)]


def test_every_report_arrives_once_after_a_long_outage() -> None:
    house = make_house(50)
    for _ in range(20):
        if house.reporter.parcels:
            house.answer(outcome=ReportOutcome.RETRY)
        house.pass_time(61.0)
        if house.poller.limits:
            house.list_tasks()
    sent: list[str] = []
    for _ in range(200):
        sent.extend(parcel.task_id for parcel in house.answer_all())
        house.pass_time(5.0)
        if house.poller.limits:
            house.list_tasks()
    assert sorted(sent) == sorted(f"t{number}" for number in range(50))
    assert len(house.outbox) == len(house.journal) == 0


def test_pause_that_the_api_asks_for_holds_what_was_not_begun() -> None:
    house = make_house(50)
    house.answer(answer=BUSY)
    assert under_way(house) == []
    house.pass_time(39.0)
    assert under_way(house) == []
    house.pass_time(1.1)
    assert under_way(house) != []


@pytest.mark.parametrize("status", [400, 404, 409, 410, 412, 422])
def test_refusal_of_one_report_is_no_trouble_of_the_api(status: int) -> None:
    house = make_house(50)
    outcome = ReportOutcome.REJECTED if status in (400, 422) else ReportOutcome.GONE
    for _ in range(20):
        house.answer(answer=ReportAnswer(outcome, Health.UNKNOWN, status, "no"))
    assert len(under_way(house)) == WINDOW


def test_probe_is_the_only_call_however_wide_the_window_is() -> None:
    house = House(make_settings(concurrency_limit=1))
    house.start_workers()
    house.list_tasks(*[f"t{number}" for number in range(50)])
    for _ in range(5):
        house.supervisor.api_gate.reports.heard(Health.UNHEALTHY, house.clock(), None)
    house.finish(0)
    assert under_way(house) == []
    house.pass_time(60.0)
    calls = len(house.reporter.parcels) + len(house.poller.limits)
    assert calls == 1
    house.pass_time(100.0)
    assert len(house.reporter.parcels) + len(house.poller.limits) == 1
    house.answer()
    assert len(under_way(house)) > 1


def test_report_that_cannot_be_read_is_tried_again_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    house.start_workers()
    house.list_tasks("bad", "good")
    with monkeypatch.context() as patch:
        body = house.journal.body

        def read(task_id: str) -> bytes:
            if task_id == "bad":
                raise OSError(errno.EIO, "a bad spot on the disk")
            return body(task_id)

        patch.setattr(TaskJournal, "body", lambda _, task_id: read(task_id))
        for slot in list(house.held):
            house.finish(slot)
        assert under_way(house) == ["good"]
        house.answer()
    house.pass_time(130.0)
    assert under_way(house) == ["bad"]


def refused(status: int) -> ReportAnswer:
    return ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, status, "no")


@pytest.mark.parametrize("status", [401, 403, 408, 307])
def test_api_that_refuses_all_gets_one_report_after_each_pause(status: int) -> None:
    house = make_house(50)
    answered_at: list[float] = []
    began_at = house.clock()
    while house.clock() < began_at + 300.0:
        if house.reporter.parcels:
            house.answer(answer=refused(status))
            answered_at.append(house.clock() - began_at)
        if house.poller.limits:
            house.list_tasks()
        house.pass_time(0.1)
    assert len(answered_at) <= 11
    assert len(house.outbox) == 50


def test_reports_flow_again_once_the_api_takes_one() -> None:
    house = make_house(50)
    house.answer(answer=refused(401))
    assert under_way(house) == []
    house.pass_time(1.1)
    assert len(under_way(house)) == 1
    house.answer()
    assert len(under_way(house)) == 2


def test_reports_that_are_always_refused_hold_up_no_others() -> None:
    house = make_house(50)
    refused_ids = {f"t{number}" for number in range(20)}
    arrived: set[str] = set()
    for _ in range(600):
        for parcel in [house.reporter.send_one() for _ in under_way(house)]:
            if parcel.task_id in refused_ids:
                house.answer(parcel, answer=refused(403))
            else:
                arrived.add(house.answer(parcel).task_id)
        if house.poller.limits:
            house.list_tasks()
        house.pass_time(0.1)
    assert arrived == {f"t{number}" for number in range(20, 50)}


def test_pace_is_kept_too_while_reports_are_refused() -> None:
    house = make_house(50)
    house.answer(answer=refused(401))
    sent = 0
    for _ in range(100):
        house.pass_time(0.1)
        if house.reporter.parcels:
            sent += 1
            house.answer(answer=ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "busy"))
        if house.poller.limits:
            house.list_tasks()
    assert sent <= 15
