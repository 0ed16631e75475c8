"""What a page brings in: each task once, the broken ones failed, the stale and foreign ones left."""

import itertools
import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from shared.settings import UnknownTaskPolicy
from supervisor.task_api.answers import ReportOutcome
from supervisor.tasks.recently_finished import MOST_ENTRIES
from tests.builders import make_settings
from tests.fakes.house import House, item
from tests.readings import reading

Lines = list[MutableMapping[str, Any]]


def make_house(**fields: object) -> House:
    """No worker is ready, so that what was taken stays in the backlog."""
    house = House(make_settings(**fields))
    house.turn()
    return house


def waiting(house: House) -> list[str]:
    return [record.task.id for record in house.backlog.records()]


def poll_again(house: House) -> None:
    while not house.poller.limits:
        house.pass_time(1.0)


def test_new_tasks_are_taken_in_their_order_and_written_down() -> None:
    house = make_house()
    house.list_tasks("a", "b", "c")
    assert waiting(house) == ["a", "b", "c"]
    assert [record.task.id for record in house.journal.recover(0.0).records] == ["a", "b", "c"]


def test_task_listed_twice_is_taken_once() -> None:
    house = make_house()
    house.list_tasks("a", "b", "a")
    poll_again(house)
    house.list_tasks("b", "a", "c")
    assert waiting(house) == ["a", "b", "c"]


def test_no_more_is_taken_than_there_is_room_for() -> None:
    house = make_house()
    intake = house.supervisor.polling.intake
    taken = intake.take(house.page("a", "b", "c").answer, room=2)
    assert waiting(house) == ["a", "b"]
    assert taken.new == 2
    assert taken.full


def test_page_is_full_when_the_api_listed_all_it_was_asked_for() -> None:
    house = make_house()
    answer = house.page(*[item(f"t{number}") for number in range(house.poller.limits[0])]).answer
    assert house.supervisor.polling.intake.take(answer, room=10_000).full


def test_page_with_less_than_was_asked_for_is_not_full() -> None:
    house = make_house()
    taken = house.supervisor.polling.intake.take(house.page("a", "b").answer, room=10)
    assert (taken.new, taken.full) == (2, False)


def test_task_that_runs_or_waits_for_its_report_is_not_taken_again(house: House) -> None:
    house.list_tasks("runs", "finished")
    house.finish(1)
    poll_again(house)
    house.list_tasks("runs", "finished")
    assert waiting(house) == []
    assert len(house.held) == 1


def test_rejected_task_is_not_run_again(house: House) -> None:
    house.list_tasks("a")
    house.finish(0)
    house.answer(outcome=ReportOutcome.REJECTED)
    poll_again(house)
    house.list_tasks("a")
    assert house.held == {}


@pytest.mark.parametrize("outcome", [ReportOutcome.DONE, ReportOutcome.GONE])
def test_page_asked_for_before_the_report_is_stale_about_its_task(
    house: House, outcome: ReportOutcome
) -> None:
    house.list_tasks("a")
    poll_again(house)
    asked_at = house.clock()
    house.finish(0)
    house.clock.advance(0.5)
    house.answer(outcome=outcome)
    house.clock.advance(0.5)
    house.turn(house.page("a", "b", requested_at=asked_at))
    assert [unit.tasks[0].id for unit in house.held.values()] == ["b"]


def test_task_that_is_listed_well_after_its_report_was_reset_and_runs_again(house: House) -> None:
    house.list_tasks("a")
    house.finish(0)
    house.answer()
    poll_again(house)
    house.clock.advance(0.1)
    house.list_tasks("a")
    assert len(house.held) == 1


def test_reports_are_remembered_as_long_as_a_poll_may_take(house: House) -> None:
    house.list_tasks("a")
    poll_again(house)
    asked_at = house.clock()
    house.finish(0)
    house.answer()
    for number in range(100):
        house.clock.advance(5.0)
        house.supervisor.settlement._reported.note(f"other-{number}", house.clock())
    house.turn(house.page("a", requested_at=asked_at))
    assert house.held == {}


def test_task_that_the_api_calls_gone_but_lists_all_the_same_is_not_paid_for_at_each_poll(
    house: House,
) -> None:
    house.list_tasks("a")
    house.finish(0)
    house.answer(outcome=ReportOutcome.GONE)
    poll_again(house)
    house.list_tasks()
    assert len(house.journal) == 0
    for _ in range(10):
        poll_again(house)
        house.list_tasks("a")
        assert house.held == {}
    house.clock.advance(3601.0)
    poll_again(house)
    house.list_tasks("a")
    assert len(house.held) == 1


