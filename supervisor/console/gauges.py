"""The gauges of `/metrics`, read from the status at each scrape."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.status.status import Idle, SlotState, Status, StatusBoard

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


BREAKER_VALUES = {BreakerState.CLOSED: 0, BreakerState.OPEN: 1, BreakerState.HALF_OPEN: 2}


class StatusGauges(Collector):
    """Reads the board; shows nothing before the loop's first turn."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board

    def collect(self) -> Iterable["Metric"]:
        status = self._board.read()
        return [] if status is None else [*_totals(status), *_workers(status), *_trouble(status)]


def _totals(status: Status) -> Iterable["Metric"]:
    yield _gauge("ai_tasks_in_flight", "Tasks in the hands of workers.", status.in_flight)
    yield _gauge("ai_tasks_backlog", "Tasks that wait to run.", status.backlog)
    yield _gauge("ai_outbox_size", "Finished tasks that the API was not yet told of.", status.outbox)
    yield _gauge(
        "ai_outbox_oldest_age_seconds",
        "How long the oldest of these has waited.",
        status.outbox_oldest_age_seconds,
    )
    yield _gauge(
        "ai_poll_last_success_timestamp_seconds",
        "When a poll last succeeded (epoch seconds; 0 = never).",
        status.poll.last_success_at_seconds,
    )
    build = GaugeMetricFamily("ai_task_processor_build_info", "Always 1.", labels=["version"])
    build.add_metric([status.version], 1)
    yield build


def _workers(status: Status) -> Iterable["Metric"]:
    states = GaugeMetricFamily("ai_workers", "Worker processes by state.", labels=["state"])
    for state in SlotState:
        states.add_metric([state], sum(worker.state == state for worker in status.workers))
    yield states
    memory = GaugeMetricFamily("ai_worker_rss_bytes", "Resident memory of a worker.", labels=["slot"])
    for worker in status.workers:
        memory.add_metric([str(worker.slot)], worker.rss_bytes)
    yield memory


def _trouble(status: Status) -> Iterable["Metric"]:
    idle = GaugeMetricFamily("ai_idle", "1 for the reason why no task runs.", labels=["reason"])
    for reason in Idle:
        idle.add_metric([reason], int(status.idle is reason))
    yield idle
    breakers = GaugeMetricFamily(
        "circuit_breaker_state", "0 closed, 1 open, 2 half-open.", labels=["service"]
    )
    for breaker in status.breakers:
        breakers.add_metric([breaker.service], BREAKER_VALUES[breaker.state])
    yield breakers
    holds = GaugeMetricFamily(
        "ai_provider_hold",
        "1 while a provider refuses us as a whole, or has nothing for a model.",
        labels=["provider", "reason"],
    )
    # Several models may be on hold for one reason.
    for labels in dict.fromkeys((hold.provider, hold.reason) for hold in status.holds):
        holds.add_metric(labels, 1)
    yield holds


def _gauge(name: str, text: str, value: float) -> "Metric":
    return GaugeMetricFamily(name, text, value=value)
