"""Why a poll or a report failed, as it may be shown and logged: the words, and the setting to look at."""

import re
from collections.abc import Mapping

from supervisor.runtime.trouble import Cause
from supervisor.task_api.answers import PollAnswer, PollResult, ReportAnswer, ReportOutcome

REDIRECTS = range(300, 400)
SERVER_ERRORS = 500
HIDDEN_NUMBERS = "[numbers]"

_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}(?:\s*[,;\s]\s*{_NUMBER}){{2,}}(?:[,;\s]+[-+.\deE]*)?")
_ENCODED = re.compile(r"[A-Za-z0-9+/=_-]{60,}")

_SETTINGS: Mapping[PollResult, str] = {
    PollResult.UNREACHABLE: "API_BASE_URL",
    PollResult.TIMEOUT: "REQUEST_TIMEOUT",
    PollResult.CLIENT_ERROR: "API_BASE_URL",
    PollResult.UNAUTHORIZED: "API_TOKEN",
    PollResult.REDIRECT: "API_BASE_URL",
    PollResult.BAD_PAGE: "API_BASE_URL",
    PollResult.FOREIGN: "API_BASE_URL",
}
_REFUSALS: Mapping[int, PollResult] = {
    401: PollResult.UNAUTHORIZED,
    403: PollResult.UNAUTHORIZED,
    408: PollResult.TIMEOUT,
    429: PollResult.RATE_LIMITED,
}


def cause_of_poll(answer: PollAnswer) -> Cause:
    """Why a poll brought no page."""
    return Cause(answer.result, answer.detail, _SETTINGS.get(answer.result, ""))


def cause_of_report(answer: ReportAnswer, *, tells_output: bool) -> Cause:
    """Why a report, or a claim, was not taken. `tells_output`: the report had an output, not a message."""
    result = _result_of_report(answer)
    return Cause(result, loggable_detail(answer, tells_output=tells_output), _SETTINGS.get(result, ""))


def loggable_detail(answer: ReportAnswer, *, tells_output: bool) -> str:
    """The words for an answer to a report, without what may not be logged.

    What an API answers may repeat what it was sent: vectors, or a message that quotes a task's text. The
    words are left out of a refusal, and of all answers to a message. Those of a server error are shown
    without numbers. The words for a redirect are this service's own. The journal keeps all words.
    """
    if answer.status is None or answer.outcome is ReportOutcome.FOREIGN or answer.status in REDIRECTS:
        return answer.detail
    if answer.status >= SERVER_ERRORS and tells_output:
        return _ENCODED.sub("[data]", _NUMBERS.sub(HIDDEN_NUMBERS, answer.detail))
    return f"status {answer.status}"


def _result_of_report(answer: ReportAnswer) -> PollResult:
    """What a poll with the same answer would be called."""
    if answer.outcome is ReportOutcome.FOREIGN:
        return PollResult.FOREIGN
    if answer.status is None:
        return PollResult.UNREACHABLE
    if answer.status >= SERVER_ERRORS:
        return PollResult.SERVER_ERROR
    if answer.status in REDIRECTS:
        return PollResult.REDIRECT
    return _REFUSALS.get(answer.status, PollResult.CLIENT_ERROR)