BROKEN: list[tuple[dict[str, object], str, str]] = [
    (item("x", type="paint"), "unknown_type", "unknown task type 'paint'"),
    (item("x", input_data={"text": ""}), "bad_input", 'input: "text" is empty'),
]


@pytest.mark.parametrize(("broken", "reason", "message"), BROKEN, ids=["type", "input"])
def test_broken_item_with_an_id_is_failed(broken: dict[str, object], reason: str, message: str) -> None:
    house = make_house()
    house.list_tasks("a", broken)
    assert waiting(house) == ["a"]
    (parcel,) = house.answer_all()
    told = json.loads(parcel.body)
    assert (parcel.task_id, told["status"], told["error_message"]) == ("x", "failed", message)
    assert reading(house.metrics.rejected, reason) == 1
    assert reading(house.metrics.processed, "unknown", "failed") == 1


def test_broken_item_is_failed_in_the_shape_it_came_in() -> None:
    house = make_house()
    house.list_tasks({"_id": "x", "type": "paint", "state": "pending", "content": ""})
    (parcel,) = house.answer_all()
    told = json.loads(parcel.body)
    assert told == {"state": "failed", "result": None, "error": "unknown task type 'paint'"}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"type": "text-embedding"}, "no_id"),
        (item(".."), "bad_id"),
        (item("x", status="failed"), "not_pending"),
    ],
    ids=["no id", "bad id", "not pending"],
)
def test_item_with_nothing_to_report_to_is_counted_and_skipped(
    broken: dict[str, object], reason: str
) -> None:
    house = make_house()
    house.list_tasks(broken, "a")
    assert waiting(house) == ["a"]
    assert house.reporter.parcels == []
    assert reading(house.metrics.rejected, reason) == 1


def test_broken_item_listed_again_is_failed_once() -> None:
    house = make_house()
    house.list_tasks(item("x", type="paint"), item("x", type="paint"))
    poll_again(house)
    house.list_tasks(item("x", type="paint"))
    assert len(house.answer_all()) == 1
    assert reading(house.metrics.rejected, "unknown_type") == 1


def test_unknown_types_are_left_where_the_policy_says_so() -> None:
    house = make_house(unknown_task_policy=UnknownTaskPolicy.LEAVE)
    house.list_tasks(item("x", type="paint"), item("bad", input_data=5), "a")
    assert waiting(house) == ["a"]
    assert [parcel.task_id for parcel in house.answer_all()] == ["bad"]
    assert not house.journal.holds("x")


def test_item_left_is_no_reason_to_poll_in_haste() -> None:
    house = make_house(unknown_task_policy=UnknownTaskPolicy.LEAVE)
    for _ in range(4):
        poll_again(house)
        house.list_tasks(item("x", type="paint"))
    assert house.supervisor.scheduler.next_at - house.clock() == 8.0


def test_unknown_items_that_fill_the_page_do_not_hide_the_tasks_behind_them() -> None:
    house = make_house(unknown_task_policy=UnknownTaskPolicy.LEAVE, batch_max_tasks=1, concurrency_limit=1)
    listed = [item(f"x{number}", type="paint") for number in range(500)] + [item("good")]
    for _ in range(10):
        poll_again(house)
        house.list_tasks(*listed[: house.poller.limits[0]])
    assert waiting(house) == ["good"]


def test_refusal_tells_the_log_which_task_it_was(log_lines: Lines) -> None:
    house = make_house()
    house.list_tasks(item("x", type="paint", correlation_id="c-1"))
    (line,) = [line for line in log_lines if line["event"] == "task_refused"]
    assert line["task_id"] == "x"
    assert line["correlation_id"] == "c-1"
    assert "task_type" in line


def test_failed_items_count_as_new_since_the_next_page_is_without_them() -> None:
    house = make_house()
    answer = house.page("a", item("x", type="paint"), item("y", input_data=5)).answer
    taken = house.supervisor.polling.intake.take(answer, room=10)
    assert (taken.new, taken.passed_over) == (3, 0)


def test_items_that_stay_in_the_way_are_told_from_those_that_are_held() -> None:
    house = make_house(unknown_task_policy=UnknownTaskPolicy.LEAVE)
    intake = house.supervisor.polling.intake
    page: list[str | dict[str, object]] = [
        "a",
        "b",
        item("x", type="paint"),
        item("y", status="failed"),
        {"no": "id"},
    ]
    first = house.page(*page).answer
    assert intake.take(first, room=10).passed_over == 3
    again = intake.take(first, room=10)
    assert (again.new, again.passed_over) == (0, 3)


UNCLEAR: dict[str, object] = {"id": "x", "type": "text-embedding", "status": "pending", "payload": "hello"}


