"""CLAIM_MODE=batch: a poll claims what it brings, so that nothing more is asked about it."""

from dataclasses import replace

from shared.settings import ClaimMode, UnknownTaskPolicy
from supervisor.journal.task_record import Claim
from supervisor.runtime.process import ExitCode
from supervisor.task_api.optional import TRY_AGAIN_SECONDS
from supervisor.task_api.responses import (
    Health,
    PollAnswer,
    PollResult,
    ReportAnswer,
    ReportOutcome,
    TasksPolled,
)
from supervisor.tasks.polling import MAX_CLAIM_SECONDS
from tests.builders import make_settings
from tests.fakes.harness import Harness, item

GONE = ReportAnswer(ReportOutcome.GONE, Health.UNKNOWN, 409, "status 409: another has it")


def make_harness(**fields: object) -> Harness:
    chosen = {"claim_mode": ClaimMode.BATCH, "concurrency_limit": 1, "batch_max_tasks": 2, **fields}
    harness = Harness(make_settings(**chosen))
    harness.start_workers()
    return harness


def claimed(task_id: str, **fields: object) -> dict[str, object]:
    """An item as a claim lists it."""
    return item(task_id, **{"status": "processing", **fields})


def held(harness: Harness) -> list[str]:
    return [task.id for unit in harness.held.values() for task in unit.tasks]


def lack_claim(harness: Harness) -> None:
    """The API has no such operation."""
    answer = PollAnswer(
        PollResult.CLIENT_ERROR,
        Health.UNKNOWN,
        harness.poller.requests.pop(0).limit,
        harness.clock(),
        detail="status 404",
        is_claimed=True,
        lacks_claim=True,
    )
    harness.turn(TasksPolled(answer))


def test_what_a_claim_lists_runs_at_once_and_is_ours_on_the_disk() -> None:
    harness = make_harness()
    assert harness.poller.requests[0].claims
    harness.list_tasks(claimed("a"))
    assert (held(harness), harness.claim_queue.jobs) == (["a"], [])
    (record,) = harness.journal.recover(0.0).interrupted
    assert record.claim is Claim.HELD


def test_no_more_is_claimed_than_the_workers_will_soon_get_to() -> None:
    harness = make_harness(concurrency_limit=3, batch_max_tasks=10)
    assert harness.poller.limits == [2 * 3 * 10]
    harness.list_tasks(*[claimed(f"t{number}") for number in range(60)])
    harness.finish(0)
    harness.answer_all()
    asked = sum(harness.poller.limits)
    assert len(harness.backlog) + asked <= 2 * 3 * 10


def test_what_is_claimed_already_does_not_raise_the_limit() -> None:
    harness = make_harness()
    harness.list_tasks(*[claimed(f"t{number}") for number in range(4)])
    harness.finish(0)
    harness.pass_time(2.0)
    assert harness.poller.limits == [2], "two run and two are to be reported: there is room for two"


def test_reports_that_wait_do_not_raise_the_limit_either() -> None:
    harness = make_harness(concurrency_limit=1, batch_max_tasks=100)
    for page in range(3):
        harness.list_tasks(*[claimed(f"t{page}-{number}") for number in range(200)])
        for _ in range(2):
            harness.finish(0)
        harness.pass_time(2.0)
        assert sum(harness.poller.limits) <= 200
    assert len(harness.outbox) == 600


def test_a_claim_may_be_held_while_claimed_tasks_run() -> None:
    """No page lists them again, so it does not end at once."""
    harness = make_harness(poll_wait_seconds=20.0)
    harness.list_tasks(claimed("a"))
    harness.turn()
    assert [(request.claims, request.wait_seconds) for request in harness.poller.requests] == [(True, 20.0)]


def test_an_api_that_does_not_hold_a_claim_is_not_asked_at_once_again() -> None:
    harness = make_harness(poll_wait_seconds=20.0)
    harness.list_tasks(claimed("a"))
    asked = 0
    for _ in range(100):
        harness.pass_time(0.1)
        if harness.poller.requests:
            asked += 1
            harness.list_tasks()
    assert asked < 15


def test_a_task_that_cannot_run_is_failed_without_another_claim() -> None:
    harness = make_harness()
    harness.list_tasks(claimed("a", type="unheard-of"), claimed("b", input_data={"text": ""}))
    assert sorted(job.task_id for job in harness.report_queue.jobs) == ["a", "b"]


def test_a_task_of_an_unknown_type_is_left_until_its_lease_ends() -> None:
    harness = make_harness(unknown_task_policy=UnknownTaskPolicy.LEAVE)
    harness.list_tasks(claimed("a", type="unheard-of"))
    assert (len(harness.journal), harness.report_queue.jobs) == (0, [])


