"""With several replicas a task is claimed before work starts, and given back if it was not begun."""

import json
import random
from pathlib import Path

import pytest

from supervisor.journal.task_record import Claim
from supervisor.runtime.process import ExitCode
from supervisor.task_api.responses import Health, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.harness import Harness, item

CONFLICT = ReportAnswer(ReportOutcome.GONE, Health.UNKNOWN, 409, "status 409: another has it")
NO_ANSWER = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, None, "no answer")
UNAVAILABLE = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 503, "status 503")
BAD_GATEWAY = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, 502, "status 502")


def make_harness(path: Path = Path(":memory:"), **fields: object) -> Harness:
    harness = Harness(make_settings(claim_tasks=True, **{"concurrency_limit": 1, **fields}), path)
    harness.start_workers()
    return harness


def claims(harness: Harness) -> list[str]:
    return sorted(job.task_id for job in harness.claim_queue.jobs)


def held(harness: Harness) -> list[str]:
    return [task.id for unit in harness.held.values() for task in unit.tasks]


def claim_on_disk(harness: Harness, task_id: str) -> Claim:
    left = harness.journal.recover(0.0)
    by_id = {record.task.id: record.claim for record in (*left.records, *left.interrupted)}
    return by_id[task_id]


def test_without_claims_a_task_runs_at_once() -> None:
    harness = Harness(make_settings(concurrency_limit=1))
    harness.start_workers()
    harness.list_tasks("a")
    assert (held(harness), claims(harness)) == (["a"], [])


def test_no_work_starts_before_the_claim_is_granted() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    assert (held(harness), claims(harness)) == ([], ["a"])
    harness.answer_claim()
    assert held(harness) == ["a"]
    assert claim_on_disk(harness, "a") is Claim.HELD


def test_claim_is_on_disk_before_it_is_sent() -> None:
    harness = make_harness()
    harness.disk.fill()
    harness.list_tasks("a")
    assert claims(harness) == []
    harness.disk.free()
    harness.turn()
    assert claims(harness) == ["a"]
    assert claim_on_disk(harness, "a") is Claim.ASKED


@pytest.mark.parametrize(
    ("item", "body"),
    [
        ({"id": "a", "type": "text-embedding", "input_data": "x"}, {"status": "processing"}),
        ({"_id": "a", "type": "text_embedding", "content": "x"}, {"state": "in_progress"}),
    ],
    ids=["flat", "nestjs"],
)
def test_claim_is_told_in_the_shape_the_task_came_in(item: dict[str, object], body: dict[str, str]) -> None:
    harness = make_harness()
    harness.list_tasks(item)
    assert json.loads(harness.answer_claim().body) == body


@pytest.mark.parametrize("outcome", [ReportOutcome.GONE, ReportOutcome.REJECTED])
def test_task_whose_claim_is_refused_is_let_go(outcome: ReportOutcome) -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.answer_claim(outcome)
    assert held(harness) == []
    assert not harness.journal.holds("a")
    assert len(harness.supervisor.claims) == 0


def test_claim_that_failed_is_tried_again() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.answer_claim(answer=UNAVAILABLE)
    assert claims(harness) == []
    harness.pass_time(2.0)
    harness.answer_claim()
    assert held(harness) == ["a"]


@pytest.mark.parametrize("answer", [NO_ANSWER, BAD_GATEWAY, UNAVAILABLE], ids=["none", "502", "503"])
def test_conflict_after_a_claim_that_may_have_been_heard_is_our_own_claim(answer: ReportAnswer) -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.answer_claim(answer=answer)
    harness.pass_time(2.0)
    harness.answer_claim(answer=CONFLICT)
    assert held(harness) == ["a"]


def test_claim_that_may_have_been_heard_before_a_restart_is_taken_up(tmp_path: Path) -> None:
    first = make_harness(tmp_path / "journal")
    first.list_tasks("a", "b")
    first.answer_claim()
    first.journal.close()
    second = Harness(first.settings, tmp_path / "journal")
    second.supervisor.recover()
    second.start_workers()
    second.lack_renewals()
    assert len(held(second)) == 1
    second.answer_claim(answer=CONFLICT)
    second.finish(0)
    assert len(held(second)) == 1


