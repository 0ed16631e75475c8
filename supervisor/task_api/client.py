"""The task API over HTTP: two calls, and what their answers mean. Errors end here; callers get answers."""

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from shared.metrics import SupervisorMetrics
from supervisor.task_api.answers import PollAnswer, PollRequest, PollResult, ReportAnswer
from supervisor.task_api.exchange import Exchange, FailedStep, NoResponse, Response
from supervisor.task_api.http_answer import BrokenAnswerError
from supervisor.task_api.http_channel import HttpChannel
from supervisor.task_api.judgement import MAX_DETAIL_CHARACTERS, judge_poll, judge_report
from supervisor.task_api.wire_formats import parse_page

MAX_PAGE_BYTES = 96 * 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024
PENDING_PATH = "/api/ai-tasks/pending"
TASK_PATH = "/api/ai-tasks/{id}"
NO_ANSWER = "none"


class APIClient:
    """Thread-safe: a connection for each thread. The token goes nowhere but to `base_url`: no redirect is
    followed, no proxy and no `.netrc` consulted.

    `is_held` says of a task's id whether the task is in our hands already; it is asked from the poller's
    thread. `clock` is monotonic.
    """

    def __init__(
        self,
        base_url: str,
        token: SecretStr | None,
        timeout_seconds: float,
        metrics: SupervisorMetrics,
        new_correlation_id: Callable[[], str],
        is_held: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = urlsplit(base_url)
        self._tls = ssl.create_default_context() if self._base.scheme == "https" else None
        self._token = token.get_secret_value() if token else ""
        self._threads = threading.local()
        self._timeout_seconds = timeout_seconds
        self._metrics = metrics
        self._new_correlation_id = new_correlation_id
        self._is_held = is_held
        self._clock = clock
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "ai-task-processor",
        }
        if self._token:
            self._headers["Authorization"] = f"Bearer {self._token}"

    def get_pending_tasks(self, request: PollRequest) -> PollAnswer:
        """Ask for pending tasks."""
        limit, wait = request.limit, request.wait_seconds
        path, headers = f"{PENDING_PATH}?limit={limit}", {}
        if wait:
            path += f"&wait={wait:g}"
            headers = {"Prefer": f"wait={wait:g}"}
        got = self._exchange("GET", path, b"", headers, self._timeout_seconds + wait, MAX_PAGE_BYTES)
        self._measure("GET", PENDING_PATH, got)
        answer = judge_poll(got, limit, wait, self._base.geturl() + PENDING_PATH, self._redact)
        if answer.result is not PollResult.TASKS or isinstance(got, NoResponse):
            return answer
        if (got.headers.get("content-encoding") or "identity").lower() != "identity":
            detail = "the page is compressed, which was not asked for"
            return replace(answer, result=PollResult.BAD_PAGE, detail=detail)
        page = parse_page(got.body, self._new_correlation_id, limit, self._is_held, request.sought)
        if page.fault:
            return replace(answer, result=PollResult.BAD_PAGE, detail=page.fault)
        return replace(answer, result=PollResult.TASKS if page.items else PollResult.EMPTY, page=page)

    def update_task(self, task_id: str, body: bytes, correlation_id: str) -> ReportAnswer:
        """Report on one task. The id becomes one percent-encoded segment of the path."""
        path = TASK_PATH.format(id=quote(task_id, safe=""))
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "X-Correlation-ID": correlation_id,
        }
        got = self._exchange("PATCH", path, body, headers, self._timeout_seconds, MAX_ANSWER_BYTES)
        self._measure("PATCH", TASK_PATH, got)
        return judge_report(got, self._base.geturl() + path, self._redact)

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout_seconds: float,
        most_bytes: int,
    ) -> Exchange:
        began_at = self._clock()
        channel: HttpChannel | None = getattr(self._threads, "channel", None)
        if channel is None:
            channel = HttpChannel(self._base, self._tls, self._headers, self._clock)
            self._threads.channel = channel
        try:
            answer = channel.exchange(
                method,
                self._base.path + path,
                body,
                headers,
                timeout_seconds=timeout_seconds,
                most_bytes=most_bytes,
            )
        except TimeoutError:
            step, detail = FailedStep.TIMEOUT, f"no whole answer within {timeout_seconds:g} s"
        except (OSError, BrokenAnswerError) as error:
            step = FailedStep.RESPONSE
            detail = f"{type(error).__name__}: {error}"[:MAX_DETAIL_CHARACTERS]
        else:
            took_seconds = self._clock() - began_at
            return Response(
                answer.status, answer.headers, answer.body, answer.complete, began_at, took_seconds
            )
        return NoResponse(step, detail, began_at, self._clock() - began_at)

    def _measure(self, method: str, endpoint: str, got: Exchange) -> None:
        status = str(got.status) if isinstance(got, Response) else NO_ANSWER
        self._metrics.api_requests.labels(endpoint, method, status).inc()
        self._metrics.api_duration.labels(endpoint, method).observe(got.took_seconds)

    def _redact(self, text: str) -> str:
        """The text without the token, should the API repeat it."""
        return text.replace(self._token, "***") if self._token else text
