"""What a response of the task API means: pure functions from an exchange to an answer in our own terms."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit

from shared.plain_text import one_line
from shared.retry import parse_retry_after
from supervisor.runtime.events import Event
from supervisor.runtime.trouble import Cause
from supervisor.task_api.foreign import foreign_sign
from supervisor.task_api.http.exchange import Authorization, Exchange, FailedStep, NoResponse, Response
from supervisor.task_api.optional import is_missing
from supervisor.task_api.wire_formats import Page

EMPTY_PAGE = Page()
MAX_DETAIL_CHARACTERS = 300
MAX_DETAIL_BYTES = 4096
MAX_PATH_CHARACTERS = 120
CUT_OFF_SECONDS = 1.0
"""A long poll that ends sooner was not cut off for its length."""

_REDIRECTS = range(300, 400)
_GONE = frozenset({404, 409, 410, 412})
_SLOW_DOWN = frozenset({429})
"""The API, or what stands before it, asks for a slower pace."""
_RETRIED = frozenset({401, 403, 408}) | _SLOW_DOWN
_NEVER_FOREIGN = frozenset({401}) | _SLOW_DOWN
"""These settle nothing and say what to do, whoever sent them."""
_TOO_MUCH = frozenset({400, 413, 414, 422, 500, 504})
_GATEWAY_TIMEOUTS = frozenset({408, 502, 503, 504, 524})

_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}(?:\s*[,;\s]\s*{_NUMBER}){{2,}}(?:[,;\s]+[-+.\deE]*)?")
_ENCODED = re.compile(r"[A-Za-z0-9+/=_-]{60,}")

Redact = Callable[[str], str]


class Health(StrEnum):
    """What an answer says about the API as a whole, for the circuit breaker."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


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
    FOREIGN = "foreign"
    """A gateway, a firewall or a login page answered in the API's place."""


PAGES = frozenset({PollResult.TASKS, PollResult.EMPTY})


class ReportOutcome(StrEnum):
    """The `outcome` label of `ai_reports_total`: what becomes of a report after one PATCH."""

    DONE = "done"
    GONE = "gone"
    REJECTED = "rejected"
    RETRY = "retry"
    FOREIGN = "foreign"
    """A gateway, a firewall or a login page answered in the API's place."""


REFUSALS = frozenset({ReportOutcome.GONE, ReportOutcome.REJECTED})
"""Of a call about several tasks these say that the API does not take such a call."""


@dataclass(frozen=True, slots=True)
class PollRequest:
    """Asks for up to `limit` tasks, and which of the tasks in `sought` are listed.

    The API may hold its answer for `wait_seconds`. Where it `claims`, the tasks of the page are ours.
    """

    limit: int
    wait_seconds: float = 0.0
    sought: frozenset[str] = frozenset()
    claims: bool = False


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """A page, or why there is none. `began_at` is monotonic, from before the request."""

    result: PollResult
    health: Health
    limit: int
    began_at: float
    took_seconds: float = 0.0
    page: Page = EMPTY_PAGE
    page_bytes: int = 0
    detail: str = ""
    retry_after_seconds: float | None = None
    too_much: bool = False
    """The limit may be more than the API can take."""
    is_claimed: bool = False
    """The tasks of the page are ours."""
    lacks_claim: bool = False
    """The API has no claim of a page, or refuses it whatever the limit."""

    @property
    def asks_for_less(self) -> bool:
        """Try a smaller limit next."""
        return self.result not in PAGES and self.too_much and self.limit > 1


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """What one PATCH came to. `began_at` is monotonic, from before the request."""

    outcome: ReportOutcome
    health: Health
    status: int | None = None
    detail: str = ""
    retry_after_seconds: float | None = None
    began_at: float = 0.0

    @property
    def asks_to_slow_down(self) -> bool:
        """The report was refused because there are too many."""
        return self.status in _SLOW_DOWN

    @property
    def is_refusal_of_all(self) -> bool:
        """Any other report would be refused too, as with a wrong token."""
        refused = self.outcome is ReportOutcome.RETRY and self.health is Health.UNKNOWN
        return refused and self.status is not None and not self.asks_to_slow_down


@dataclass(frozen=True, slots=True)
class TasksPolled(Event):
    """A poll was answered, or not."""

    answer: PollAnswer


@dataclass(frozen=True, slots=True)
class ReportDone(Event):
    """A report was answered, or not."""

    task_id: str
    answer: ReportAnswer


@dataclass(frozen=True, slots=True)
class ClaimDone(Event):
    """A claim or its return was answered, or not."""

    task_id: str
    answer: ReportAnswer


