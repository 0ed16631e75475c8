"""How many tasks the API can list at once, and how long it can hold a poll, is learned from its answers."""

from collections.abc import Callable, MutableMapping
from typing import Any

import pytest

from shared.settings import UnknownTaskPolicy
from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.status.status import Idle, NotReady
from supervisor.task_api.responses import Health, PollResult
from tests.builders import make_settings
from tests.fakes.harness import Harness, item
from tests.readings import reading

Lines = list[MutableMapping[str, Any]]
Fails = Callable[[Harness, int], bool]


def make_harness(**fields: object) -> Harness:
    harness = Harness(make_settings(concurrency_limit=5, batch_max_tasks=100, **fields))
    harness.start_workers()
    return harness


def refuses_above(most: int) -> Fails:
    """An API that answers 422 to a larger limit."""

    def answer(harness: Harness, limit: int) -> bool:
        if limit > most:
            harness.poll_fails(PollResult.CLIENT_ERROR, Health.UNKNOWN, too_much=True)
        return limit > most

    return answer


def takes_seconds_a_task(seconds: float, timeout_seconds: float, pending: Callable[[], int]) -> Fails:
    """An API whose page takes so long to make; over the timeout there is no answer."""

    def answer(harness: Harness, limit: int) -> bool:
        took_seconds = min(min(limit, pending()) * seconds, timeout_seconds)
        harness.clock.advance(took_seconds)
        if took_seconds >= timeout_seconds:
            harness.poll_fails(
                PollResult.TIMEOUT, Health.UNHEALTHY, too_much=True, took_seconds=timeout_seconds
            )
        return took_seconds >= timeout_seconds

    return answer


def work_off(harness: Harness, pending: list[str], fails: Fails, max_seconds: float = 300.0) -> float:
    """Every worker and every report is done at once; the seconds until nothing is pending."""
    began_at = harness.clock()
    while pending:
        assert harness.clock() - began_at < max_seconds, f"{len(pending)} tasks left"
        if harness.poller.limits and not fails(harness, harness.poller.limits[0]):
            harness.list_tasks(*pending[: harness.poller.limits[0]])
        for slot in list(harness.held):
            harness.finish(slot)
        for job in harness.answer_all():
            pending.remove(job.task_id)
        harness.pass_time(0.05)
    return harness.clock() - began_at


