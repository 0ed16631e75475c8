"""What a page brings in: each task once, the broken ones failed, the stale and foreign ones left."""

import itertools
import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from shared.settings import UnknownTaskPolicy
from supervisor.task_api.poll_scheduler import Load
from supervisor.task_api.responses import ReportOutcome
from supervisor.tasks.reports import MAX_ENTRIES
from tests.builders import make_settings
from tests.fakes.harness import Harness, item
from tests.readings import reading

Lines = list[MutableMapping[str, Any]]


def make_harness(**fields: object) -> Harness:
    """No worker is ready, so that what was taken stays in the backlog."""
    harness = Harness(make_settings(**fields))
    harness.turn()
    return harness


def waiting(harness: Harness) -> list[str]:
    return [record.task.id for record in harness.backlog.records()]


def poll_again(harness: Harness) -> None:
    while not harness.poller.limits:
        harness.pass_time(1.0)


def test_new_tasks_are_taken_in_their_order_and_written_down() -> None:
    harness = make_harness()
    harness.list_tasks("a", "b", "c")
    assert waiting(harness) == ["a", "b", "c"]
    assert [record.task.id for record in harness.journal.recover(0.0).records] == ["a", "b", "c"]


def test_task_listed_twice_is_taken_once() -> None:
    harness = make_harness()
    harness.list_tasks("a", "b", "a")
    poll_again(harness)
    harness.list_tasks("b", "a", "c")
    assert waiting(harness) == ["a", "b", "c"]


def test_page_with_too_many_tasks_gives_those_of_higher_priority_first() -> None:
    harness = make_harness()
    low, high, higher = (item(f"p{priority}", priority=priority) for priority in (-1, 2, 3))
    page = harness.page(low, "a", high, "b", higher)
    harness.supervisor.polling.intake.take(page.answer, room=3)
    assert sorted(waiting(harness)) == ["a", "p2", "p3"]


def test_page_with_too_many_tasks_of_one_priority_gives_the_types_in_turn() -> None:
    harness = make_harness()
    flood = [f"e{number}" for number in range(9)]
    generation = {"type": "text-generation", "input_data": {"prompt": "hello", "model": "m"}}
    page = harness.page(*flood, item("g0", **generation), item("g1", **generation))
    harness.supervisor.polling.intake.take(page.answer, room=4)
    assert sorted(waiting(harness)) == ["e0", "e1", "g0", "g1"]


def test_no_more_is_taken_than_there_is_room_for() -> None:
    harness = make_harness()
    intake = harness.supervisor.polling.intake
    taken = intake.take(harness.page("a", "b", "c").answer, room=2)
    assert waiting(harness) == ["a", "b"]
    assert taken.new == 2
    assert taken.full


def test_page_is_full_when_the_api_listed_all_it_was_asked_for() -> None:
    harness = make_harness()
    answer = harness.page(*[item(f"t{number}") for number in range(harness.poller.limits[0])]).answer
    assert harness.supervisor.polling.intake.take(answer, room=10_000).full


def test_page_with_less_than_was_asked_for_is_not_full() -> None:
    harness = make_harness()
    taken = harness.supervisor.polling.intake.take(harness.page("a", "b").answer, room=10)
    assert (taken.new, taken.full) == (2, False)


def test_task_that_runs_or_waits_for_its_report_is_not_taken_again(harness: Harness) -> None:
    harness.list_tasks("runs", "finished")
    harness.finish(1)
    poll_again(harness)
    harness.list_tasks("runs", "finished")
    assert waiting(harness) == []
    assert len(harness.held) == 1


