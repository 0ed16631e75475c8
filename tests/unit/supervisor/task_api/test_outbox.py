"""Which reports go out, when one that failed is tried again, and how a crowd is held back."""

from collections.abc import Iterable

import pytest

from shared.retry import Backoff
from supervisor.journal.task_record import Report
from supervisor.task_api.sender import Outbox
from tests.builders import make_report

WINDOW = 4


@pytest.fixture
def outbox() -> Outbox[Report]:
    """Backoffs last as long as they can: 2, 4, 8 ... 60 seconds."""
    return Outbox(Backoff(2.0, lambda _, high: high), WINDOW)


def ids(reports: Iterable[Report]) -> list[str]:
    return [report.task_id for report in reports]


def fill(outbox: Outbox[Report], count: int) -> None:
    for number in range(1, count + 1):
        outbox.add(make_report(f"r{number}"), since=float(number))


def test_reports_go_out_oldest_first(outbox: Outbox[Report]) -> None:
    fill(outbox, 3)
    assert ids(outbox.take(10.0)) == ["r1", "r2", "r3"]
    assert outbox.take(10.0) == []
    assert (len(outbox), outbox.under_way) == (3, 3)


def test_no_more_than_the_window_is_under_way(outbox: Outbox[Report]) -> None:
    fill(outbox, 9)
    assert ids(outbox.take(10.0)) == ["r1", "r2", "r3", "r4"]
    outbox.settle("r2")
    assert ids(outbox.take(10.0)) == ["r5"]


def test_fewer_may_be_asked_for(outbox: Outbox[Report]) -> None:
    fill(outbox, 3)
    assert ids(outbox.take(10.0, most=1)) == ["r1"]
    assert outbox.take(10.0, most=0) == []


def test_settled_report_is_gone(outbox: Outbox[Report]) -> None:
    fill(outbox, 1)
    outbox.take(10.0)
    entry = outbox.settle("r1")
    assert (entry.message.task_id, entry.since, entry.tries) == ("r1", 1.0, 0)
    assert len(outbox) == 0


@pytest.mark.parametrize(("tries", "seconds"), [(1, 2.0), (2, 4.0), (5, 32.0), (6, 60.0), (9, 60.0)])
def test_report_that_failed_waits_longer_each_time(
    outbox: Outbox[Report], tries: int, seconds: float
) -> None:
    fill(outbox, 1)
    now = 0.0
    for _ in range(tries):
        now += 100.0
        assert ids(outbox.take(now)) == ["r1"]
        outbox.postpone("r1", now, None)
    assert outbox.next_due_at == now + seconds
    assert outbox.take(now + seconds - 0.1) == []
    assert ids(outbox.take(now + seconds)) == ["r1"]
    assert outbox.settle("r1").tries == tries


def test_what_the_api_asks_for_wins_over_the_backoff(outbox: Outbox[Report]) -> None:
    fill(outbox, 1)
    outbox.take(10.0)
    outbox.postpone("r1", 10.0, 300.0)
    assert outbox.next_due_at == 310.0


def test_api_that_asks_for_no_wait_at_all_is_not_called_without_a_pause(outbox: Outbox[Report]) -> None:
    fill(outbox, 1)
    outbox.take(10.0)
    outbox.postpone("r1", 10.0, 0.0)
    assert outbox.take(10.0) == []


def test_message_that_is_under_way_may_be_changed(outbox: Outbox[Report]) -> None:
    fill(outbox, 1)
    outbox.take(10.0)
    outbox.change(make_report("r1", created_at_seconds=7.0))
    outbox.postpone("r1", 10.0, 1.0)
    assert outbox.take(11.0)[0].created_at_seconds == 7.0


def test_trouble_narrows_the_window_to_one_and_success_widens_it_again(outbox: Outbox[Report]) -> None:
    fill(outbox, 20)
    outbox.take(10.0)
    outbox.postpone("r1", 10.0, 1000.0)
    for report_id in ("r2", "r3"):
        outbox.settle(report_id)
    # Two accepted since the failure: 1 + 2 may be under way, of which r4 still is.
    assert ids(outbox.take(11.0)) == ["r5", "r6"]
    for report_id in ("r4", "r5", "r6"):
        outbox.settle(report_id)
    assert len(outbox.take(11.0)) == WINDOW


def test_window_narrowed_by_trouble_still_lets_one_through(outbox: Outbox[Report]) -> None:
    fill(outbox, 9)
    for report in outbox.take(10.0):
        outbox.postpone(report.task_id, 10.0, 1000.0)
    assert ids(outbox.take(11.0)) == ["r5"]
    assert outbox.take(11.0) == []