@pytest.mark.parametrize("most", [1000, 100, 10])
def test_api_that_refuses_a_large_limit_gets_a_smaller_one(most: int, log_lines: Lines) -> None:
    harness = make_harness()
    pending = [f"t{number}" for number in range(3000 if most > 10 else 300)]
    seconds = work_off(harness, pending, refuses_above(most))
    assert seconds < 30
    refused = reading(harness.metrics.polls, PollResult.CLIENT_ERROR)
    assert refused <= 14
    learned = [line for line in log_lines if line["event"] == "poll_limit_learned"]
    assert all(most * 7 // 8 <= line["limit"] <= most for line in learned)
    assert len(learned) <= 2


@pytest.mark.slow
def test_limit_that_is_known_is_exceeded_only_now_and_then() -> None:
    harness = make_harness()
    for _ in range(3600):
        if harness.poller.limits and not refuses_above(1000)(harness, harness.poller.limits[0]):
            harness.list_tasks()
        harness.pass_time(1.0)
    assert reading(harness.metrics.polls, PollResult.CLIENT_ERROR) <= 15


def test_api_that_is_slow_over_large_pages_is_asked_for_smaller_ones() -> None:
    harness = make_harness()
    pending = [f"t{number}" for number in range(2000)]
    slow = takes_seconds_a_task(0.01, 5.0, lambda: len(pending))
    assert work_off(harness, pending, slow) < 90


def test_page_that_is_too_large_is_asked_for_in_parts() -> None:
    harness = make_harness()
    pending = [f"t{number}" for number in range(2000)]

    def too_large(harness: Harness, limit: int) -> bool:
        if min(limit, len(pending)) > 1600:
            harness.poll_fails(PollResult.BAD_PAGE, Health.HEALTHY, too_much=True)
        return min(limit, len(pending)) > 1600

    assert work_off(harness, pending, too_large) < 10


def test_smaller_limit_is_tried_soon_though_polls_are_seldom() -> None:
    harness = make_harness(polling_interval_seconds=300.0, polling_min_interval_seconds=60.0)
    harness.poll_fails(PollResult.CLIENT_ERROR, Health.UNKNOWN, too_much=True)
    harness.pass_time(0.5)
    assert harness.poller.limits == [1000]


def test_wait_that_the_api_asks_for_is_kept_before_a_smaller_limit() -> None:
    harness = make_harness()
    harness.poll_fails(PollResult.CLIENT_ERROR, Health.UNKNOWN, 20.0, too_much=True)
    harness.pass_time(19.0)
    assert harness.poller.limits == []


def test_limit_of_one_that_is_refused_is_plain_trouble() -> None:
    harness = make_harness()
    polls = 0
    for _ in range(600):
        if harness.poller.limits:
            polls += 1
            harness.poll_fails(PollResult.CLIENT_ERROR, Health.UNKNOWN, too_much=True)
        harness.pass_time(1.0)
    assert polls < 11 + 30
    assert harness.status.idle is Idle.POLLS_FAILING


def test_limit_grows_back_after_passing_trouble() -> None:
    harness = make_harness()
    for _ in range(5):
        harness.poll_fails(PollResult.CLIENT_ERROR, Health.UNKNOWN, too_much=True)
        harness.pass_time(1.0)
    limits: list[int] = []
    for _ in range(200):
        if harness.poller.limits:
            limits.append(harness.poller.limits[0])
            harness.list_tasks()
        harness.pass_time(1.0)
    assert limits[-1] == 2000


@pytest.mark.parametrize("result", [r for r in PollResult if r not in (PollResult.TASKS, PollResult.EMPTY)])
def test_service_whose_polls_fail_does_not_say_that_there_is_no_work(result: PollResult) -> None:
    harness = make_harness()
    harness.poll_fails(result, Health.UNKNOWN)
    assert harness.status.idle is Idle.POLLS_FAILING


def test_poll_that_succeeds_ends_it() -> None:
    harness = make_harness()
    harness.poll_fails(PollResult.CLIENT_ERROR, Health.UNKNOWN)
    harness.pass_time(5.0)
    harness.list_tasks()
    assert harness.status.idle is Idle.NO_WORK


def cut_off(harness: Harness, after_seconds: float) -> None:
    """A proxy does not wait so long for the answer to a held poll."""
    harness.pass_time(after_seconds)
    harness.poll_fails(PollResult.SERVER_ERROR, Health.UNKNOWN, took_seconds=after_seconds)


def test_poll_is_known_as_long_as_is_set() -> None:
    harness = make_harness(poll_wait_seconds=60.0)
    assert harness.poller.requests[0].wait_seconds == 60.0


def test_poll_that_a_proxy_cuts_off_is_followed_by_one_with_a_shorter_wait_at_once() -> None:
    harness = make_harness(poll_wait_seconds=60.0)
    cut_off(harness, 30.0)
    assert [request.wait_seconds for request in harness.poller.requests] == [15.0]
    assert NotReady.API_CIRCUIT_OPEN not in harness.status.not_ready
    assert harness.status.idle is Idle.NO_WORK


def test_wait_settles_below_what_the_proxy_allows() -> None:
    harness = make_harness(poll_wait_seconds=60.0)
    waits: list[float] = []
    for _ in range(20):
        wait_seconds = harness.poller.requests[0].wait_seconds
        waits.append(wait_seconds)
        if wait_seconds >= 30:
            cut_off(harness, 30.0)
        else:
            harness.pass_time(wait_seconds)
            harness.turn(harness.page(took_seconds=wait_seconds))
    assert waits[:2] == [60.0, 15.0]
    assert 25 <= waits[-1] < 30
    assert sum(wait >= 30 for wait in waits) <= 2


def test_proxy_that_holds_no_poll_is_polled_plainly() -> None:
    harness = make_harness(poll_wait_seconds=8.0)
    polls = 0
    for _ in range(120):
        if harness.poller.requests:
            polls += 1
            if harness.poller.requests[0].wait_seconds:
                cut_off(harness, 1.0)
            else:
                harness.list_tasks()
        harness.pass_time(1.0)
    assert not harness.poller.requests or harness.poller.requests[0].wait_seconds == 0
    assert polls < 20
    assert harness.supervisor.api_gate.breaker.state is BreakerState.CLOSED


def test_many_cut_polls_open_no_breaker_and_never_hurry() -> None:
    harness = make_harness(poll_wait_seconds=60.0)
    polls = 0
    for _ in range(60):
        if harness.poller.requests:
            polls += 1
            cut_off(harness, min(5.0, harness.poller.requests[0].wait_seconds or 1.0))
        harness.pass_time(1.0)
    assert harness.supervisor.api_gate.breaker.state is BreakerState.CLOSED
    assert polls < 40


def test_poll_that_the_api_refuses_at_once_is_no_cut(log_lines: Lines) -> None:
    harness = make_harness(poll_wait_seconds=60.0)
    harness.poll_fails(PollResult.RATE_LIMITED, Health.UNKNOWN, 5.0)
    assert harness.status.idle is Idle.POLLS_FAILING
    harness.pass_time(6.0)
    assert harness.poller.requests[0].wait_seconds == 60.0


def test_counter_of_polls_is_there_before_the_first_poll_is_answered() -> None:
    """A first poll of a minute must not look like a loop that stands still."""
    harness = make_harness(poll_wait_seconds=60.0)
    (metric,) = harness.metrics.polls.collect()
    assert {sample.labels["result"] for sample in metric.samples} == set(PollResult)


def test_small_pages_of_tasks_that_are_held_are_not_asked_for_in_haste() -> None:
    harness = make_harness()
    refuses = refuses_above(10)
    polls = 0
    for _ in range(600):
        if harness.poller.limits and not refuses(harness, harness.poller.limits[0]):
            polls += 1
            harness.list_tasks(*[f"t{number}" for number in range(10)])
        harness.pass_time(0.1)
    assert polls < 20


def test_small_pages_of_tasks_that_are_left_are_not_asked_for_in_haste() -> None:
    harness = make_harness(unknown_task_policy=UnknownTaskPolicy.LEAVE)
    refuses = refuses_above(10)
    polls = 0
    for _ in range(600):
        if harness.poller.limits and not refuses(harness, harness.poller.limits[0]):
            polls += 1
            harness.list_tasks(
                *[item(f"t{number}", type="other") for number in range(harness.poller.limits[0])]
            )
        harness.pass_time(0.1)
    assert polls < 20