def classify_poll(got: Exchange, request: PollRequest, url: str, authorization: Authorization) -> PollAnswer:
    """What a poll of `url` came to. Where the result is TASKS, the page is still to be parsed."""
    cut_off = request.wait_seconds > 0 and got.took_seconds >= CUT_OFF_SECONDS
    if isinstance(got, NoResponse):
        page_bytes, retry_after_seconds = 0, got.retry_after_seconds
        too_much = got.step in (FailedStep.TIMEOUT, FailedStep.RESPONSE)
        result, health, detail = *_failed_poll(got.step, cut_off=cut_off), got.detail
    else:
        page_bytes, retry_after_seconds = len(got.body), parse_retry_after(got.headers, time.time())
        too_much = got.status in _TOO_MUCH or not got.complete
        result, health, detail = _poll_status(got, cut_off, url, authorization)
    lacks_claim = request.claims and (
        is_missing(got) or (_is_refused(got) and not (too_much and request.limit > 1))
    )
    return PollAnswer(
        result,
        Health.UNKNOWN if lacks_claim else health,
        request.limit,
        got.began_at,
        got.took_seconds,
        page_bytes=page_bytes,
        detail=detail,
        retry_after_seconds=retry_after_seconds,
        too_much=too_much,
        is_claimed=request.claims,
        lacks_claim=lacks_claim,
    )


def classify_report(got: Exchange, url: str, redact: Redact) -> ReportAnswer:
    """What a PATCH to `url` came to."""
    if isinstance(got, NoResponse):
        health = Health.UNKNOWN if got.step is FailedStep.NOT_SENT else Health.UNHEALTHY
        retry_after = got.retry_after_seconds
        return ReportAnswer(ReportOutcome.RETRY, health, None, got.detail, retry_after, got.began_at)
    outcome, health, detail = _report_status(got, url, redact)
    retry_after = None if outcome is ReportOutcome.DONE else parse_retry_after(got.headers, time.time())
    return ReportAnswer(outcome, health, got.status, detail, retry_after, got.began_at)


def _is_refused(got: Exchange) -> bool:
    """Did the API say that it does not do this at all?"""
    if not isinstance(got, Response) or foreign_sign(got):
        return False
    return 400 <= got.status < 500 and got.status not in _RETRIED


def _failed_poll(step: FailedStep, *, cut_off: bool) -> tuple[PollResult, Health]:
    match step:
        case FailedStep.NOT_SENT:
            return PollResult.UNAUTHORIZED, Health.UNKNOWN
        case FailedStep.CONNECT:
            return PollResult.UNREACHABLE, Health.UNHEALTHY
    result = PollResult.TIMEOUT if step is FailedStep.TIMEOUT else PollResult.UNREACHABLE
    return result, Health.UNKNOWN if cut_off else Health.UNHEALTHY


def _poll_status(
    got: Response, cut_off: bool, url: str, authorization: Authorization
) -> tuple[PollResult, Health, str]:
    status, detail = got.status, response_detail(got, authorization.redact)
    if status in _REDIRECTS:
        return PollResult.REDIRECT, Health.UNKNOWN, redirect_detail(got, url, "API_PENDING_PATH")
    if status == 401:
        return PollResult.UNAUTHORIZED, Health.UNKNOWN, f"{detail}: {authorization.advice}"
    if status in _SLOW_DOWN:
        return PollResult.RATE_LIMITED, Health.UNKNOWN, detail
    if cut_off and status in _GATEWAY_TIMEOUTS:
        return PollResult.SERVER_ERROR, Health.UNKNOWN, detail
    if sign := foreign_sign(got):
        where = "check API_BASE_URL and what stands in front of the API"
        return PollResult.FOREIGN, Health.UNHEALTHY, f"{_foreign_detail(got, sign)}: {where}"
    if status == 403:
        return PollResult.UNAUTHORIZED, Health.UNKNOWN, f"{detail}: {authorization.advice}"
    if status >= 500:
        return PollResult.SERVER_ERROR, Health.UNHEALTHY, detail
    if status >= 400:
        return PollResult.CLIENT_ERROR, Health.UNKNOWN, detail
    if got.unreadable:
        return PollResult.BAD_PAGE, Health.HEALTHY, f"the page cannot be read: {got.unreadable}"
    if not got.complete:
        return PollResult.BAD_PAGE, Health.HEALTHY, f"the page is larger than {len(got.body)} bytes"
    if status == 204 or got.body[:64].strip() in (b"", b"null"):
        # A body of white space may be longer than that; a page of tasks never begins with so much of it.
        empty = status == 204 or got.body.strip() in (b"", b"null")
        return (PollResult.EMPTY if empty else PollResult.TASKS), Health.HEALTHY, ""
    return PollResult.TASKS, Health.HEALTHY, ""


def _report_status(got: Response, url: str, redact: Redact) -> tuple[ReportOutcome, Health, str]:
    status = got.status
    if status in _REDIRECTS:
        return ReportOutcome.RETRY, Health.UNKNOWN, redirect_detail(got, url, "API_TASK_PATH")
    sign = "" if status in _NEVER_FOREIGN else foreign_sign(got)
    if sign:
        return ReportOutcome.FOREIGN, Health.UNHEALTHY, _foreign_detail(got, sign)
    if status < 300:
        return ReportOutcome.DONE, Health.HEALTHY, ""
    detail = response_detail(got, redact)
    if status in _GONE:
        return ReportOutcome.GONE, Health.UNKNOWN, detail
    if status >= 500:
        return ReportOutcome.RETRY, Health.UNHEALTHY, detail
    if status in _RETRIED:
        return ReportOutcome.RETRY, Health.UNKNOWN, detail
    return ReportOutcome.REJECTED, Health.UNKNOWN, detail


