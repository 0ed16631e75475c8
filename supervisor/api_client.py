"""The task API over HTTP: two calls, and what their answers mean. Errors end here; callers get answers."""

import http.client
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias
from urllib.parse import quote, urlsplit

import urllib3
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from shared.metrics import SupervisorMetrics
from shared.retry import Headers, parse_retry_after
from supervisor.patch_channel import PatchChannel
from supervisor.wire import Page, parse_page

MAX_PAGE_BYTES = 128 * 1024 * 1024
MAX_DETAIL_CHARACTERS = 300
CHUNK_BYTES = 64 * 1024
PENDING_PATH = "/api/ai-tasks/pending"
TASK_PATH = "/api/ai-tasks/{id}"
NO_ANSWER = "none"
EMPTY_PAGE = Page()

_GONE = frozenset({404, 409, 410, 412})
_KEPT = frozenset({401, 403, 408, 429})


class Health(StrEnum):
    """What an answer says of the API as a whole; the circuit breaker listens to this."""

    WELL = "well"
    ILL = "ill"
    UNSAID = "unsaid"


class PollResult(StrEnum):
    """The `result` label of `ai_polls_total`."""

    TASKS = "tasks"
    EMPTY = "empty"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"
    CLIENT_ERROR = "client_error"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    REDIRECT = "redirect"
    BAD_PAGE = "bad_page"


class ReportOutcome(StrEnum):
    """The `outcome` label of `ai_reports_total`: what becomes of a report after one PATCH."""

    DONE = "done"
    GONE = "gone"
    REJECTED = "rejected"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """One poll: a page, or why there is none. `requested_at` is monotonic, from before the request."""

    result: PollResult
    health: Health
    limit: int
    requested_at: float
    took_seconds: float = 0.0
    page: Page = EMPTY_PAGE
    detail: str = ""
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """What one PATCH came to."""

    outcome: ReportOutcome
    health: Health
    status: int | None = None
    detail: str = ""
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    body: bytes
    headers: Headers
    complete: bool = True


@dataclass(frozen=True, slots=True)
class _NoAnswer:
    result: PollResult
    detail: str


_Exchange: TypeAlias = "_Response | _NoAnswer"


