"""Every gauge that is promised is there, with every value of its labels, drawn from the status."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from shared.errors import RetryReason
from supervisor.console.gauges import StatusGauges
from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.status.status import BreakerStatus, Idle, SlotState, StatusBoard
from tests.builders import make_settings
from tests.fakes.harness import Harness
from tests.unit.supervisor.status.statuses import LOST_MODEL, WORKING

GAUGES = {
    "ai_tasks_in_flight": (),
    "ai_tasks_backlog": (),
    "ai_poll_last_success_timestamp_seconds": (),
    "ai_outbox_size": (),
    "ai_outbox_oldest_age_seconds": (),
    "ai_workers": ("state",),
    "ai_worker_rss_bytes": ("slot",),
    "ai_idle": ("reason",),
    "circuit_breaker_state": ("service",),
    "ai_provider_hold": ("provider", "reason"),
    "ai_task_processor_build_info": ("version",),
}


def registry_of(harness: Harness) -> CollectorRegistry:
    harness.clock.advance(1.0)
    harness.turn()
    registry = CollectorRegistry()
    registry.register(StatusGauges(harness.board))
    return registry


def harness_on_hold() -> Harness:
    """A service that the provider refuses, so that every gauge has something to show."""
    harness = Harness(make_settings(concurrency_limit=1))
    harness.start_workers()
    harness.list_tasks("a")
    harness.fail(0, retry=RetryReason.QUOTA)
    return harness


def test_gauges_are_exactly_those_that_are_promised() -> None:
    families = list(registry_of(harness_on_hold()).collect())
    labels = {family.name: tuple(family.samples[0].labels) for family in families}
    assert labels == GAUGES
    assert all(family.documentation for family in families)


def test_nothing_is_shown_before_the_first_turn() -> None:
    assert list(StatusGauges(StatusBoard()).collect()) == []


def test_gauges_show_what_is_so(harness: Harness) -> None:
    harness.list_tasks(*[f"t{number}" for number in range(501)])
    harness.finish(0)
    harness.pool.rss[3] = 5_000_000
    registry = registry_of(harness)
    value = registry.get_sample_value
    assert value("ai_tasks_in_flight") == 401
    assert value("ai_tasks_backlog") == 0
    assert value("ai_outbox_size") == 100
    assert value("ai_outbox_oldest_age_seconds") == 1.0
    assert value("ai_workers", {"state": "busy"}) == 5
    assert value("ai_worker_rss_bytes", {"slot": "3"}) == 5_000_000
    assert value("circuit_breaker_state", {"service": "api"}) == 0
    assert value("circuit_breaker_state", {"service": "openai"}) == 0


@pytest.mark.parametrize(
    ("state", "expected"), [(BreakerState.CLOSED, 0), (BreakerState.OPEN, 1), (BreakerState.HALF_OPEN, 2)]
)
def test_state_of_a_breaker_is_a_number(state: BreakerState, expected: float) -> None:
    board = StatusBoard()
    board.publish(replace(WORKING, breakers=(BreakerStatus("api", state, None),)), 0.0)
    registry = CollectorRegistry()
    registry.register(StatusGauges(board))
    assert registry.get_sample_value("circuit_breaker_state", {"service": "api"}) == expected


def test_every_state_of_a_worker_has_a_value(harness: Harness) -> None:
    value = registry_of(harness).get_sample_value
    counts = [value("ai_workers", {"state": state}) for state in SlotState]
    assert sum(count or 0.0 for count in counts) == 5
    assert None not in counts


def test_every_reason_of_idleness_has_a_value_and_one_is_so(harness: Harness) -> None:
    value = registry_of(harness).get_sample_value
    reasons = {reason: value("ai_idle", {"reason": reason}) for reason in Idle}
    assert reasons == {reason: float(reason is Idle.NO_WORK) for reason in Idle}


def test_hold_of_the_provider_is_shown_with_its_reason_and_gone_with_it() -> None:
    harness = harness_on_hold()
    labels = {"provider": "openai", "reason": "quota"}
    assert registry_of(harness).get_sample_value("ai_provider_hold", labels) == 1
    harness.pass_time(60.0)
    harness.finish(0)
    assert registry_of(harness).get_sample_value("ai_provider_hold", labels) is None


def test_models_on_hold_for_one_reason_are_one_sample() -> None:
    board = StatusBoard()
    board.publish(replace(WORKING, holds=(LOST_MODEL, replace(LOST_MODEL, model="embed-8"))), 0.0)
    holds = next(family for family in StatusGauges(board).collect() if family.name == "ai_provider_hold")
    assert [sample.labels for sample in holds.samples] == [{"provider": "openai", "reason": "wrong_url"}]