def test_no_more_is_claimed_than_the_workers_will_soon_get_to() -> None:
    harness = make_harness(batch_max_tasks=3)
    harness.list_tasks(*[f"t{number}" for number in range(50)])
    assert len(claims(harness)) == 2 * 3
    for _ in range(6):
        harness.answer_claim()
    assert len(held(harness)) in (1, 2, 3)
    taken = len(held(harness)) + len(harness.backlog) + len(claims(harness))
    assert taken <= 3 + 2 * 3


def test_replicas_do_not_all_begin_with_the_same_task() -> None:
    names = [f"t{number}" for number in range(200)]
    first = set()
    for seed in range(5):
        settings = make_settings(claim_tasks=True, concurrency_limit=1, batch_max_tasks=1)
        harness = Harness(settings, draw=random.Random(seed).uniform)
        harness.start_workers()
        harness.list_tasks(*names)
        first.update(claims(harness))
    assert len(first) > 2


def test_drain_gives_back_what_no_worker_has() -> None:
    harness = make_harness(batch_max_tasks=1)
    harness.list_tasks("a", "b")
    while harness.claim_queue.jobs:
        harness.answer_claim()
    (running,) = held(harness)
    harness.stop()
    (returned,) = claims(harness)
    assert returned != running
    assert json.loads(harness.answer_claim().body) == {"status": "pending"}
    assert harness.finish(0) is None
    job = harness.report_queue.send_one()
    assert job.task_id == running
    harness.report_queue.jobs.append(job)
    harness.answer()
    assert harness.turn() is ExitCode.DRAINED
    assert len(harness.journal) == 0


def test_drain_forgets_what_was_never_claimed() -> None:
    harness = make_harness(batch_max_tasks=1)
    harness.list_tasks(*[f"t{number}" for number in range(20)])
    asked = claims(harness)
    harness.stop()
    assert sorted(record.task.id for record in harness.journal.recover(0.0).records) == asked


def test_claim_granted_during_the_drain_is_given_back() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.stop()
    harness.answer_claim()
    assert json.loads(harness.answer_claim().body) == {"status": "pending"}
    assert harness.turn() is ExitCode.DRAINED


def test_drain_does_not_forget_a_task_whose_claim_may_have_been_heard() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.answer_claim(answer=NO_ANSWER)
    harness.stop()
    # To the API the task may be ours by now: forgotten here, nobody would ever run it.
    assert harness.journal.holds("a") or claims(harness) == ["a"]


def test_claims_not_given_back_in_time_are_kept_for_the_next_run(tmp_path: Path) -> None:
    harness = make_harness(tmp_path / "journal", batch_max_tasks=1)
    harness.list_tasks("a", "b")
    while harness.claim_queue.jobs:
        harness.answer_claim()
    harness.stop()
    assert harness.pass_time(26.0) is ExitCode.LEFT_OVER
    harness.supervisor.release()
    assert len(harness.journal.recover(0.0).records) == 2


def test_return_that_has_to_wait_is_not_given_up() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.stop()
    harness.answer_claim()
    harness.answer_claim(answer=NO_ANSWER)
    for _ in range(3):
        harness.turn()
    assert harness.journal.holds("a")
    harness.pass_time(60.0)
    assert json.loads(harness.answer_claim().body) == {"status": "pending"}
    assert harness.turn() is ExitCode.DRAINED


def test_conflict_on_a_claim_that_was_surely_not_heard_before_is_another_replicas() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.answer_claim(answer=CONFLICT)
    assert held(harness) == []
    assert not harness.journal.holds("a")


def test_tasks_that_wait_for_their_claim_take_up_room() -> None:
    harness = make_harness(batch_max_tasks=1)
    harness.list_tasks(*[f"t{number}" for number in range(100)])
    harness.pass_time(100.0)
    assert harness.poller.limits == []


def test_tasks_of_higher_priority_are_claimed_first() -> None:
    harness = make_harness(batch_max_tasks=1)
    listed = [item(f"t{priority}", priority=priority) for priority in (0, 3, -1, 2, 1)]
    harness.list_tasks(*listed)
    assert claims(harness) == ["t2", "t3"]