def test_rejected_task_is_not_run_again(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.finish(0)
    harness.answer(outcome=ReportOutcome.REJECTED)
    poll_again(harness)
    harness.list_tasks("a")
    assert harness.held == {}


@pytest.mark.parametrize("outcome", [ReportOutcome.DONE, ReportOutcome.GONE])
def test_page_asked_for_before_the_report_is_stale_about_its_task(
    harness: Harness, outcome: ReportOutcome
) -> None:
    harness.list_tasks("a")
    poll_again(harness)
    asked_at = harness.clock()
    harness.finish(0)
    harness.clock.advance(0.5)
    harness.answer(outcome=outcome)
    harness.clock.advance(0.5)
    harness.turn(harness.page("a", "b", requested_at=asked_at))
    assert [unit.tasks[0].id for unit in harness.held.values()] == ["b"]


def test_task_that_is_listed_well_after_its_report_was_reset_and_runs_again(harness: Harness) -> None:
    harness.list_tasks("a")
    harness.finish(0)
    harness.answer()
    poll_again(harness)
    harness.clock.advance(0.1)
    harness.list_tasks("a")
    assert len(harness.held) == 1


def test_reports_are_remembered_as_long_as_a_poll_may_take(harness: Harness) -> None:
    harness.list_tasks("a")
    poll_again(harness)
    asked_at = harness.clock()
    harness.finish(0)
    harness.answer()
    for number in range(100):
        harness.clock.advance(5.0)
        harness.supervisor.reports.accepted.note(f"other-{number}", harness.clock())
    harness.turn(harness.page("a", requested_at=asked_at))
    assert harness.held == {}


def test_task_that_the_api_calls_gone_but_lists_all_the_same_is_not_paid_for_at_each_poll(
    harness: Harness,
) -> None:
    harness.list_tasks("a")
    harness.finish(0)
    harness.answer(outcome=ReportOutcome.GONE)
    poll_again(harness)
    harness.list_tasks()
    assert len(harness.journal) == 0
    for _ in range(10):
        poll_again(harness)
        harness.list_tasks("a")
        assert harness.held == {}
    harness.clock.advance(3601.0)
    poll_again(harness)
    harness.list_tasks("a")
    assert len(harness.held) == 1


BROKEN: list[tuple[dict[str, object], str, str]] = [
    (item("x", type="paint"), "unknown_type", "unknown task type 'paint'"),
    (item("x", input_data={"text": ""}), "bad_input", 'input: "text" is empty'),
]


@pytest.mark.parametrize(("broken", "reason", "message"), BROKEN, ids=["type", "input"])
def test_broken_item_with_an_id_is_failed(broken: dict[str, object], reason: str, message: str) -> None:
    harness = make_harness()
    harness.list_tasks("a", broken)
    assert waiting(harness) == ["a"]
    (job,) = harness.answer_all()
    told = json.loads(job.body)
    assert (job.task_id, told["status"], told["error_message"]) == ("x", "failed", message)
    assert reading(harness.metrics.rejected, reason) == 1
    known = "unknown" if reason == "unknown_type" else "text-embedding"
    assert reading(harness.metrics.processed, known, "failed") == 1


def test_broken_item_is_failed_in_the_shape_it_came_in() -> None:
    harness = make_harness()
    harness.list_tasks({"_id": "x", "type": "paint", "state": "pending", "content": ""})
    (job,) = harness.answer_all()
    told = json.loads(job.body)
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
    harness = make_harness()
    harness.list_tasks(broken, "a")
    assert waiting(harness) == ["a"]
    assert harness.report_queue.jobs == []
    assert reading(harness.metrics.rejected, reason) == 1


def test_broken_item_listed_again_is_failed_once() -> None:
    harness = make_harness()
    harness.list_tasks(item("x", type="paint"), item("x", type="paint"))
    poll_again(harness)
    harness.list_tasks(item("x", type="paint"))
    assert len(harness.answer_all()) == 1
    assert reading(harness.metrics.rejected, "unknown_type") == 1


def test_unknown_types_are_left_where_the_policy_says_so() -> None:
    harness = make_harness(unknown_task_policy=UnknownTaskPolicy.LEAVE)
    harness.list_tasks(item("x", type="paint"), item("bad", input_data=5), "a")
    assert waiting(harness) == ["a"]
    assert [job.task_id for job in harness.answer_all()] == ["bad"]
    assert not harness.journal.holds("x")


def test_item_left_is_no_reason_to_poll_in_haste() -> None:
    harness = make_harness(unknown_task_policy=UnknownTaskPolicy.LEAVE)
    for _ in range(4):
        poll_again(harness)
        harness.list_tasks(item("x", type="paint"))
    assert harness.supervisor.polling.scheduler.next_at - harness.clock() == 8.0


def test_unknown_items_that_fill_the_page_do_not_hide_the_tasks_behind_them() -> None:
    harness = make_harness(
        unknown_task_policy=UnknownTaskPolicy.LEAVE, batch_max_tasks=1, concurrency_limit=1
    )
    listed = [item(f"x{number}", type="paint") for number in range(500)] + [item("good")]
    for _ in range(10):
        poll_again(harness)
        harness.list_tasks(*listed[: harness.poller.limits[0]])
    assert waiting(harness) == ["good"]


def test_refusal_tells_the_log_which_task_it_was(log_lines: Lines) -> None:
    harness = make_harness()
    harness.list_tasks(item("x", type="paint", correlation_id="c-1"))
    (line,) = [line for line in log_lines if line["event"] == "task_refused"]
    assert line["task_id"] == "x"
    assert line["correlation_id"] == "c-1"
    assert "task_type" in line


def test_failed_items_count_as_new_since_the_next_page_is_without_them() -> None:
    harness = make_harness()
    answer = harness.page("a", item("x", type="paint"), item("y", input_data=5)).answer
    taken = harness.supervisor.polling.intake.take(answer, room=10)
    assert (taken.new, taken.passed_over) == (3, 0)


def test_items_that_stay_in_the_way_are_told_from_those_that_are_held() -> None:
    harness = make_harness(unknown_task_policy=UnknownTaskPolicy.LEAVE)
    intake = harness.supervisor.polling.intake
    page: list[str | dict[str, object]] = [
        "a",
        "b",
        item("x", type="paint"),
        item("y", status="failed"),
        {"no": "id"},
    ]
    first = harness.page(*page).answer
    assert intake.take(first, room=10).passed_over == 3
    again = intake.take(first, room=10)
    assert (again.new, again.passed_over) == (0, 3)


UNCLEAR: dict[str, object] = {"id": "x", "type": "text-embedding", "status": "pending", "payload": "hello"}


def test_item_of_an_unclear_shape_is_left_and_said_once(log_lines: Lines) -> None:
    harness = make_harness()
    for _ in range(5):
        harness.list_tasks(UNCLEAR, item("a"))
        poll_again(harness)
    assert waiting(harness) == ["a"]
    assert harness.report_queue.jobs == []
    (line,) = [line for line in log_lines if line["event"] == "task_refused"]
    assert (line["reason"], line["task_id"], line["items"]) == ("ambiguous_shape", "x", 1)
    assert reading(harness.metrics.rejected, "ambiguous_shape") == 1


def test_items_left_for_one_reason_share_a_line(log_lines: Lines) -> None:
    harness = make_harness()
    done = [item(f"d{number}", status="completed") for number in range(300)]
    for _ in range(3):
        harness.list_tasks(*done, {"no": "id"}, {"no": "id either"})
        poll_again(harness)
    lines = [line for line in log_lines if line["event"] == "task_refused"]
    assert {line["reason"]: line["items"] for line in lines} == {"not_pending": 300, "no_id": 2}
    assert len(lines) == 2
    assert reading(harness.metrics.rejected, "not_pending") == 300


def test_item_of_another_shard_is_not_ours_to_speak_of() -> None:
    mine = make_harness(shard_count=2, shard_index=0)
    other = make_harness(shard_count=2, shard_index=1)
    for harness in (mine, other):
        harness.list_tasks(UNCLEAR)
    counts = [reading(harness.metrics.rejected, "ambiguous_shape") for harness in (mine, other)]
    assert sorted(counts) == [0, 1]


def test_memory_of_what_was_said_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.tasks.intake.MAX_TOLD", 10)
    harness = make_harness()
    many = [UNCLEAR | {"id": f"x{number}"} for number in range(100)]
    for listed in (many, many[-10:], many[:1]):
        harness.list_tasks(*listed)
        poll_again(harness)
    assert reading(harness.metrics.rejected, "ambiguous_shape") == 101
    assert len(harness.supervisor.polling.intake.told) == 10


@pytest.mark.parametrize("one", [{"type": "paint"}, {"input_data": 5}], ids=["type", "input"])
def test_no_more_items_are_failed_than_there_is_room_for(one: dict[str, object], log_lines: Lines) -> None:
    harness = make_harness()
    intake = harness.supervisor.polling.intake
    listed = [item("a"), *[item(f"x{number}", **one) for number in range(10)]]
    taken = intake.take(harness.page(*listed).answer, room=4)
    assert (taken.new, taken.full, taken.passed_over) == (4, True, 0)
    assert len(harness.outbox) == 3
    (line,) = [line for line in log_lines if line["event"] == "task_refused"]
    assert (line["task_id"], line["items"]) == ("x0", 3)


@pytest.mark.parametrize(
    "outcome",
    [
        ReportOutcome.GONE,
        pytest.param(ReportOutcome.REJECTED, marks=pytest.mark.slow),
        pytest.param(ReportOutcome.FOREIGN, marks=pytest.mark.slow),
    ],
)
def test_api_that_invents_unknown_tasks_and_takes_no_report_does_not_fill_the_memory(
    outcome: ReportOutcome,
) -> None:
    harness = make_harness()
    harness.supervisor.outbox_limit = 500
    ids = itertools.count()
    for _ in range(100):
        if harness.poller.limits:
            harness.list_tasks(
                *[item(f"x{next(ids)}", type="paint") for _ in range(harness.poller.limits[0])]
            )
        harness.answer_all(outcome)
        harness.pass_time(0.2)
    assert harness.supervisor.state.outbox_full or outcome is ReportOutcome.FOREIGN
    assert len(harness.journal) <= 500 + harness.supervisor.polling.scheduler.room(Load(owed=500))


def test_page_that_is_older_than_what_is_remembered_brings_nothing(harness: Harness) -> None:
    """More was reported since it was asked for than can be remembered."""
    reported = harness.supervisor.reports.accepted
    asked_at = harness.clock()
    harness.clock.advance(1.0)
    for number in range(MAX_ENTRIES + 1):
        reported.note(f"other-{number}", harness.clock())
    harness.turn(harness.page("a", requested_at=asked_at))
    assert harness.held == {}
    poll_again(harness)
    harness.clock.advance(0.1)
    harness.list_tasks("a")
    assert len(harness.held) == 1


@pytest.mark.parametrize(
    ("listed", "body"),
    [
        ({"_id": "x", "type": "text-embedding", "status": "pending", "input_data": "hello"}, "output_data"),
        ({"id": "x", "type": "text-embedding", "state": "pending", "content": "hello"}, "result"),
    ],
)
def test_mixture_is_reported_in_the_shape_of_its_state_field(listed: dict[str, object], body: str) -> None:
    harness = make_harness()
    harness.start_workers(1)
    harness.list_tasks(listed)
    harness.finish(0)
    (job,) = harness.answer_all()
    assert body in json.loads(job.body)
