"""The task API over HTTP: two calls, and what their answers mean. Errors end here; callers get answers."""

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from shared.metrics import SupervisorMetrics
from shared.retry import parse_retry_after
from supervisor.task_api.answers import Health, PollAnswer, PollResult, ReportAnswer, ReportOutcome
from supervisor.task_api.http_answer import Answer, BrokenAnswerError
from supervisor.task_api.http_channel import HttpChannel
from supervisor.task_api.wire_formats import Page, parse_page

MAX_PAGE_BYTES = 96 * 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024
MAX_DETAIL_CHARACTERS = 300
PENDING_PATH = "/api/ai-tasks/pending"
TASK_PATH = "/api/ai-tasks/{id}"
NO_ANSWER = "none"

_GONE = frozenset({404, 409, 410, 412})
_KEPT = frozenset({401, 403, 408, 429})


@dataclass(frozen=True, slots=True)
class _NoAnswer:
    result: PollResult
    detail: str


_Exchange: TypeAlias = "Answer | _NoAnswer"


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
        poll_wait_seconds: float,
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
        self._poll_wait_seconds = poll_wait_seconds
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

    def get_pending_tasks(self, limit: int) -> PollAnswer:
        """Ask for up to `limit` pending tasks; the API may hold the answer for the poll's wait."""
        requested_at = self._clock()
        path, headers, wait = f"{PENDING_PATH}?limit={limit}", {}, self._poll_wait_seconds
        if wait:
            path += f"&wait={wait:g}"
            headers = {"Prefer": f"wait={wait:g}"}
        got = self._exchange("GET", path, b"", headers, self._timeout_seconds + wait, MAX_PAGE_BYTES)
        took_seconds = self._measure("GET", PENDING_PATH, got, requested_at)
        if isinstance(got, _NoAnswer):
            return PollAnswer(
                got.result, Health.UNHEALTHY, limit, requested_at, took_seconds, detail=got.detail
            )
        result, health, detail = self._judge_poll(got)
        page = Page()
        if result is PollResult.TASKS:
            page = parse_page(got.body, self._new_correlation_id, limit, self._is_held)
            if page.fault:
                result, detail = PollResult.BAD_PAGE, page.fault
            elif not page.items:
                result = PollResult.EMPTY
        retry_after = parse_retry_after(got.headers, time.time())
        return PollAnswer(
            result,
            health,
            limit,
            requested_at,
            took_seconds,
            page,
            page_bytes=len(got.body),
            detail=detail,
            retry_after_seconds=retry_after,
        )

    def update_task(self, task_id: str, body: bytes, correlation_id: str) -> ReportAnswer:
        """Report on one task. The id becomes one percent-encoded segment of the path."""
        started = self._clock()
        path = TASK_PATH.format(id=quote(task_id, safe=""))
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "X-Correlation-ID": correlation_id,
        }
        got = self._exchange("PATCH", path, body, headers, self._timeout_seconds, MAX_ANSWER_BYTES)
        self._measure("PATCH", TASK_PATH, got, started)
        if isinstance(got, _NoAnswer):
            return ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, None, got.detail)
        outcome, health = _judge_report(got.status)
        if outcome is ReportOutcome.DONE:
            return ReportAnswer(outcome, health, got.status)
        retry_after = parse_retry_after(got.headers, time.time())
        return ReportAnswer(outcome, health, got.status, self._detail(got), retry_after)

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout_seconds: float,
        most_bytes: int,
    ) -> _Exchange:
        channel: HttpChannel | None = getattr(self._threads, "channel", None)
        if channel is None:
            channel = HttpChannel(self._base, self._tls, self._headers, self._clock)
            self._threads.channel = channel
        try:
            return channel.exchange(
                method,
                self._base.path + path,
                body,
                headers,
                timeout_seconds=timeout_seconds,
                most_bytes=most_bytes,
            )
        except TimeoutError:
            return _NoAnswer(PollResult.TIMEOUT, f"no whole answer within {timeout_seconds:g} s")
        except (OSError, BrokenAnswerError) as error:
            return _NoAnswer(
                PollResult.UNREACHABLE, f"{type(error).__name__}: {error}"[:MAX_DETAIL_CHARACTERS]
            )

    def _measure(self, method: str, endpoint: str, got: _Exchange, started: float) -> float:
        took_seconds = self._clock() - started
        status = str(got.status) if isinstance(got, Answer) else NO_ANSWER
        self._metrics.api_requests.labels(endpoint, method, status).inc()
        self._metrics.api_duration.labels(endpoint, method).observe(took_seconds)
        return took_seconds

    def _judge_poll(self, got: Answer) -> tuple[PollResult, Health, str]:
        status = got.status
        if 200 <= status < 300:
            return _judge_page(got)
        if status < 400:
            where = _host(got.headers.get("location") or "")
            detail = f"a redirect to {where!a}, not followed: check API_BASE_URL"
            return PollResult.REDIRECT, Health.UNKNOWN, detail
        detail = self._detail(got)
        if status >= 500:
            return PollResult.SERVER_ERROR, Health.UNHEALTHY, detail
        if status in (401, 403):
            return PollResult.UNAUTHORIZED, Health.UNKNOWN, f"{detail}: check API_TOKEN"
        if status == 429:
            return PollResult.RATE_LIMITED, Health.UNKNOWN, detail
        return PollResult.CLIENT_ERROR, Health.UNKNOWN, detail

    def _detail(self, got: Answer) -> str:
        """What the API said, without the token, should it repeat it."""
        text = got.body[:MAX_ANSWER_BYTES].decode(errors="replace")
        if self._token:
            text = text.replace(self._token, "***")
        return f"status {got.status}: {' '.join(text.split())}"[:MAX_DETAIL_CHARACTERS]


def _judge_page(got: Answer) -> tuple[PollResult, Health, str]:
    if not got.complete:
        return PollResult.BAD_PAGE, Health.HEALTHY, f"the page is larger than {MAX_PAGE_BYTES} bytes"
    if (got.headers.get("content-encoding") or "identity").lower() != "identity":
        return PollResult.BAD_PAGE, Health.HEALTHY, "the page is compressed, which was not asked for"
    return PollResult.TASKS, Health.HEALTHY, ""


def _judge_report(status: int) -> tuple[ReportOutcome, Health]:
    if 200 <= status < 300:
        return ReportOutcome.DONE, Health.HEALTHY
    if status in _GONE:
        return ReportOutcome.GONE, Health.UNKNOWN
    if status >= 500:
        return ReportOutcome.RETRY, Health.UNHEALTHY
    if status < 400 or status in _KEPT:
        return ReportOutcome.RETRY, Health.UNKNOWN
    return ReportOutcome.REJECTED, Health.UNKNOWN


def _host(location: str) -> str:
    try:
        return (urlsplit(location).hostname or "")[:100]
    except ValueError:
        return "an address that is none"
