"""Claims knock at the same door as polls and reports, and keep away from it while the API is ill."""

from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.status.status import NotReady
from supervisor.task_api.responses import ClaimDone, Health, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.harness import Harness

NO_ANSWER = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, None, "no answer")


def make_harness() -> Harness:
    harness = Harness(make_settings(claim_tasks=True, concurrency_limit=1))
    harness.start_workers()
    return harness


def claims(harness: Harness) -> list[str]:
    return sorted(job.task_id for job in harness.claim_queue.jobs)


def test_claims_that_fail_again_and_again_leave_the_api_alone() -> None:
    harness = make_harness()
    harness.list_tasks(*[f"t{number}" for number in range(50)])
    begun = [harness.claim_queue.send_one() for _ in range(5)]
    for job in begun:
        harness.turn(ClaimDone(job.task_id, NO_ANSWER))
    assert claims(harness) == []
    assert NotReady.API_CIRCUIT_OPEN in harness.status.not_ready
    assert len(harness.journal) == 50
    harness.pass_time(3.5)
    assert claims(harness) == []
    harness.pass_time(1.5)
    assert len(claims(harness)) + len(harness.poller.limits) == 1
    harness.pass_time(30.0)
    assert len(claims(harness)) + len(harness.poller.limits) == 1


def test_claims_held_back_by_a_full_disk_are_not_sent_to_an_api_that_fell_ill_meanwhile() -> None:
    harness = make_harness()
    harness.disk.fill()
    harness.list_tasks("a", "b")
    for _ in range(5):
        harness.supervisor.api_gate.reports.on_response(Health.UNHEALTHY, harness.clock(), None)
    harness.disk.free()
    harness.turn()
    assert claims(harness) == []
    assert harness.supervisor.api_gate.breaker.state is BreakerState.OPEN
    harness.pass_time(61.0)
    assert len(claims(harness)) + len(harness.poller.limits) == 1


def test_api_that_denies_access_gets_one_claim_after_each_pause() -> None:
    harness = make_harness()
    harness.list_tasks(*[f"t{number}" for number in range(50)])
    began_at = harness.clock()
    answered = 0
    while harness.clock() < began_at + 120.0:
        if harness.claim_queue.jobs:
            harness.answer_claim(answer=ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 401, "no"))
            answered += 1
        if harness.poller.limits:
            harness.list_tasks()
        harness.pass_time(0.1)
    assert 4 <= answered <= 8
