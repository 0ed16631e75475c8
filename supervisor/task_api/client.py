"""The task API's two operations: the requests they take, and what their answers mean."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from prometheus_client import Counter, Histogram

from shared.metrics import SupervisorMetrics
from supervisor.task_api.answers import PollAnswer, PollRequest, PollResult, ReportAnswer
from supervisor.task_api.authorization import Authorization
from supervisor.task_api.endpoints import Endpoints
from supervisor.task_api.exchange import Exchange, NoResponse, Response
from supervisor.task_api.judgement import judge_poll, judge_report
from supervisor.task_api.outbox import Message
from supervisor.task_api.transfer import Request, RequestKind
from supervisor.task_api.transport import Target
from supervisor.task_api.wire import RequestQueue, Wire
from supervisor.task_api.wire_formats import parse_page

MAX_PAGE_BYTES = 96 * 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024
NO_ANSWER = "none"
USER_AGENT = "User-Agent: ai-task-processor"


class APIClient:
    """Asks through the wire, and never waits.

    `is_held` says of a task's id whether the task is in our hands already; it is asked in the thread that
    reads pages. The token goes to the task API and nowhere else.
    """

    def __init__(
        self,
        wire: Wire,
        endpoints: Endpoints,
        target: Target,
        authorization: Authorization,
        timeout_seconds: float,
        metrics: SupervisorMetrics,
        new_correlation_id: Callable[[], str],
        is_held: Callable[[str], bool],
        max_page_bytes: int = MAX_PAGE_BYTES,
    ) -> None:
        self._endpoints = endpoints
        self._authorization = authorization
        self._metrics = metrics
        self._new_correlation_id = new_correlation_id
        self._is_held = is_held
        self._counted: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}
        self._polls = wire.new_queue(at_once=1)
        self._poll_kind = RequestKind(
            "GET",
            target,
            ("Accept: application/json", USER_AGENT),
            timeout_seconds,
            max_page_bytes,
            authorization,
        )
        # Answers to reports are a few bytes. `Expect:` has libcurl send a large body without asking first.
        headers = ("Content-Type: application/json", "Accept: application/json", USER_AGENT)
        self._report_kind = RequestKind(
            "PATCH",
            target,
            (*headers, "Accept-Encoding: identity", "Expect:"),
            timeout_seconds,
            MAX_ANSWER_BYTES,
            authorization,
        )

    def get_pending_tasks(self, request: PollRequest, on_done: Callable[[Exchange], None]) -> None:
        """Ask for pending tasks. `on_done` is called in the wire's thread, with what `read_page` reads."""
        wait, kind = request.wait_seconds, self._poll_kind
        headers: tuple[str, ...] = ()
        if wait:
            kind = replace(kind, timeout_seconds=kind.timeout_seconds + wait)
            headers = (f"Prefer: wait={wait:g}",)
        url = self._endpoints.pending(request.limit, wait)
        self._polls.put(Request(kind, url, on_done, headers=headers))

    def read_page(self, request: PollRequest, got: Exchange) -> PollAnswer:
        """What a poll came to. Takes long where the page is large."""
        self._measure("GET", self._endpoints.pending_route, got)
        url = self._endpoints.base_url + self._endpoints.pending_route
        answer = judge_poll(got, request, url, self._authorization)
        if answer.result is not PollResult.TASKS or isinstance(got, NoResponse):
            return answer
        page = parse_page(got.body, self._new_correlation_id, request.limit, self._is_held, request.sought)
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

        def judge(got: Exchange) -> None:
            self._measure("PATCH", self._endpoints.task_route, got)
            on_answer(judge_report(got, url, self._authorization.redact))

        headers = (f"X-Correlation-ID: {correlation_id}",)
        queue.put(Request(self._report_kind, url, judge, body, headers, about=task_id))

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

    def put(self, message: Message, body: bytes) -> None:
        on_answer = partial(self._on_answer, message.task_id)
        self._api.update_task(self._queue, message.task_id, body, message.correlation_id, on_answer)

    def take_back(self) -> list[str]:
        return [request.about for request in self._queue.take_back()]