class APIClient:
    """Thread-safe. Never follows a redirect, so the token goes nowhere but to `base_url`.

    An answer must arrive whole within `timeout_seconds` and its size bound. No proxy and no `.netrc`
    is consulted. `clock` is monotonic.
    """

    def __init__(
        self,
        base_url: str,
        token: SecretStr | None,
        timeout_seconds: float,
        poll_wait_seconds: float,
        metrics: SupervisorMetrics,
        new_correlation_id: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = urlsplit(base_url)
        self._tls = ssl.create_default_context() if self._base.scheme == "https" else None
        secure = {"ssl_context": self._tls} if self._tls else {}
        self._pool = urllib3.connection_from_url(base_url, **secure)
        self._threads = threading.local()
        self._timeout_seconds = timeout_seconds
        self._poll_wait_seconds = poll_wait_seconds
        self._metrics = metrics
        self._new_correlation_id = new_correlation_id
        self._clock = clock
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "ai-task-processor",
        }
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token.get_secret_value()}"

    def get_pending_tasks(self, limit: int) -> PollAnswer:
        """Ask for up to `limit` pending tasks; the API may hold the answer for the poll's wait."""
        requested_at = self._clock()
        got = self._get(limit)
        took_seconds = self._measure("GET", PENDING_PATH, got, requested_at)
        if isinstance(got, _NoAnswer):
            return PollAnswer(got.result, Health.ILL, limit, requested_at, took_seconds, detail=got.detail)
        result, health, detail = _judge_poll(got)
        retry_after = parse_retry_after(got.headers, time.time())
        page = EMPTY_PAGE
        if result is PollResult.TASKS:
            page = parse_page(got.body, self._new_correlation_id)
            if page.fault:
                result, detail = PollResult.BAD_PAGE, page.fault
            elif not page.items:
                result = PollResult.EMPTY
        return PollAnswer(result, health, limit, requested_at, took_seconds, page, detail, retry_after)

    def update_task(self, task_id: str, body: bytes, correlation_id: str) -> ReportAnswer:
        """Report on one task. The id becomes one percent-encoded segment of the path."""
        started = self._clock()
        got = self._patch(TASK_PATH.format(id=quote(task_id, safe="")), body, correlation_id)
        self._measure("PATCH", TASK_PATH, got, started)
        if isinstance(got, _NoAnswer):
            return ReportAnswer(ReportOutcome.RETRY, Health.ILL, None, got.detail)
        outcome, health = _judge_report(got.status)
        if outcome is ReportOutcome.DONE:
            return ReportAnswer(outcome, health, got.status)
        detail = f"status {got.status}: {_excerpt(got.body)}"
        return ReportAnswer(outcome, health, got.status, detail, parse_retry_after(got.headers, time.time()))

    def _measure(self, method: str, endpoint: str, got: _Exchange, started: float) -> float:
        took_seconds = self._clock() - started
        status = str(got.status) if isinstance(got, _Response) else NO_ANSWER
        self._metrics.api_requests.labels(endpoint, method, status).inc()
        self._metrics.api_duration.labels(endpoint, method).observe(took_seconds)
        return took_seconds

    def _patch(self, path: str, body: bytes, correlation_id: str) -> _Exchange:
        channel: PatchChannel | None = getattr(self._threads, "channel", None)
        if channel is None:
            channel = PatchChannel(self._base, self._timeout_seconds, self._tls, self._clock)
            self._threads.channel = channel
        headers = self._headers | {"Content-Type": "application/json", "X-Correlation-ID": correlation_id}
        try:
            answer = channel.patch(self._base.path + path, body, headers)
        except TimeoutError:
            return self._too_late()
        except (OSError, http.client.HTTPException) as error:
            return _unreachable(error)
        return _Response(answer.status, answer.body, answer.headers)

    def _get(self, limit: int) -> _Exchange:
        path, headers = f"{PENDING_PATH}?limit={limit}", self._headers
        timeout_seconds = self._timeout_seconds + self._poll_wait_seconds
        deadline = self._clock() + timeout_seconds
        if self._poll_wait_seconds:
            path += f"&wait={self._poll_wait_seconds:g}"
            headers = headers | {"Prefer": f"wait={self._poll_wait_seconds:g}"}
        try:
            response = self._pool.urlopen(
                "GET",
                self._base.path + path,
                headers=headers,
                timeout=timeout_seconds,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                return self._read(response, deadline, MAX_PAGE_BYTES)
            finally:
                response.release_conn()
        except urllib3.exceptions.TimeoutError:
            return self._too_late()
        except (HTTPError, OSError) as error:
            return _unreachable(error)

    def _too_late(self) -> _NoAnswer:
        return _NoAnswer(PollResult.TIMEOUT, f"no whole answer within {self._timeout_seconds:g} s")

    def _read(self, response: urllib3.BaseHTTPResponse, deadline: float, limit_bytes: int) -> _Exchange:
        chunks: list[bytes] = []
        size = 0
        while chunk := response.read1(CHUNK_BYTES, decode_content=False):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit_bytes:
                response.close()
                return _Response(response.status, b"".join(chunks), response.headers, complete=False)
            if self._clock() > deadline:
                response.close()
                return self._too_late()
        return _Response(response.status, b"".join(chunks), response.headers)


def _unreachable(error: Exception) -> _NoAnswer:
    return _NoAnswer(PollResult.UNREACHABLE, f"{type(error).__name__}: {error}"[:MAX_DETAIL_CHARACTERS])


def _judge_poll(got: _Response) -> tuple[PollResult, Health, str]:
    status = got.status
    if 200 <= status < 300:
        if not got.complete:
            return PollResult.BAD_PAGE, Health.WELL, f"the page is larger than {MAX_PAGE_BYTES} bytes"
        if (got.headers.get("Content-Encoding") or "identity") != "identity":
            return PollResult.BAD_PAGE, Health.WELL, "the page is compressed, which was not asked for"
        return PollResult.TASKS, Health.WELL, ""
    detail = f"status {status}: {_excerpt(got.body)}"
    if status < 400:
        target = urlsplit(got.headers.get("Location") or "").netloc[:100]
        return (
            PollResult.REDIRECT,
            Health.UNSAID,
            f"a redirect to {target!a}, not followed: check API_BASE_URL",
        )
    if status >= 500:
        return PollResult.SERVER_ERROR, Health.ILL, detail
    if status in (401, 403):
        return PollResult.UNAUTHORIZED, Health.UNSAID, f"{detail}: check API_TOKEN"
    if status == 429:
        return PollResult.RATE_LIMITED, Health.UNSAID, detail
    return PollResult.CLIENT_ERROR, Health.UNSAID, detail


def _judge_report(status: int) -> tuple[ReportOutcome, Health]:
    if 200 <= status < 300:
        return ReportOutcome.DONE, Health.WELL
    if status in _GONE:
        return ReportOutcome.GONE, Health.UNSAID
    if status >= 500:
        return ReportOutcome.RETRY, Health.ILL
    if status < 400 or status in _KEPT:
        return ReportOutcome.RETRY, Health.UNSAID
    return ReportOutcome.REJECTED, Health.UNSAID


def _excerpt(body: bytes) -> str:
    text = body[: MAX_DETAIL_CHARACTERS * 4].decode(errors="replace")
    return " ".join(text.split())[:MAX_DETAIL_CHARACTERS]
