"""The client of the task API: its operations, the thread that reads pages, and how it is set up."""

import os
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import quote

import orjson
from prometheus_client import Counter, Histogram

from shared.metrics import SupervisorMetrics
from shared.models import Task
from shared.settings import PENDING_PATH, TASK_PATH, Settings
from supervisor.runtime.events import Event, start_thread
from supervisor.task_api.bulk import BulkAnswer, BulkReportDone, classify_bulk
from supervisor.task_api.http.exchange import Authorization, Exchange, FixedToken, NoResponse, Response
from supervisor.task_api.http.route import Target, choose_tls_files, make_target
from supervisor.task_api.http.transfer import Request, RequestKind, Transport
from supervisor.task_api.http.wire import RequestQueue, Wire
from supervisor.task_api.poll_scheduler import MAX_TASKS_ASKED
from supervisor.task_api.renewal import LeasesAnswered, RenewAnswer, classify_renewal
from supervisor.task_api.responses import (
    PollAnswer,
    PollRequest,
    PollResult,
    ReportAnswer,
    TasksPolled,
    classify_poll,
    classify_report,
)
from supervisor.task_api.sender import Entry, PatchMessage
from supervisor.task_api.wire_formats import parse_page
from workers.factory import ProcessorFactory

MAX_PAGE_BYTES = 96 * 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024
MAX_LIST_BYTES = 4 * 1024 * 1024
"""Of an answer that has a word on each of many tasks."""
NO_ANSWER = "none"
USER_AGENT = "User-Agent: ai-task-processor"
WORKER_ID_HEADER = "X-Worker-ID"
LEASE_HEADER = "X-Lease-Seconds"
WITH_BODY = ("Content-Type: application/json", "Expect:")
"""With `Expect:` libcurl sends a large body without asking first."""
WITHOUT_BODY = ("Content-Type:", "Expect:")
"""Without `Content-Type:` libcurl would call it a form. Some servers refuse an empty body that has a type."""
UNCOMPRESSED = ("Accept-Encoding: identity",)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """`base_url` ends without a slash. Paths may have a query; `task_path` holds `{id}` once."""

    base_url: str
    pending_path: str = PENDING_PATH
    task_path: str = TASK_PATH

    @property
    def claim_path(self) -> str:
        """Operations on several tasks stand beside the tasks."""
        return self.task_path.replace("{id}", "claim")

    @property
    def renew_path(self) -> str:
        return self.task_path.replace("{id}", "renew")

    @property
    def bulk_path(self) -> str:
        return self.task_path.replace("/{id}", "").replace("{id}", "")

    def page(self, request: PollRequest) -> str:
        """The address of a poll, which may be a claim."""
        path = self.claim_path if request.claims else self.pending_path
        joint = "&" if "?" in path else "?"
        wait = f"&wait={request.wait_seconds:g}" if request.wait_seconds else ""
        return f"{self.base_url}{path}{joint}limit={request.limit}{wait}"

    def task(self, task_id: str) -> str:
        """The id becomes one percent-encoded segment of the path."""
        return self.base_url + self.task_path.replace("{id}", quote(task_id, safe=""))


def route_of(path: str) -> str:
    """For metrics: the path without its query."""
    return path.partition("?")[0]