def test_report_handed_over_but_not_sent_goes_first_again(outbox: Outbox[Report]) -> None:
    fill(outbox, 5)
    outbox.take(10.0)
    outbox.put_back(["r2", "r3", "r4"])
    assert outbox.under_way == 1
    assert ids(outbox.take(10.0)) == ["r2", "r3", "r4"]


def test_reports_due_again_go_out_oldest_due_first(outbox: Outbox[Report]) -> None:
    fill(outbox, 3)
    outbox.take(10.0)
    for number, report_id in enumerate(["r1", "r2", "r3"]):
        outbox.postpone(report_id, 10.0, 1.0 + number)
    taken: list[str] = []
    for _ in range(3):
        (report,) = outbox.take(100.0, most=1)
        taken.append(report.task_id)
        outbox.settle(report.task_id)
    assert taken == ["r1", "r2", "r3"]


def test_age_is_that_of_the_report_that_waits_longest(outbox: Outbox[Report]) -> None:
    assert outbox.oldest_age_seconds(100.0) == 0.0
    outbox.add(make_report("young"), since=90.0)
    outbox.take(90.0)
    outbox.postpone("young", 90.0, 5.0)
    outbox.add(make_report("old"), since=40.0)
    assert outbox.oldest_age_seconds(94.0) == 54.0
    # The young one is due and goes ahead of the old one, which has not become younger by that.
    outbox.take(95.0, most=0)
    assert outbox.oldest_age_seconds(95.0) == 55.0


def test_all_that_is_not_under_way_can_be_taken_back(outbox: Outbox[Report]) -> None:
    fill(outbox, 6)
    outbox.take(10.0)
    outbox.postpone("r1", 10.0, 50.0)
    assert sorted(ids(outbox.take_back(lambda _: True))) == ["r1", "r5", "r6"]
    assert len(outbox) == outbox.under_way == 3
    assert outbox.next_due_at is None


def test_only_what_is_chosen_is_taken_back_and_the_rest_keeps_its_order(outbox: Outbox[Report]) -> None:
    fill(outbox, 9)
    outbox.take(10.0, most=2)
    outbox.postpone("r1", 10.0, 30.0)
    outbox.postpone("r2", 10.0, 20.0)
    taken = outbox.take_back(lambda report: report.task_id in ("r2", "r4", "r7"))
    assert sorted(ids(taken)) == ["r2", "r4", "r7"]
    assert outbox.next_due_at == 40.0
    sent: list[str] = []
    while reports := outbox.take(100.0, most=1):
        sent.extend(ids(reports))
        outbox.settle(reports[0].task_id)
    assert sent == ["r1", "r3", "r5", "r6", "r8", "r9"]


def test_what_waits_only_for_the_apis_trouble_is_retried_at_once_when_asked(outbox: Outbox[Report]) -> None:
    fill(outbox, 3)
    outbox.take(10.0)
    outbox.postpone("r1", 10.0, None)
    outbox.postpone("r2", 10.0, 30.0)
    outbox.defer("r3", 10.0, 20.0)
    outbox.retry_now()
    assert len(outbox) == 3
    assert ids(outbox.take(10.0)) == ["r1"]
    assert outbox.next_due_at == 30.0


def test_deferred_report_lets_the_others_go_first_and_leaves_the_window(outbox: Outbox[Report]) -> None:
    fill(outbox, 9)
    outbox.take(10.0)
    outbox.defer("r1", 10.0)
    assert ids(outbox.take(10.0)) == ["r5"]
    assert outbox.next_due_at == 10.5


def test_report_set_aside_is_kept_and_sent_only_when_it_is_said(outbox: Outbox[Report]) -> None:
    fill(outbox, 1)
    outbox.take(10.0)
    outbox.set_aside("r1")
    assert outbox.take(1000.0) == []
    assert (len(outbox), outbox.under_way, outbox.oldest_age_seconds(10.0)) == (1, 0, 9.0)
    outbox.send_again("r1", due_at=1002.0)
    assert outbox.take(1001.0) == []
    assert ids(outbox.take(1002.0)) == ["r1"]


def test_report_set_aside_can_be_settled(outbox: Outbox[Report]) -> None:
    fill(outbox, 1)
    outbox.take(10.0)
    outbox.set_aside("r1")
    assert outbox.settle("r1").tries == 1
    assert len(outbox) == 0
