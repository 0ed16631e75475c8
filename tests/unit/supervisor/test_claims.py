"""With several replicas a task is claimed before work starts, and given back if it was not begun."""

import json
from pathlib import Path

import pytest

from supervisor.journal.task_record import Claim
from supervisor.runtime.exit_codes import ExitCode
from supervisor.task_api.answers import Health, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.house import House

CONFLICT = ReportAnswer(ReportOutcome.GONE, Health.UNKNOWN, 409, "status 409: another has it")
NO_ANSWER = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, None, "no answer")
UNAVAILABLE = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 503, "status 503")
BAD_GATEWAY = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 502, "status 502")


def make_house(path: Path = Path(":memory:"), **fields: object) -> House:
    house = House(make_settings(claim_tasks=True, **{"concurrency_limit": 1, **fields}), path)
    house.start_workers()
    return house


def claims(house: House) -> list[str]:
    return sorted(parcel.task_id for parcel in house.claimer.parcels)


def held(house: House) -> list[str]:
    return [task.id for unit in house.held.values() for task in unit.tasks]


def claim_on_disk(house: House, task_id: str) -> Claim:
    left = house.journal.recover(0.0)
    by_id = {record.task.id: record.claim for record in (*left.records, *left.interrupted)}
    return by_id[task_id]


def test_without_claims_a_task_runs_at_once() -> None:
    house = House(make_settings(concurrency_limit=1))
    house.start_workers()
    house.list_tasks("a")
    assert (held(house), claims(house)) == (["a"], [])


def test_no_work_starts_before_the_claim_is_granted() -> None:
    house = make_house()
    house.list_tasks("a")
    assert (held(house), claims(house)) == ([], ["a"])
    house.answer_claim()
    assert held(house) == ["a"]
    assert claim_on_disk(house, "a") is Claim.HELD


def test_claim_is_on_disk_before_it_is_sent() -> None:
    house = make_house()
    house.disk.full = True
    house.list_tasks("a")
    assert claims(house) == []
    house.disk.full = False
    house.turn()
    assert claims(house) == ["a"]
    assert claim_on_disk(house, "a") is Claim.ASKED


@pytest.mark.parametrize(
    ("item", "body"),
    [
        ({"id": "a", "type": "text-embedding", "input_data": "x"}, {"status": "processing"}),
        ({"_id": "a", "type": "text_embedding", "content": "x"}, {"state": "in_progress"}),
    ],
    ids=["flat", "nestjs"],
)
def test_claim_is_told_in_the_shape_the_task_came_in(item: dict[str, object], body: dict[str, str]) -> None:
    house = make_house()
    house.list_tasks(item)
    assert json.loads(house.answer_claim().body) == body


@pytest.mark.parametrize("outcome", [ReportOutcome.GONE, ReportOutcome.REJECTED])
def test_task_whose_claim_is_refused_is_let_go(outcome: ReportOutcome) -> None:
    house = make_house()
    house.list_tasks("a")
    house.answer_claim(outcome)
    assert held(house) == []
    assert not house.journal.holds("a")
    assert len(house.supervisor.claims) == 0


def test_claim_that_failed_is_tried_again() -> None:
    house = make_house()
    house.list_tasks("a")
    house.answer_claim(answer=UNAVAILABLE)
    assert claims(house) == []
    house.pass_time(2.0)
    house.answer_claim()
    assert held(house) == ["a"]


@pytest.mark.parametrize("answer", [NO_ANSWER, BAD_GATEWAY, UNAVAILABLE], ids=["none", "502", "503"])
def test_conflict_after_a_claim_that_may_have_been_heard_is_our_own_claim(answer: ReportAnswer) -> None:
    house = make_house()
    house.list_tasks("a")
    house.answer_claim(answer=answer)
    house.pass_time(2.0)
    house.answer_claim(answer=CONFLICT)
    assert held(house) == ["a"]