class APIClient:
    """Asks through the wire, and never waits.

    `is_known` tells whether the journal has a task of this id. It is called in the thread that reads pages.
    `worker_id` tells this service from its replicas, also after a restart.
    """

    def __init__(
        self,
        wire: Wire,
        endpoints: Endpoints,
        target: Target,
        authorization: Authorization,
        timeout_seconds: float,
        metrics: SupervisorMetrics,
        processors: ProcessorFactory,
        new_correlation_id: Callable[[], str],
        is_known: Callable[[str], bool],
        worker_id: str,
        lease_seconds: float,
        max_page_bytes: int = MAX_PAGE_BYTES,
    ) -> None:
        self._endpoints = endpoints
        self._authorization = authorization
        self._metrics = metrics
        self._processors = processors
        self._new_correlation_id = new_correlation_id
        self._is_known = is_known
        self._counted: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}
        self._polls = wire.new_queue(at_once=1)
        self._renewals = wire.new_queue(at_once=1)
        who = f"{WORKER_ID_HEADER}: {worker_id}"
        lease = f"{LEASE_HEADER}: {lease_seconds:g}"

        def kind(method: str, max_answer_bytes: int, *headers: str) -> RequestKind:
            headers = ("Accept: application/json", USER_AGENT, who, *headers)
            return RequestKind(method, target, headers, timeout_seconds, max_answer_bytes, authorization)

        self._poll_kind = kind("GET", max_page_bytes)
        self._claim_page_kind = kind("POST", max_page_bytes, *WITHOUT_BODY, lease)
        self._renew_kind = kind("POST", MAX_LIST_BYTES, *WITH_BODY, lease)
        # Answers to reports are a few bytes.
        self._report_kind = kind("PATCH", MAX_ANSWER_BYTES, *WITH_BODY, *UNCOMPRESSED)
        self._claim_kind = kind("PATCH", MAX_ANSWER_BYTES, *WITH_BODY, *UNCOMPRESSED, lease)
        self._bulk_kind = kind("PATCH", MAX_LIST_BYTES, *WITH_BODY)

    def get_pending_tasks(self, request: PollRequest, on_done: Callable[[Exchange], None]) -> None:
        """Ask for pending tasks. `on_done` is called in the wire's thread; `read_page` reads what it gets."""
        wait, kind = request.wait_seconds, self._claim_page_kind if request.claims else self._poll_kind
        headers: tuple[str, ...] = ()
        if wait:
            kind = replace(kind, timeout_seconds=kind.timeout_seconds + wait)
            headers = (f"Prefer: wait={wait:g}",)
        self._polls.put(Request(kind, self._endpoints.page(request), on_done, headers=headers))

    def read_page(self, request: PollRequest, got: Exchange) -> PollAnswer:
        """What a poll came to. This takes long where the page is large."""
        path = self._endpoints.claim_path if request.claims else self._endpoints.pending_path
        self._measure("POST" if request.claims else "GET", route_of(path), got)
        url = self._endpoints.base_url + route_of(path)
        answer = classify_poll(got, request, url, self._authorization)
        if isinstance(got, NoResponse) or answer.result is not PollResult.TASKS:
            return answer
        page = parse_page(
            got.body,
            self._processors,
            self._new_correlation_id,
            # What is left out of a claim would be nobody's until its lease ends.
            MAX_TASKS_ASKED if request.claims else request.limit,
            self._is_known,
            request.sought,
            claimed=request.claims,
        )
        if page.fault:
            return replace(answer, result=PollResult.BAD_PAGE, detail=page.fault)
        return replace(answer, result=PollResult.TASKS if page.items else PollResult.EMPTY, page=page)

    def update_task(
        self,
        queue: RequestQueue,
        message: PatchMessage,
        body: bytes,
        on_answer: Callable[[ReportAnswer], None],
        *,
        claims: bool = False,
    ) -> None:
        """Report on one task, or claim it. `on_answer` is called in the wire's thread."""
        url, path = self._endpoints.task(message.task_id), self._endpoints.task_path

        def classify(got: Exchange) -> None:
            self._measure("PATCH", route_of(path), got)
            on_answer(classify_report(got, url, self._authorization.redact))

        kind = self._claim_kind if claims else self._report_kind
        headers = (f"X-Correlation-ID: {message.correlation_id}",)
        queue.put(Request(kind, url, classify, body, headers, (message.task_id,)))

    def update_tasks(
        self,
        queue: RequestQueue,
        task_ids: tuple[str, ...],
        body: bytes,
        on_answer: Callable[[BulkAnswer], None],
    ) -> None:
        """Report on several tasks. `on_answer` is called in the wire's thread."""
        path = self._endpoints.bulk_path
        url = self._endpoints.base_url + path

        def classify(got: Exchange) -> None:
            self._measure("PATCH", route_of(path), got)
            on_answer(classify_bulk(got, task_ids, url, self._authorization.redact))

        queue.put(Request(self._bulk_kind, url, classify, body, task_ids=task_ids))

    def renew(self, task_ids: tuple[str, ...], on_answer: Callable[[RenewAnswer], None]) -> None:
        """Ask for longer leases of these tasks. `on_answer` is called in the wire's thread."""
        path = self._endpoints.renew_path
        url = self._endpoints.base_url + path

        def classify(got: Exchange) -> None:
            self._measure("POST", route_of(path), got)
            on_answer(classify_renewal(got, url, self._authorization.redact))

        self._renewals.put(Request(self._renew_kind, url, classify, orjson.dumps({"ids": task_ids})))

    def _measure(self, method: str, endpoint: str, got: Exchange) -> None:
        status = str(got.status) if isinstance(got, Response) else NO_ANSWER
        labels = (endpoint, method, status)
        if labels not in self._counted:
            duration = self._metrics.api_duration.labels(endpoint, method)
            self._counted[labels] = (self._metrics.api_requests.labels(*labels), duration)
        requests, duration = self._counted[labels]
        requests.inc()
        duration.observe(got.took_seconds)


