"""Claims last for a lease: they are renewed, and what another replica has by then costs no call."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from shared.errors import RetryReason
from shared.settings import ClaimMode
from supervisor.runtime.events import PauseRequested, ResumeRequested
from supervisor.runtime.process import ExitCode
from supervisor.status.status import Idle
from supervisor.task_api.renewal import LeasesAnswered, RenewAnswer
from supervisor.task_api.responses import Health, ReportAnswer, ReportOutcome
from supervisor.tasks.leases import IDS_A_CALL
from tests.builders import make_settings
from tests.fakes.disk import Step
from tests.fakes.harness import Harness

Lines = list[MutableMapping[str, Any]]
LEASE_SECONDS = 300.0
CONFLICT = ReportAnswer(ReportOutcome.GONE, Health.UNKNOWN, 409, "status 409: another has it")

NO_ANSWER = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, None, "no answer")
TOO_MANY = ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 429, "status 429", 2 * LEASE_SECONDS)


def make_harness(path: Path = Path(":memory:"), **fields: object) -> Harness:
    chosen = {"claim_mode": ClaimMode.BATCH, "concurrency_limit": 1, "batch_max_tasks": 2, **fields}
    harness = Harness(make_settings(**chosen), path)
    harness.start_workers()
    return harness


def held(harness: Harness) -> list[str]:
    return [task.id for unit in harness.held.values() for task in unit.tasks]


def waiting(harness: Harness) -> list[str]:
    return sorted(record.task.id for record in harness.backlog.records())


def say(harness: Harness, answer: RenewAnswer) -> None:
    """Answer the renewal under way."""
    harness.turn(LeasesAnswered(harness.renewals.asked.pop(0), answer))


def left_by_an_earlier_run(path: Path, **fields: object) -> Harness:
    """The service after a restart, with the tasks a and b in its journal."""
    first = Harness(make_harness(Path(":memory:"), **fields).settings, path)
    first.turn()
    first.list_tasks("a", "b")
    for _ in first.claim_queue.jobs.copy():
        first.answer_claim()
    first.journal.close()
    second = Harness(first.settings, path)
    second.supervisor.recover()
    second.start_workers()
    return second


def test_all_that_is_claimed_is_renewed_three_times_in_a_lease() -> None:
    harness = make_harness()
    harness.list_tasks("a", "b", "c")
    harness.pass_time(LEASE_SECONDS / 3)
    assert [sorted(ids) for ids in harness.renewals.asked] == [["a", "b", "c"]]
    harness.answer_renewal()
    assert harness.renewals.asked == []
    harness.pass_time(LEASE_SECONDS / 3)
    assert len(harness.renewals.asked) == 1


def test_a_finished_task_is_renewed_until_its_report_is_accepted() -> None:
    harness = make_harness()
    harness.list_tasks("a", "b")
    harness.finish(0)
    harness.answer(harness.report_queue.send_one())
    harness.pass_time(LEASE_SECONDS / 3)
    assert harness.renewals.asked == [("b",)]


def test_what_another_replica_has_by_then_is_dropped_before_it_costs_a_call() -> None:
    harness = make_harness()
    harness.list_tasks("a", "b", "c", "d")
    harness.pass_time(LEASE_SECONDS / 3)
    harness.answer_renewal("c")
    assert waiting(harness) == ["d"]
    assert not harness.journal.holds("c")
    harness.finish(0)
    assert held(harness) == ["d"]


def test_what_is_lost_while_it_waits_for_a_retry_is_dropped_too() -> None:
    harness = make_harness()
    harness.list_tasks("a", "b")
    harness.fail(0, retry=RetryReason.RATE_LIMIT, retry_after_seconds=1000.0)
    harness.pass_time(LEASE_SECONDS / 3)
    harness.answer_renewal("a")
    assert waiting(harness) == ["b"]
    harness.pass_time(LEASE_SECONDS / 3)
    harness.answer_renewal("b")
    assert (len(harness.backlog), len(harness.journal)) == (0, 0)


def test_what_runs_or_is_finished_when_it_is_lost_is_reported_all_the_same() -> None:
    harness = make_harness()
    harness.list_tasks("a", "b")
    harness.pass_time(LEASE_SECONDS / 3)
    harness.answer_renewal("a", "b")
    assert held(harness) == ["a", "b"]
    harness.finish(0)
    harness.pass_time(LEASE_SECONDS / 3)
    harness.answer_renewal("a", "b")
    assert sorted(job.task_id for job in harness.report_queue.jobs) == ["a", "b"]


def test_after_a_start_nothing_runs_before_the_api_has_said_what_is_still_ours(tmp_path: Path) -> None:
    harness = left_by_an_earlier_run(tmp_path / "journal")
    assert (held(harness), harness.status.idle) == ([], Idle.CLAIMS_UNSURE)
    assert sorted(harness.renewals.asked[0]) == ["a", "b"]
    harness.answer_renewal("a")
    assert held(harness) == ["b"]


def test_a_start_with_an_empty_journal_asks_for_nothing() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    assert (held(harness), harness.renewals.asked) == (["a"], [])


def test_after_a_lease_without_a_renewal_nothing_is_begun_until_one_succeeds() -> None:
    harness = make_harness(task_timeout_seconds=86_400.0)
    harness.list_tasks("a", "b", "c")
    for _ in range(10):
        harness.pass_time(LEASE_SECONDS / 3)
        say(harness, RenewAnswer(harness.clock(), detail="no answer"))
        harness.turn()
    harness.finish(0)
    assert (held(harness), waiting(harness)) == ([], ["c"])
    harness.pass_time(LEASE_SECONDS / 3)
    harness.answer_renewal()
    assert held(harness) == ["c"]


def test_a_renewal_that_fails_is_tried_again_soon_but_not_at_once() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.pass_time(LEASE_SECONDS / 3)
    say(harness, RenewAnswer(harness.clock(), detail="no answer"))
    assert harness.renewals.asked == []
    harness.pass_time(LEASE_SECONDS / 10)
    assert harness.renewals.asked == [("a",)]


def test_a_renewal_waits_as_long_as_the_api_says() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.pass_time(LEASE_SECONDS / 3)
    say(harness, RenewAnswer(harness.clock(), detail="status 429", retry_after_seconds=90.0))
    harness.pass_time(89.0)
    assert harness.renewals.asked == []
    harness.pass_time(2.0)
    assert harness.renewals.asked == [("a",)]


@pytest.mark.parametrize("mode", [ClaimMode.EACH, ClaimMode.BATCH])
def test_an_api_without_renewals_keeps_claims_for_ever(tmp_path: Path, mode: ClaimMode) -> None:
    harness = left_by_an_earlier_run(tmp_path / "journal", claim_mode=mode)
    harness.lack_renewals()
    assert held(harness) == ["a", "b"]
    harness.pass_time(LEASE_SECONDS)
    assert harness.renewals.asked == []


def test_a_gateway_that_says_404_to_a_renewal_does_not_end_them() -> None:
    harness = make_harness()
    harness.list_tasks("a", "b", "c")
    harness.pass_time(LEASE_SECONDS / 3)
    harness.answer_renewal()
    harness.pass_time(LEASE_SECONDS / 3)
    harness.lack_renewals()
    harness.pass_time(LEASE_SECONDS / 10)
    assert len(harness.renewals.asked) == 1


def test_many_tasks_are_renewed_in_several_calls_one_after_the_other() -> None:
    harness = make_harness(batch_max_tasks=IDS_A_CALL)
    harness.list_tasks(*[f"t{number}" for number in range(IDS_A_CALL + 5)])
    harness.pass_time(LEASE_SECONDS / 3)
    assert [len(ids) for ids in harness.renewals.asked] == [IDS_A_CALL]
    harness.answer_renewal()
    assert [len(ids) for ids in harness.renewals.asked] == [5]
    harness.answer_renewal()
    assert harness.renewals.asked == []


def test_tasks_whose_claim_is_still_to_be_asked_for_are_not_renewed() -> None:
    harness = make_harness(claim_mode=ClaimMode.EACH)
    harness.list_tasks("a", "b", "c", "d", "e", "f")
    for _ in range(2):
        harness.answer_claim()
    harness.pass_time(LEASE_SECONDS / 3)
    claimed = {task_id for ids in harness.renewals.asked for task_id in ids}
    unclaimed = {message.task_id for message in harness.supervisor.claims.sender.outbox}
    assert len(claimed) == 2
    assert not claimed & unclaimed


@pytest.mark.parametrize(("has_leases", "runs"), [(True, []), (False, ["a"])])
def test_who_has_a_task_is_known_where_there_are_leases(
    tmp_path: Path, has_leases: bool, runs: list[str]
) -> None:
    """The answer to a claim was lost with the service, and another replica has the task."""
    first = make_harness(tmp_path / "journal", claim_mode=ClaimMode.EACH)
    first.list_tasks("a")
    first.journal.close()
    second = Harness(first.settings, tmp_path / "journal")
    second.supervisor.recover()
    second.start_workers()
    second.answer_renewal("a") if has_leases else second.lack_renewals()
    second.answer_claim(answer=CONFLICT)
    assert held(second) == runs
    assert len(second.journal) == len(runs)


def test_without_claims_nothing_is_renewed() -> None:
    harness = make_harness(claim_mode=ClaimMode.OFF)
    harness.list_tasks("a")
    harness.pass_time(LEASE_SECONDS)
    assert harness.renewals.asked == []


def fail_renewals(harness: Harness, seconds: float) -> None:
    """Let time pass in which no renewal is answered with more than trouble."""
    until = harness.clock() + seconds
    while harness.clock() < until:
        harness.pass_time(LEASE_SECONDS / 30)
        while harness.renewals.asked:
            say(harness, RenewAnswer(harness.clock(), detail="no answer"))


def test_a_retry_that_is_due_while_claims_are_unsure_does_not_make_the_loop_spin() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.fail(0, retry=RetryReason.SERVER_ERROR, retry_after_seconds=2.0 * LEASE_SECONDS)
    fail_renewals(harness, 3.0 * LEASE_SECONDS)
    assert (held(harness), harness.status.idle) == ([], Idle.CLAIMS_UNSURE)
    assert harness.wait() > 0.0


def test_a_claim_that_is_due_while_claims_are_unsure_does_not_make_the_loop_spin() -> None:
    harness = make_harness(claim_mode=ClaimMode.EACH)
    harness.list_tasks("a", "b")
    harness.answer_claim()
    harness.answer_claim(answer=TOO_MANY)
    harness.finish(0)
    fail_renewals(harness, 3.0 * LEASE_SECONDS)
    assert (harness.claim_queue.jobs, harness.status.idle) == ([], Idle.CLAIMS_UNSURE)
    assert harness.wait() > 0.0


def test_leases_are_renewed_while_the_api_takes_no_reports() -> None:
    """What waits to be reported would be run, and paid for, by another replica."""
    harness = make_harness(circuit_breaker_threshold=1)
    harness.list_tasks("a", "b")
    harness.finish(0)
    for _ in range(4):
        harness.pass_time(LEASE_SECONDS / 3)
        while harness.report_queue.jobs:
            harness.answer(outcome=ReportOutcome.RETRY)
        assert [sorted(ids) for ids in harness.renewals.asked] == [["a", "b"]]
        harness.answer_renewal()


def test_a_claim_that_the_api_hears_after_a_renewal_began_is_not_dropped_by_its_answer() -> None:
    harness = make_harness(claim_mode=ClaimMode.EACH)
    harness.list_tasks("a", "b")
    first = harness.answer_claim().task_id
    unsure = harness.answer_claim(answer=NO_ANSWER).task_id
    harness.pass_time(LEASE_SECONDS / 3)
    assert sorted(harness.renewals.asked[0]) == ["a", "b"], "it may be ours"
    harness.answer_claim()
    harness.answer_renewal(unsure)
    assert (held(harness), waiting(harness)) == ([first], [unsure])


@pytest.mark.parametrize("mode", [ClaimMode.EACH, ClaimMode.BATCH])
def test_an_api_that_answers_renewals_in_its_own_way_does_not_stop_all_work(
    tmp_path: Path, mode: ClaimMode
) -> None:
    harness = left_by_an_earlier_run(tmp_path / "journal", claim_mode=mode)
    say(harness, RenewAnswer(harness.clock(), is_refused=True, detail="the answer is no list of ids"))
    assert held(harness) == ["a", "b"]


def test_a_paused_service_keeps_its_claims() -> None:
    harness = make_harness()
    harness.turn(PauseRequested())
    harness.list_tasks("a")
    for _ in range(6):
        harness.pass_time(LEASE_SECONDS / 3)
        assert harness.renewals.asked == [("a",)]
        harness.answer_renewal()
    harness.turn(ResumeRequested())
    assert held(harness) == ["a"]


def test_a_full_disk_lets_others_have_the_tasks_and_asks_before_it_goes_on() -> None:
    harness = make_harness()
    harness.list_tasks("a", "b", "c", "d")
    harness.disk.fill(Step.COMMIT)
    harness.finish(0)
    harness.pass_time(2 * LEASE_SECONDS)
    assert harness.renewals.asked == []
    harness.disk.fill(None)
    harness.turn()
    assert [sorted(ids) for ids in harness.renewals.asked] == [["a", "b", "c", "d"]]
    harness.answer_renewal("c")
    assert (held(harness), waiting(harness)) == (["d"], [])


def test_a_stop_does_not_wait_for_a_renewal() -> None:
    harness = make_harness()
    harness.list_tasks("a")
    harness.pass_time(LEASE_SECONDS / 3)
    assert harness.renewals.asked
    harness.stop()
    harness.finish(0)
    harness.answer()
    assert harness.turn() is ExitCode.DRAINED


def test_an_answer_to_a_renewal_that_comes_in_a_drain_changes_nothing_that_is_given_back() -> None:
    harness = make_harness()
    harness.list_tasks("a", "b", "c")
    harness.pass_time(LEASE_SECONDS / 3)
    harness.stop()
    harness.answer_renewal("c")
    assert [job.task_id for job in harness.claim_queue.jobs] == ["c"]
    harness.answer_claim(answer=CONFLICT)
    assert not harness.journal.holds("c")
    harness.finish(0)
    harness.answer_all()
    assert harness.turn() is ExitCode.DRAINED


def test_a_lease_counts_from_before_the_renewal_was_asked_for() -> None:
    """When the API heard of it is not known."""
    harness = make_harness()
    harness.list_tasks("a", "b", "c")
    harness.pass_time(LEASE_SECONDS / 3)
    harness.clock.advance(LEASE_SECONDS / 2)
    harness.answer_renewal()
    harness.clock.advance(LEASE_SECONDS / 2)
    harness.finish(0)
    assert (held(harness), waiting(harness)) == ([], ["c"])


def test_the_log_says_once_that_leases_are_not_renewed_and_once_that_they_are(log_lines: Lines) -> None:
    harness = make_harness()
    harness.list_tasks("a")
    fail_renewals(harness, LEASE_SECONDS)
    harness.pass_time(LEASE_SECONDS / 3)
    harness.answer_renewal()
    events = [line["event"] for line in log_lines if "leases" in line["event"]]
    assert events == ["leases_not_renewed", "leases_renewed"]