def response_detail(got: Response, redact: Redact) -> str:
    """The status and the first words of the body, in one line."""
    text = redact(bytes(got.body[:MAX_DETAIL_BYTES]).decode(errors="replace"))
    words = one_line(text, MAX_DETAIL_CHARACTERS)
    return f"status {got.status}{f': {words}' if words else ' without a body'}"[:MAX_DETAIL_CHARACTERS]


def redirect_detail(got: Response, url: str, path_setting: str) -> str:
    """Where a redirect of `url` leads, and what to check. A query is left out, as it may hold a secret.

    `path_setting` holds the path of `url`. It is wrong where only a slash at the end differs.
    """
    advice = "not followed: check API_BASE_URL"
    location = got.headers.get("location", "")
    try:
        asked, target = urlsplit(url), urlsplit(location)
        path = target.path[:MAX_PATH_CHARACTERS]
        where = f"{_host(target, asked)}{path}"
    except ValueError:
        return f"status {got.status}: a redirect to an address that is none, {advice}"
    if not where:
        return f"status {got.status}: a redirect to nowhere, {advice}"
    if where == path != asked.path and path.rstrip("/") == asked.path.rstrip("/"):
        advice = f"the same but for a slash at the end, not followed: check {path_setting}"
    return f"status {got.status}: redirects to {where!a}, {advice}"


def _host(target: SplitResult, asked: SplitResult) -> str:
    """The part of `target` before its path; empty where it is that of `asked`."""
    scheme = target.scheme or asked.scheme
    same = (scheme, target.hostname, target.port) == (asked.scheme, asked.hostname, asked.port)
    if not target.hostname or same:
        return ""
    port = f":{target.port}" if target.port else ""
    return f"{scheme[:10]}://{target.hostname[:100]}{port}"


def _foreign_detail(got: Response, sign: str) -> str:
    way = f", by way of {got.proxy}" if got.proxy else ""
    return f"status {got.status}: {sign} in place of the task API's answer{way}"[:MAX_DETAIL_CHARACTERS]


_SETTING_TO_CHECK: Mapping[PollResult, str] = {
    PollResult.UNREACHABLE: "API_BASE_URL",
    PollResult.TIMEOUT: "REQUEST_TIMEOUT",
    PollResult.CLIENT_ERROR: "API_BASE_URL",
    PollResult.UNAUTHORIZED: "API_TOKEN",
    PollResult.REDIRECT: "API_BASE_URL",
    PollResult.BAD_PAGE: "API_BASE_URL",
    PollResult.FOREIGN: "API_BASE_URL",
}
_RESULTS_BY_STATUS: Mapping[int, PollResult] = {
    401: PollResult.UNAUTHORIZED,
    403: PollResult.UNAUTHORIZED,
    408: PollResult.TIMEOUT,
    **dict.fromkeys(_SLOW_DOWN, PollResult.RATE_LIMITED),
}


def cause_of_poll(answer: PollAnswer) -> Cause:
    """Why a poll brought no page."""
    return Cause(answer.result, answer.detail, _SETTING_TO_CHECK.get(answer.result, ""))


def cause_of_report(answer: ReportAnswer, *, tells_output: bool) -> Cause:
    """Why a report or a claim was not taken. `tells_output`: the body held an output, not a message."""
    result = _result_of_report(answer)
    return Cause(
        result, loggable_detail(answer, tells_output=tells_output), _SETTING_TO_CHECK.get(result, "")
    )


def loggable_detail(answer: ReportAnswer, *, tells_output: bool) -> str:
    """The words for an answer to a report, without what must not be logged.

    An API may repeat what it was sent: vectors, or a message that quotes a task's text. So its words are left
    out of a refusal, and of any answer to a message. Those of a server error are shown without numbers. The
    words for a redirect are our own. The journal keeps all words.
    """
    if answer.status is None or answer.outcome is ReportOutcome.FOREIGN or answer.status in _REDIRECTS:
        return answer.detail
    if answer.status >= 500 and tells_output:
        return _ENCODED.sub("[data]", _NUMBERS.sub("[numbers]", answer.detail))
    return f"status {answer.status}"


def _result_of_report(answer: ReportAnswer) -> PollResult:
    """The result of a poll with the same answer."""
    if answer.outcome is ReportOutcome.FOREIGN:
        return PollResult.FOREIGN
    if answer.status is None:
        return PollResult.UNREACHABLE
    if answer.status >= 500:
        return PollResult.SERVER_ERROR
    if answer.status in _REDIRECTS:
        return PollResult.REDIRECT
    return _RESULTS_BY_STATUS.get(answer.status, PollResult.CLIENT_ERROR)