class WirePatchQueue:
    """A queue of the wire for PATCHes. `on_answer` is called in the wire's thread, with the task's id."""

    def __init__(
        self,
        api: APIClient,
        queue: RequestQueue,
        on_answer: Callable[[str, ReportAnswer], None],
        *,
        claims: bool = False,
    ) -> None:
        self._api = api
        self._queue = queue
        self._on_answer = on_answer
        self._claims = claims

    def put(self, entries: Sequence[Entry]) -> None:
        for message, body in entries:
            on_answer = partial(self._on_answer, message.task_id)
            self._api.update_task(self._queue, message, body, on_answer, claims=self._claims)

    def take_back(self) -> list[str]:
        return _ids_of(self._queue.take_back())


class WireBulkCalls:
    """A queue of the wire for reports in bulk. Each answer comes as an event."""

    def __init__(self, api: APIClient, queue: RequestQueue, post: Callable[[Event], None]) -> None:
        self._api = api
        self._queue = queue
        self._post = post

    def send(self, task_ids: tuple[str, ...], body: bytes) -> None:
        def answered(answer: BulkAnswer) -> None:
            self._post(BulkReportDone(task_ids, answer))

        self._api.update_tasks(self._queue, task_ids, body, answered)

    def take_back(self) -> list[str]:
        return _ids_of(self._queue.take_back())


class WireRenewals:
    """The way of renewals. The answer comes as an event."""

    def __init__(self, api: APIClient, post: Callable[[Event], None]) -> None:
        self._api = api
        self._post = post

    def renew(self, task_ids: tuple[str, ...]) -> None:
        self._api.renew(task_ids, lambda answer: self._post(LeasesAnswered(task_ids, answer)))


def _ids_of(requests: Sequence[Request]) -> list[str]:
    return [task_id for request in requests for task_id in request.task_ids]


class Poller:
    """Polls when the loop asks for it, and reads pages in a thread of its own: a large one takes long.

    `store` writes the large inputs of a page's tasks to the disk.
    """

    def __init__(
        self,
        api: APIClient,
        store: Callable[[Sequence[Task]], tuple[Task, ...]],
        post: Callable[[Event], None],
    ) -> None:
        self._api = api
        self._store = store
        self._post = post
        self._unread: queue.SimpleQueue[tuple[PollRequest, Exchange]] = queue.SimpleQueue()

    def start(self) -> None:
        start_thread("page-reader", self._read_pages, self._post)

    def poll(self, request: PollRequest) -> None:
        """Ask for tasks; the answer comes as an event."""
        self._api.get_pending_tasks(request, lambda got: self._unread.put((request, got)))

    def _read_pages(self) -> None:
        while True:
            request, got = self._unread.get()
            answer = self._api.read_page(request, got)
            page = replace(answer.page, tasks=self._store(answer.page.tasks))
            self._post(TasksPolled(replace(answer, page=page)))
            # Free the page's memory before the wait for the next one.
            del got, answer, page


def connect(
    settings: Settings,
    post: Callable[[Event], None],
    metrics: SupervisorMetrics,
    processors: ProcessorFactory,
    new_correlation_id: Callable[[], str],
    is_known: Callable[[str], bool],
    worker_id: str,
) -> tuple[Wire, APIClient]:
    """A wire that is not started yet, and the client on it.

    Raises ConfigurationError where a certificate or a proxy cannot be used.
    """
    files = settings.api_ca_file, settings.api_client_cert, settings.api_client_key
    wire = Wire(Transport(choose_tls_files(*files, os.environ), settings.request_timeout), post)
    client = APIClient(
        wire,
        Endpoints(settings.api_base_url, settings.api_pending_path, settings.api_task_path),
        make_target(settings.api_base_url, "API_BASE_URL", os.environ),
        _authorization(settings, wire),
        settings.request_timeout,
        metrics,
        processors,
        new_correlation_id,
        is_known,
        worker_id,
        settings.claim_lease_seconds,
    )
    return wire, client


def _authorization(settings: Settings, wire: Wire) -> Authorization:
    url, client_id = settings.api_oauth2_token_url, settings.api_oauth2_client_id
    secret = settings.api_oauth2_client_secret
    if url is None or client_id is None or secret is None:
        return FixedToken(settings.api_token.get_secret_value() if settings.api_token else "")
    # The library costs 3 MB and 80 ms: import it only where it is used.
    from supervisor.task_api.oauth2 import ClientCredentials, OAuth2Tokens  # noqa: PLC0415

    credentials = ClientCredentials(
        url, client_id, secret, settings.api_oauth2_scope, settings.api_oauth2_audience
    )
    target = make_target(url, "API_OAUTH2_TOKEN_URL", os.environ)
    return OAuth2Tokens(credentials, target, wire.new_queue(1).put, settings.request_timeout)
