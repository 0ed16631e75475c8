"""What a response of the task API means: pure functions from an exchange to an answer."""

import time
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from shared.plain_text import one_line
from shared.retry import parse_retry_after
from supervisor.task_api.answers import (
    Health,
    PollAnswer,
    PollRequest,
    PollResult,
    ReportAnswer,
    ReportOutcome,
)
from supervisor.task_api.authorization import Authorization
from supervisor.task_api.exchange import Exchange, FailedStep, NoResponse, Response
from supervisor.task_api.foreign import foreign_sign

MAX_DETAIL_CHARACTERS = 300
MAX_DETAIL_BYTES = 4096
MAX_PATH_CHARACTERS = 120
CUT_OFF_SECONDS = 1.0
"""A held poll that ends sooner was not cut off for being held."""

_GONE = frozenset({404, 409, 410, 412})
_KEPT = frozenset({401, 403, 408, 429})
_NOT_FOREIGN = frozenset({401, 429})
"""These settle nothing and say what to do, whoever sent them."""
_TOO_MUCH = frozenset({400, 413, 414, 422, 500, 504})
_GATEWAY_TIMEOUTS = frozenset({408, 502, 503, 504, 524})

Redact = Callable[[str], str]


def judge_poll(got: Exchange, request: PollRequest, url: str, authorization: Authorization) -> PollAnswer:
    """What a poll of `url` came to. A result of TASKS still needs its page to be read."""
    limit = request.limit
    cut_off = request.wait_seconds > 0 and got.took_seconds >= CUT_OFF_SECONDS
    if isinstance(got, NoResponse):
        return _poll_without_response(got, limit, cut_off)
    result, health, detail = _judge_poll_status(got, cut_off, url, authorization)
    return PollAnswer(
        result,
        health,
        limit,
        got.began_at,
        got.took_seconds,
        page_bytes=len(got.body),
        detail=detail,
        retry_after_seconds=parse_retry_after(got.headers, time.time()),
        too_much=got.status in _TOO_MUCH or not got.complete,
    )


def judge_report(got: Exchange, url: str, redact: Redact) -> ReportAnswer:
    """What a PATCH to `url` came to."""
    if isinstance(got, NoResponse):
        health = Health.UNKNOWN if got.step is FailedStep.NOT_SENT else Health.UNHEALTHY
        retry_after = got.retry_after_seconds
        return ReportAnswer(ReportOutcome.RETRY, health, None, got.detail, retry_after, got.began_at)
    outcome, health, detail = _judge_report_status(got, url, redact)
    retry_after = None if outcome is ReportOutcome.DONE else parse_retry_after(got.headers, time.time())
    return ReportAnswer(outcome, health, got.status, detail, retry_after, got.began_at)


def _poll_without_response(got: NoResponse, limit: int, cut_off: bool) -> PollAnswer:
    result, health = PollResult.UNREACHABLE, Health.UNHEALTHY
    if got.step is FailedStep.TIMEOUT:
        result = PollResult.TIMEOUT
    elif got.step is FailedStep.NOT_SENT:
        result = PollResult.UNAUTHORIZED
    if got.step is FailedStep.NOT_SENT or (cut_off and got.step is not FailedStep.CONNECT):
        health = Health.UNKNOWN
    return PollAnswer(
        result,
        health,
        limit,
        got.began_at,
        got.took_seconds,
        detail=got.detail,
        retry_after_seconds=got.retry_after_seconds,
        too_much=got.step in (FailedStep.TIMEOUT, FailedStep.RESPONSE),
    )


def _judge_poll_status(
    got: Response, cut_off: bool, url: str, authorization: Authorization
) -> tuple[PollResult, Health, str]:
    status, detail = got.status, response_detail(got, authorization.redact)
    if 300 <= status < 400:
        return PollResult.REDIRECT, Health.UNKNOWN, redirect_detail(got, url, "API_PENDING_PATH")
    if status == 401:
        return PollResult.UNAUTHORIZED, Health.UNKNOWN, f"{detail}: {authorization.advice}"
    if status == 429:
        return PollResult.RATE_LIMITED, Health.UNKNOWN, detail
    if cut_off and status in _GATEWAY_TIMEOUTS:
        return PollResult.SERVER_ERROR, Health.UNKNOWN, detail
    if sign := _sign_of_foreigner(got):
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


def _judge_report_status(got: Response, url: str, redact: Redact) -> tuple[ReportOutcome, Health, str]:
    status = got.status
    if 300 <= status < 400:
        return ReportOutcome.RETRY, Health.UNKNOWN, redirect_detail(got, url, "API_TASK_PATH")
    sign = "" if status in _NOT_FOREIGN else _sign_of_foreigner(got)
    if sign:
        return ReportOutcome.FOREIGN, Health.UNHEALTHY, _foreign_detail(got, sign)
    if status < 300:
        return ReportOutcome.DONE, Health.HEALTHY, ""
    detail = response_detail(got, redact)
    if status in _GONE:
        return ReportOutcome.GONE, Health.UNKNOWN, detail
    if status >= 500:
        return ReportOutcome.RETRY, Health.UNHEALTHY, detail
    if status in _KEPT:
        return ReportOutcome.RETRY, Health.UNKNOWN, detail
    return ReportOutcome.REJECTED, Health.UNKNOWN, detail


def response_detail(got: Response, redact: Redact) -> str:
    """The status, and the first words of the body in one line."""
    text = redact(bytes(got.body[:MAX_DETAIL_BYTES]).decode(errors="replace"))
    words = one_line(text, MAX_DETAIL_CHARACTERS)
    return f"status {got.status}{f': {words}' if words else ' without a body'}"[:MAX_DETAIL_CHARACTERS]


def redirect_detail(got: Response, url: str, path_setting: str) -> str:
    """Where a redirect leads, seen from `url`, without a query, which may hold a secret, and what to check.

    `path_setting` has the path of `url`. It is at fault where a slash at the end is the whole difference.
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
    """The address in front of the path, where it is another than the one that was asked."""
    scheme = target.scheme or asked.scheme
    if not target.hostname or (scheme, target.hostname, target.port) == (
        asked.scheme,
        asked.hostname,
        asked.port,
    ):
        return ""
    port = f":{target.port}" if target.port else ""
    return f"{scheme[:10]}://{target.hostname[:100]}{port}"


def _sign_of_foreigner(got: Response) -> str:
    if got.unreadable and got.headers.get("content-type", "").lower().startswith("text/html"):
        return "an HTML page that cannot be read"
    return foreign_sign(got.headers, got.body)


def _foreign_detail(got: Response, sign: str) -> str:
    way = f", by way of {got.proxy}" if got.proxy else ""
    return f"status {got.status}: {sign} in place of the task API's answer{way}"[:MAX_DETAIL_CHARACTERS]