def test_a_finished_task_in_a_claimed_page_is_not_run_again() -> None:
    harness = make_harness()
    harness.list_tasks(claimed("a"))
    harness.finish(0)
    harness.pass_time(2.0)
    asked_at = harness.clock()
    harness.clock.advance(0.1)
    harness.answer()
    harness.turn(harness.page(claimed("a"), requested_at=asked_at))
    assert held(harness) == []


def test_a_task_that_was_reset_is_run_again() -> None:
    harness = make_harness()
    harness.list_tasks(claimed("a"))
    harness.finish(0)
    harness.answer()
    harness.pass_time(2.0)
    harness.list_tasks(claimed("a"))
    assert held(harness) == ["a"]


def test_a_task_that_was_claimed_anew_after_its_lease_ended_keeps_its_place() -> None:
    harness = make_harness()
    harness.list_tasks(claimed("a"), claimed("b"), claimed("c"))
    harness.pass_time(2.0)
    harness.list_tasks(claimed("c"))
    assert sorted(record.task.id for record in harness.backlog.records()) == ["c"]


def test_a_drain_gives_back_what_was_not_begun() -> None:
    harness = make_harness()
    harness.list_tasks(claimed("a"), claimed("b"), claimed("c"))
    harness.stop()
    assert [job.task_id for job in harness.claim_queue.jobs] == ["c"]
    harness.finish(0)
    harness.answer_all()
    assert harness.claim_queue.jobs
    harness.answer_claim()
    assert harness.turn() is ExitCode.DRAINED


def test_a_drain_waits_for_a_claim_under_way_and_gives_back_what_it_brings() -> None:
    harness = make_harness()
    assert harness.poller.requests
    assert harness.stop() is None
    assert harness.list_tasks(claimed("a")) is None
    harness.answer_claim()
    assert harness.turn() is ExitCode.DRAINED


def test_a_drain_does_not_wait_long_for_a_claim() -> None:
    harness = make_harness()
    harness.clock.advance(MAX_CLAIM_SECONDS)
    assert harness.stop() is ExitCode.DRAINED


def test_an_api_that_cannot_claim_a_page_is_asked_for_each_task() -> None:
    harness = make_harness()
    lack_claim(harness)
    assert [request.claims for request in harness.poller.requests] == [False]
    harness.list_tasks("a")
    assert (held(harness), len(harness.claim_queue.jobs)) == ([], 1)
    harness.answer_claim()
    assert held(harness) == ["a"]


def test_it_is_tried_again_some_time_later() -> None:
    harness = make_harness()
    lack_claim(harness)
    harness.list_tasks()
    for _ in range(int(TRY_AGAIN_SECONDS / 30) + 1):
        harness.pass_time(30.0)
        if harness.poller.requests and harness.poller.requests[0].claims:
            break
        harness.list_tasks()
    assert harness.poller.requests[0].claims


def test_a_gateway_that_says_404_does_not_change_how_tasks_are_claimed() -> None:
    harness = make_harness()
    harness.list_tasks(claimed("a"))
    harness.pass_time(2.0)
    lack_claim(harness)
    harness.pass_time(60.0)
    assert harness.poller.requests[0].claims


def test_a_report_that_was_answered_as_gone_is_confirmed_by_a_page_that_claims_nothing() -> None:
    harness = make_harness()
    harness.list_tasks(claimed("a"))
    harness.finish(0)
    harness.answer(answer=GONE)
    harness.pass_time(1.0)
    (request,) = harness.poller.requests
    assert (request.claims, request.sought) == (False, frozenset({"a"}))
    harness.list_tasks()
    assert len(harness.journal) == 0
    assert harness.poller.requests[0].claims, "the poll for tasks is not held up by it"


def test_while_a_limited_type_takes_its_share_the_others_are_chosen_from_the_list() -> None:
    harness = make_harness(concurrency_limit=4, batch_max_tasks=100, task_limits={"text-embedding": 1})
    room = harness.poller.limits[0]
    harness.list_tasks(*[claimed(f"t{number}") for number in range(room)])
    harness.finish(0)
    harness.pass_time(3.0)
    assert [request.claims for request in harness.poller.requests] == [False]


def test_the_limit_of_a_claim_is_learned_as_that_of_a_list() -> None:
    harness = make_harness()
    before = harness.poller.limits[0]
    request = harness.poller.requests.pop(0)
    refused = PollAnswer(
        PollResult.CLIENT_ERROR, Health.UNKNOWN, request.limit, harness.clock(), too_much=True
    )
    harness.turn(TasksPolled(replace(refused, is_claimed=True)))
    harness.pass_time(3.0)
    assert harness.poller.limits[0] < before
