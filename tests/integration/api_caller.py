"""The client of the task API on a wire of its own, for callers that wait for the answer."""

import queue
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from prometheus_client import CollectorRegistry

from shared.metrics import SupervisorMetrics
from shared.models import TaskStatus
from supervisor.journal.task_record import Report
from supervisor.runtime.events import Event, ThreadCrashed
from supervisor.task_api.bulk import BulkAnswer
from supervisor.task_api.client import MAX_PAGE_BYTES, APIClient, Endpoints
from supervisor.task_api.http.exchange import Authorization, Exchange, FixedToken
from supervisor.task_api.http.route import TlsFiles, choose_tls_files, make_target
from supervisor.task_api.http.transfer import Transport
from supervisor.task_api.http.wire import RequestQueue, Wire
from supervisor.task_api.renewal import RenewAnswer
from supervisor.task_api.responses import PollAnswer, PollRequest, ReportAnswer
from tests.builders import PROCESSORS

PATIENCE_SECONDS = 20.0
LEASE_SECONDS = 300.0
WORKER_ID = "worker-1"
T = TypeVar("T")


class ApiCaller:
    """Waits for each answer; a fault of the wire's thread is raised here."""

    def __init__(self, wire: Wire, client: APIClient, events: "queue.SimpleQueue[Event]") -> None:
        self.client = client
        self._reports: RequestQueue = wire.new_queue(at_once=64)
        self._events = events

    def get_pending_tasks(self, request: PollRequest) -> PollAnswer:
        got: queue.SimpleQueue[Exchange] = queue.SimpleQueue()
        self.client.get_pending_tasks(request, got.put)
        return self.client.read_page(request, self._wait_for(got))

    def update_task(self, task_id: str, body: bytes, correlation_id: str) -> ReportAnswer:
        return self.begin_update(task_id, body, correlation_id)()

    def begin_update(self, task_id: str, body: bytes, correlation_id: str) -> Callable[[], ReportAnswer]:
        """Send a report; the answer is waited for in what this returns."""
        answers: queue.SimpleQueue[ReportAnswer] = queue.SimpleQueue()
        report = Report(task_id, "text-embedding", correlation_id, TaskStatus.SUCCEEDED)
        self.client.update_task(self._reports, report, body, answers.put)
        return lambda: self._wait_for(answers)

    def claim_task(self, task_id: str, body: bytes) -> ReportAnswer:
        answers: queue.SimpleQueue[ReportAnswer] = queue.SimpleQueue()
        claim = Report(task_id, "text-embedding", "c-1", TaskStatus.SUCCEEDED)
        self.client.update_task(self._reports, claim, body, answers.put, claims=True)
        return self._wait_for(answers)

    def renew(self, *task_ids: str) -> RenewAnswer:
        answers: queue.SimpleQueue[RenewAnswer] = queue.SimpleQueue()
        self.client.renew(task_ids, answers.put)
        return self._wait_for(answers)

    def update_tasks(self, task_ids: tuple[str, ...], body: bytes) -> BulkAnswer:
        answers: queue.SimpleQueue[BulkAnswer] = queue.SimpleQueue()
        self.client.update_tasks(self._reports, task_ids, body, answers.put)
        return self._wait_for(answers)

    def _wait_for(self, answers: "queue.SimpleQueue[T]") -> T:
        try:
            return answers.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise self._fault() from None

    def _fault(self) -> Exception:
        if not self._events.empty() and isinstance(event := self._events.get(), ThreadCrashed):
            return event.error
        return AssertionError(f"no answer within {PATIENCE_SECONDS:g} s")


@contextmanager
def api_caller(
    url: str,
    token: str | Callable[[Wire], Authorization] = "",
    timeout_seconds: float = 0.5,
    metrics: SupervisorMetrics | None = None,
    is_known: Callable[[str], bool] = lambda _: False,
    environ: Mapping[str, str] | None = None,
    tls: TlsFiles | None = None,
    transport: Transport | None = None,
    max_page_bytes: int = MAX_PAGE_BYTES,
) -> Iterator[ApiCaller]:
    """The wire ends with the block."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    files = tls or choose_tls_files(None, None, None, {})
    wire = Wire(transport or Transport(files, timeout_seconds), events.put)
    client = APIClient(
        wire,
        Endpoints(url),
        make_target(url, "API_BASE_URL", environ or {}),
        FixedToken(token) if isinstance(token, str) else token(wire),
        timeout_seconds,
        metrics or SupervisorMetrics(CollectorRegistry()),
        PROCESSORS,
        lambda: "new-correlation",
        is_known,
        WORKER_ID,
        LEASE_SECONDS,
        max_page_bytes,
    )
    caller = ApiCaller(wire, client, events)
    wire.start()
    try:
        yield caller
    finally:
        wire.close()
