"""The client of the task API: its two operations, the thread that reads pages, and how it is set up."""

import os
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import quote

from prometheus_client import Counter, Histogram

from shared.metrics import SupervisorMetrics
from shared.models import Task
from shared.settings import PENDING_PATH, TASK_PATH, Settings
from supervisor.runtime.events import Event, start_thread
from supervisor.task_api.http.exchange import Authorization, Exchange, FixedToken, NoResponse, Response
from supervisor.task_api.http.route import Target, choose_tls_files, make_target
from supervisor.task_api.http.transfer import Request, RequestKind, Transport
from supervisor.task_api.http.wire import RequestQueue, Wire
from supervisor.task_api.responses import (
    PollAnswer,
    PollRequest,
    PollResult,
    ReportAnswer,
    TasksPolled,
    classify_poll,
    classify_report,
)
from supervisor.task_api.sender import PatchMessage
from supervisor.task_api.wire_formats import parse_page
from workers.factory import ProcessorFactory

MAX_PAGE_BYTES = 96 * 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024
NO_ANSWER = "none"
USER_AGENT = "User-Agent: ai-task-processor"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """`base_url` ends without a slash. Paths may have a query; `task_path` holds `{id}` once."""

    base_url: str
    pending_path: str = PENDING_PATH
    task_path: str = TASK_PATH

    @property
    def pending_route(self) -> str:
        """For metrics: the path without its query."""
        return self.pending_path.partition("?")[0]

    @property
    def task_route(self) -> str:
        return self.task_path.partition("?")[0]

    def pending(self, limit: int, wait_seconds: float) -> str:
        joint = "&" if "?" in self.pending_path else "?"
        wait = f"&wait={wait_seconds:g}" if wait_seconds else ""
        return f"{self.base_url}{self.pending_path}{joint}limit={limit}{wait}"

    def task(self, task_id: str) -> str:
        """The id becomes one percent-encoded segment of the path."""
        return self.base_url + self.task_path.replace("{id}", quote(task_id, safe=""))


class APIClient:
    """Asks through the wire, and never waits.

    `is_known` tells whether the journal has a task of this id. It is called in the thread that reads pages.
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
        headers: tuple[str, ...] = ("Accept: application/json", USER_AGENT)
        self._poll_kind = RequestKind("GET", target, headers, timeout_seconds, max_page_bytes, authorization)
        # Answers to reports are a few bytes. With `Expect:` libcurl sends a large body without asking first.
        headers = (*headers, "Content-Type: application/json", "Accept-Encoding: identity", "Expect:")
        self._report_kind = RequestKind(
            "PATCH", target, headers, timeout_seconds, MAX_ANSWER_BYTES, authorization
        )

    def get_pending_tasks(self, request: PollRequest, on_done: Callable[[Exchange], None]) -> None:
        """Ask for pending tasks. `on_done` is called in the wire's thread; `read_page` reads what it gets."""
        wait, kind = request.wait_seconds, self._poll_kind
        headers: tuple[str, ...] = ()
        if wait:
            kind = replace(kind, timeout_seconds=kind.timeout_seconds + wait)
            headers = (f"Prefer: wait={wait:g}",)
        url = self._endpoints.pending(request.limit, wait)
        self._polls.put(Request(kind, url, on_done, headers=headers))

    def read_page(self, request: PollRequest, got: Exchange) -> PollAnswer:
        """What a poll came to. This takes long where the page is large."""
        self._measure("GET", self._endpoints.pending_route, got)
        url = self._endpoints.base_url + self._endpoints.pending_route
        answer = classify_poll(got, request, url, self._authorization)
        if isinstance(got, NoResponse) or answer.result is not PollResult.TASKS:
            return answer
        page = parse_page(
            got.body,
            self._processors,
            self._new_correlation_id,
            request.limit,
            self._is_known,
            request.sought,
        )
        if page.fault:
            return replace(answer, result=PollResult.BAD_PAGE, detail=page.fault)
        return replace(answer, result=PollResult.TASKS if page.items else PollResult.EMPTY, page=page)

    def update_task(
        self,
        queue: RequestQueue,
        task_id: str,
        body: bytes,
        correlation_id: str,
        on_answer: Callable[[ReportAnswer], None],
    ) -> None:
        """Report on one task. `on_answer` is called in the wire's thread."""
        url = self._endpoints.task(task_id)

        def classify(got: Exchange) -> None:
            self._measure("PATCH", self._endpoints.task_route, got)
            on_answer(classify_report(got, url, self._authorization.redact))

        headers = (f"X-Correlation-ID: {correlation_id}",)
        queue.put(Request(self._report_kind, url, classify, body, headers, task_id=task_id))

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
        self, api: APIClient, queue: RequestQueue, on_answer: Callable[[str, ReportAnswer], None]
    ) -> None:
        self._api = api
        self._queue = queue
        self._on_answer = on_answer

    def put(self, message: PatchMessage, body: bytes) -> None:
        on_answer = partial(self._on_answer, message.task_id)
        self._api.update_task(self._queue, message.task_id, body, message.correlation_id, on_answer)

    def take_back(self) -> list[str]:
        return [request.task_id for request in self._queue.take_back()]


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
