"""Has the task API the operations on several tasks that the settings ask for? Asked with no task in it."""

import queue
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from shared.metrics import SupervisorMetrics
from shared.settings import ClaimMode, Settings
from supervisor.console.preflight.finding import Finding, Mark
from supervisor.task_api.bulk import BulkAnswer
from supervisor.task_api.client import APIClient, connect
from supervisor.task_api.http.exchange import Exchange, NoResponse
from supervisor.task_api.http.wire import RequestQueue
from supervisor.task_api.optional import is_missing
from supervisor.task_api.renewal import RenewAnswer
from supervisor.task_api.responses import PollRequest, ReportOutcome
from workers.factory import ProcessorFactory

MAX_REQUEST_SECONDS = 10.0
REQUESTS_A_CALL = 2
"""One for a token, one for the call."""
SLACK_SECONDS = 2.0
SHORTEST_LEASE_SECONDS = 1.0
"""An API that takes a limit of 0 for none has what it claims back after this."""
LIMIT_REFUSED = 400
NO_TASKS: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Said:
    """What one operation was answered."""

    is_missing: bool = False
    trouble: str = ""


def look_at_operations(settings: Settings, processors: ProcessorFactory) -> Iterator[Finding]:
    """A finding for each operation that is not required of every API, and that the service would use."""
    if settings.claims is ClaimMode.OFF and not settings.bulk_reports:
        return
    timeout_seconds = min(settings.request_timeout, MAX_REQUEST_SECONDS)
    short = {"request_timeout": timeout_seconds, "claim_lease_seconds": SHORTEST_LEASE_SECONDS}
    wire, api = connect(
        settings.model_copy(update=short),
        lambda _: None,
        SupervisorMetrics(CollectorRegistry()),
        processors,
        lambda: "check",
        lambda _: False,
        worker_id="check",
    )
    asker = _Asker(api, wire.new_queue(at_once=1), REQUESTS_A_CALL * timeout_seconds + SLACK_SECONDS)
    wire.start()
    try:
        if settings.claims is ClaimMode.BATCH:
            yield _finding("CLAIM_MODE", "claims of a page", "claims each task alone", asker.claim())
        if settings.claims is not ClaimMode.OFF:
            instead = "takes it that claims have no end"
            yield _finding("CLAIM_LEASE_SECONDS", "renewals of leases", instead, asker.renew())
        if settings.bulk_reports:
            yield _finding("BULK_REPORTS", "reports in bulk", "reports each result alone", asker.report())
    except queue.Empty:
        yield Finding(Mark.WARNING, "task API", "an operation on several tasks was not answered")
    finally:
        wire.close()


@dataclass(frozen=True, slots=True)
class _Asker:
    """Asks for nothing, one operation at a time. Raises queue.Empty where no answer comes."""

    api: APIClient
    calls: RequestQueue
    patience_seconds: float

    def claim(self) -> _Said:
        heard: queue.SimpleQueue[Exchange] = queue.SimpleQueue()
        self.api.get_pending_tasks(PollRequest(limit=0, claims=True), heard.put)
        got = heard.get(timeout=self.patience_seconds)
        if isinstance(got, NoResponse):
            return _Said(trouble=got.detail)
        taken = got.status < 300 or got.status == LIMIT_REFUSED  # noqa: PLR2004  as HTTP has it
        return _Said(is_missing(got), "" if taken else f"status {got.status}")

    def renew(self) -> _Said:
        heard: queue.SimpleQueue[RenewAnswer] = queue.SimpleQueue()
        self.api.renew(NO_TASKS, heard.put)
        answer = heard.get(timeout=self.patience_seconds)
        return _Said(answer.is_missing, answer.detail)

    def report(self) -> _Said:
        heard: queue.SimpleQueue[BulkAnswer] = queue.SimpleQueue()
        self.api.update_tasks(self.calls, NO_TASKS, b"[]", heard.put)
        answer = heard.get(timeout=self.patience_seconds)
        taken = answer.call.outcome is ReportOutcome.DONE
        return _Said(answer.is_missing, "" if taken else answer.call.detail)


def _finding(setting: str, name: str, instead: str, said: _Said) -> Finding:
    if said.is_missing:
        text = f"the task API knows no {name}; the service {instead}"
        return Finding(Mark.WARNING, setting, text)
    if said.trouble:
        return Finding(Mark.WARNING, setting, f"{name} were not answered as described: {said.trouble}")
    return Finding(Mark.OK, setting, f"the task API takes {name}")