def test_item_of_an_unclear_shape_is_left_and_said_once(log_lines: Lines) -> None:
    house = make_house()
    for _ in range(5):
        house.list_tasks(UNCLEAR, item("a"))
        poll_again(house)
    assert waiting(house) == ["a"]
    assert house.reporter.parcels == []
    (line,) = [line for line in log_lines if line["event"] == "task_refused"]
    assert (line["reason"], line["task_id"], line["items"]) == ("ambiguous_shape", "x", 1)
    assert reading(house.metrics.rejected, "ambiguous_shape") == 1


def test_items_left_for_one_reason_share_a_line(log_lines: Lines) -> None:
    house = make_house()
    done = [item(f"d{number}", status="completed") for number in range(300)]
    for _ in range(3):
        house.list_tasks(*done, {"no": "id"}, {"no": "id either"})
        poll_again(house)
    lines = [line for line in log_lines if line["event"] == "task_refused"]
    assert {line["reason"]: line["items"] for line in lines} == {"not_pending": 300, "no_id": 2}
    assert len(lines) == 2
    assert reading(house.metrics.rejected, "not_pending") == 300


def test_item_of_another_shard_is_not_ours_to_speak_of() -> None:
    mine = make_house(shard_count=2, shard_index=0)
    other = make_house(shard_count=2, shard_index=1)
    for house in (mine, other):
        house.list_tasks(UNCLEAR)
    counts = [reading(house.metrics.rejected, "ambiguous_shape") for house in (mine, other)]
    assert sorted(counts) == [0, 1]


def test_memory_of_what_was_said_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.tasks.intake.MOST_TOLD", 10)
    house = make_house()
    many = [UNCLEAR | {"id": f"x{number}"} for number in range(100)]
    for listed in (many, many[-10:], many[:1]):
        house.list_tasks(*listed)
        poll_again(house)
    assert reading(house.metrics.rejected, "ambiguous_shape") == 101
    assert len(house.supervisor.polling.intake._told) == 10


@pytest.mark.parametrize("one", [{"type": "paint"}, {"input_data": 5}], ids=["type", "input"])
def test_no_more_items_are_failed_than_there_is_room_for(one: dict[str, object], log_lines: Lines) -> None:
    house = make_house()
    intake = house.supervisor.polling.intake
    listed = [item("a"), *[item(f"x{number}", **one) for number in range(10)]]
    taken = intake.take(house.page(*listed).answer, room=4)
    assert (taken.new, taken.full, taken.passed_over) == (4, True, 0)
    assert len(house.outbox) == 3
    (line,) = [line for line in log_lines if line["event"] == "task_refused"]
    assert (line["task_id"], line["items"]) == ("x0", 3)


@pytest.mark.parametrize("outcome", [ReportOutcome.GONE, ReportOutcome.REJECTED, ReportOutcome.FOREIGN])
def test_api_that_invents_unknown_tasks_and_takes_no_report_does_not_fill_the_memory(
    outcome: ReportOutcome,
) -> None:
    house = make_house()
    house.supervisor.outbox_limit = 500
    ids = itertools.count()
    for _ in range(100):
        if house.poller.limits:
            house.list_tasks(*[item(f"x{next(ids)}", type="paint") for _ in range(house.poller.limits[0])])
        while house.reporter.parcels:
            house.answer(outcome=outcome)
        house.pass_time(0.2)
    assert house.supervisor.conditions.outbox_full or outcome is ReportOutcome.FOREIGN
    assert len(house.journal) <= 500 + house.supervisor.scheduler.room(0, 500)


def test_page_that_is_older_than_what_is_remembered_brings_nothing(house: House) -> None:
    """More was reported since it was asked for than can be remembered."""
    reported = house.supervisor.settlement._reported
    asked_at = house.clock()
    house.clock.advance(1.0)
    for number in range(MOST_ENTRIES + 1):
        reported.note(f"other-{number}", house.clock())
    house.turn(house.page("a", requested_at=asked_at))
    assert house.held == {}
    poll_again(house)
    house.clock.advance(0.1)
    house.list_tasks("a")
    assert len(house.held) == 1


@pytest.mark.parametrize(
    ("listed", "body"),
    [
        ({"_id": "x", "type": "text-embedding", "status": "pending", "input_data": "hello"}, "output_data"),
        ({"id": "x", "type": "text-embedding", "state": "pending", "content": "hello"}, "result"),
    ],
)
def test_mixture_is_reported_in_the_shape_of_its_state_field(listed: dict[str, object], body: str) -> None:
    house = make_house()
    house.start_workers(1)
    house.list_tasks(listed)
    house.finish(0)
    (parcel,) = house.answer_all()
    assert body in json.loads(parcel.body)
