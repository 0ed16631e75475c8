"""What the polls say of the task API, in words."""

from collections.abc import Mapping

from supervisor.console.formatting import duration
from supervisor.console.notices.notice import Notice, Severity
from supervisor.console.notices.trouble import API, POLLS, as_sentence, trouble_of, where_and_when
from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.status.status import Status
from supervisor.task_api.answers import PollResult

UNDER_WAY_SECONDS = 0.5

_POLL_FAULTS: Mapping[str, tuple[Severity, str, str]] = {
    PollResult.UNREACHABLE: (Severity.CAUTION, "cannot be reached", "Check API_BASE_URL and the network."),
    PollResult.TIMEOUT: (
        Severity.CAUTION,
        "does not answer in time",
        "REQUEST_TIMEOUT says how long it may take.",
    ),
    PollResult.SERVER_ERROR: (Severity.CAUTION, "answers with a server error", "Its own logs say more."),
    PollResult.CLIENT_ERROR: (Severity.ALARM, "refuses the request for tasks", "Check API_BASE_URL."),
    PollResult.UNAUTHORIZED: (Severity.ALARM, "does not let us in", "Check API_TOKEN."),
    PollResult.RATE_LIMITED: (Severity.CAUTION, "asks us to poll less often", "That is obeyed."),
    PollResult.REDIRECT: (
        Severity.ALARM,
        "answers with a redirect, which is not followed",
        "Check API_BASE_URL.",
    ),
    PollResult.BAD_PAGE: (
        Severity.ALARM,
        "answers with something that is no list of tasks",
        "Check API_BASE_URL.",
    ),
    PollResult.FOREIGN: (
        Severity.ALARM,
        "is hidden behind something that answers in its place",
        "A gateway, a firewall or a login page: check what stands in front of the API, and API_BASE_URL.",
    ),
}


def poll_trouble(status: Status) -> Notice | None:
    if status.breakers[0].state is not BreakerState.CLOSED or status.poll.last_result not in _POLL_FAULTS:
        return None
    severity, fault, advice = _POLL_FAULTS[status.poll.last_result]
    trouble = trouble_of(status, API, POLLS)
    if trouble is None:
        return Notice(severity, f"The task API {fault}", f"{advice} {next_poll(status)}")
    words = f"{as_sentence(trouble.detail)} {where_and_when(trouble, status)}"
    if not trouble.setting or trouble.setting not in trouble.detail:
        words += f" {advice}"
    return Notice(severity, f"The task API {fault}", f"{words} {next_poll(status)}")


def next_poll(status: Status) -> str:
    seconds = status.poll.next_in_seconds
    if status.poll.under_way or seconds < UNDER_WAY_SECONDS:
        return "A poll is under way."
    return f"The next poll is in {duration(seconds)}."