def test_claim_that_may_have_been_heard_before_a_restart_is_taken_up(tmp_path: Path) -> None:
    first = make_house(tmp_path / "journal")
    first.list_tasks("a", "b")
    first.answer_claim()
    first.journal.close()
    second = House(first.settings, tmp_path / "journal")
    second.supervisor.recover()
    second.start_workers()
    assert len(held(second)) == 1
    second.answer_claim(answer=CONFLICT)
    second.finish(0)
    assert len(held(second)) == 1


def test_no_more_is_claimed_than_the_workers_will_soon_get_to() -> None:
    house = make_house(batch_max_tasks=3)
    house.list_tasks(*[f"t{number}" for number in range(50)])
    assert len(claims(house)) == 2 * 3
    for _ in range(6):
        house.answer_claim()
    assert len(held(house)) in (1, 2, 3)
    taken = len(held(house)) + len(house.backlog) + len(claims(house))
    assert taken <= 3 + 2 * 3


def test_replicas_do_not_all_begin_with_the_same_task() -> None:
    names = [f"t{number}" for number in range(200)]
    first = set()
    for _ in range(5):
        house = make_house(batch_max_tasks=1)
        house.list_tasks(*names)
        first.update(claims(house))
    assert len(first) > 2


def test_drain_gives_back_what_no_worker_has() -> None:
    house = make_house(batch_max_tasks=1)
    house.list_tasks("a", "b")
    while house.claimer.parcels:
        house.answer_claim()
    (running,) = held(house)
    house.stop()
    (returned,) = claims(house)
    assert returned != running
    assert json.loads(house.answer_claim().body) == {"status": "pending"}
    assert house.finish(0) is None
    parcel = house.reporter.send_one()
    assert parcel.task_id == running
    house.reporter.parcels.append(parcel)
    house.answer()
    assert house.turn() is ExitCode.DRAINED
    assert len(house.journal) == 0


def test_drain_forgets_what_was_never_claimed() -> None:
    house = make_house(batch_max_tasks=1)
    house.list_tasks(*[f"t{number}" for number in range(20)])
    asked = claims(house)
    house.stop()
    assert sorted(record.task.id for record in house.journal.recover(0.0).records) == asked


def test_claim_granted_during_the_drain_is_given_back() -> None:
    house = make_house()
    house.list_tasks("a")
    house.stop()
    house.answer_claim()
    assert json.loads(house.answer_claim().body) == {"status": "pending"}
    assert house.turn() is ExitCode.DRAINED


def test_drain_does_not_forget_a_task_whose_claim_may_have_been_heard() -> None:
    house = make_house()
    house.list_tasks("a")
    house.answer_claim(answer=NO_ANSWER)
    house.stop()
    # To the API the task may be ours by now: forgotten here, nobody would ever run it.
    assert house.journal.holds("a") or claims(house) == ["a"]


def test_claims_not_given_back_in_time_are_kept_for_the_next_run(tmp_path: Path) -> None:
    house = make_house(tmp_path / "journal", batch_max_tasks=1)
    house.list_tasks("a", "b")
    while house.claimer.parcels:
        house.answer_claim()
    house.stop()
    assert house.pass_time(26.0) is ExitCode.LEFT_OVER
    house.supervisor._release()
    assert len(house.journal.recover(0.0).records) == 2


def test_return_that_has_to_wait_is_not_given_up() -> None:
    house = make_house()
    house.list_tasks("a")
    house.stop()
    house.answer_claim()
    house.answer_claim(answer=NO_ANSWER)
    for _ in range(3):
        house.turn()
    assert house.journal.holds("a")
    house.pass_time(60.0)
    assert json.loads(house.answer_claim().body) == {"status": "pending"}
    assert house.turn() is ExitCode.DRAINED


def test_conflict_on_a_claim_that_was_surely_not_heard_before_is_another_replicas() -> None:
    house = make_house()
    house.list_tasks("a")
    house.answer_claim(answer=CONFLICT)
    assert held(house) == []
    assert not house.journal.holds("a")


def test_tasks_that_wait_for_their_claim_take_up_room() -> None:
    house = make_house(batch_max_tasks=1)
    house.list_tasks(*[f"t{number}" for number in range(100)])
    house.pass_time(100.0)
    assert house.poller.limits == []
