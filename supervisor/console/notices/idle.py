"""Why no task runs, a notice for each reason; failing polls and held models, which may stop nothing."""

from collections.abc import Callable, Mapping

from shared.errors import RetryReason
from shared.plain_text import count
from shared.provider_accounts import setting_of
from supervisor.console.formatting import duration, moment, waits
from supervisor.console.notices.notice import (
    API,
    JOURNAL,
    POLLS,
    REPORTS,
    WORKERS,
    Notice,
    Severity,
    advice,
    as_sentence,
    cause,
    how_often,
    next_try,
    sentences,
    trouble_of,
    where_and_when,
)
from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.status.status import Idle, ProviderStatus, Status

UNDER_WAY_SECONDS = 0.5

_CHECK_URL = "Check API_BASE_URL."
_POLL_FAULTS: Mapping[str, tuple[Severity, str, str]] = {
    "unreachable": (Severity.CAUTION, "cannot be reached", "Check API_BASE_URL and the network."),
    "timeout": (Severity.CAUTION, "does not answer in time", "REQUEST_TIMEOUT says how long it may take."),
    "server_error": (Severity.CAUTION, "answers with a server error", "Its own logs say more."),
    "client_error": (Severity.ALARM, "refuses the request for tasks", _CHECK_URL),
    "unauthorized": (Severity.ALARM, "does not let us in", "Check API_TOKEN."),
    "rate_limited": (Severity.CAUTION, "asks us to poll less often", "That is obeyed."),
    "redirect": (Severity.ALARM, "answers with a redirect, which is not followed", _CHECK_URL),
    "bad_page": (Severity.ALARM, "answers with something that is no list of tasks", _CHECK_URL),
    "foreign": (
        Severity.ALARM,
        "is hidden behind something that answers in its place",
        "A gateway, a firewall or a login page: check what stands in front of the API, and API_BASE_URL.",
    ),
}
_NO_ANSWER = "The task API does not answer"
_API_TITLES: Mapping[str, str] = {
    "server_error": "The task API answers with server errors",
    "foreign": "Something else answers in place of the task API",
}
_HOLD_REASONS: Mapping[str, str] = {
    RetryReason.QUOTA: "the quota is used up",
    RetryReason.UNAUTHORIZED: "the key is not accepted",
    RetryReason.WRONG_URL: "there is no such API at its address",
    RetryReason.REFUSED: "it refuses whatever it is asked",
    RetryReason.UNUSABLE: "it cannot be used as it is configured",
}
_PROVIDER_FAULTS: Mapping[str, str] = {
    RetryReason.CONNECTION: "cannot be reached",
    RetryReason.DISCONNECTED: "ends the connection before it has answered",
    RetryReason.TIMEOUT: "does not answer in time",
    RetryReason.SERVER_ERROR: "answers with server errors",
    RetryReason.BAD_RESPONSE: "sends answers that cannot be used",
}


def failing_polls(status: Status) -> Notice | None:
    """The last poll failed, while polls go on."""
    if status.breakers[0].state is not BreakerState.CLOSED or status.poll.last_result not in _POLL_FAULTS:
        return None
    severity, fault, what_to_do = _POLL_FAULTS[status.poll.last_result]
    trouble = trouble_of(status, API, POLLS)
    words = ""
    if trouble is not None:
        words = f"{as_sentence(trouble.detail)} {where_and_when(trouble, status)}"
        if trouble.setting and trouble.setting in trouble.detail:
            what_to_do = ""
    return Notice(severity, f"The task API {fault}", sentences(words, what_to_do, _next_poll(status)))


def held_models(status: Status) -> Notice | None:
    """The provider seems not to have some models."""
    held = [hold for hold in status.holds if hold.model]
    if not held:
        return None
    first = held[0]
    models = f"Model {first.model}" if len(held) == 1 else f"{len(held)} models"
    return Notice(
        Severity.ALARM if status.idle is Idle.PROVIDER_HOLD else Severity.CAUTION,
        f"{models} on hold: {_at(status, first.provider)} has nothing there",
        sentences(
            f"Of {first.model} it says “{first.message}”",
            f"Refused {how_often(first.times, first.since_seconds, status.at_seconds)}.",
            f"Check {setting_of(first.provider, 'base_url')}, and the model that the tasks ask for.",
            "Its tasks wait; those of other models go on.",
            next_try(first.next_try_in_seconds),
        ),
    )


def _polls_failing(status: Status) -> Notice:
    general = Notice(Severity.CAUTION, "The task API lists no tasks: polls fail", _next_poll(status))
    return failing_polls(status) or general


def _no_work(status: Status) -> Notice:
    if status.poll.last_result == "none":
        return Notice(Severity.CALM, "Idle: the first poll is on its way", "")
    done = status.poll.last_result == "tasks"
    listed = "All that the task API listed is done." if done else "The task API lists no pending task."
    return Notice(Severity.CALM, "Idle: there is no work", f"{listed} {_next_poll(status)}")


def _next_poll(status: Status) -> str:
    seconds = status.poll.next_in_seconds
    if status.poll.under_way or seconds < UNDER_WAY_SECONDS:
        return "A poll is under way."
    return f"The next poll is in {duration(seconds)}."


def _starting(status: Status) -> Notice:
    if awaited := cause(trouble_of(status, WORKERS), status):
        return Notice(Severity.CAUTION, "Starting: no worker is up yet", awaited)
    return Notice(Severity.CALM, "Starting", "The first workers are loading what they need.")


def _paused(status: Status) -> Notice:
    running = f" {count(status.in_flight, 'task')} still under way." if status.in_flight else ""
    text = f"Nothing new starts until SIGUSR2.{running} Results are still reported."
    return Notice(Severity.CAUTION, "Paused by SIGUSR1", text)


def _draining(status: Status) -> Notice:
    title = "Stopping" if status.in_flight or status.outbox else "Stopping: all is done"
    limit = status.drain_seconds_left
    left = f"{count(status.in_flight, 'task')} running, {count(status.outbox, 'result')} to report" + (
        f"; it gives up in {duration(limit)}. What is left then is safe in the journal." if limit else "."
    )
    return Notice(Severity.CALM, title, left)


def _claims_unsure(status: Status) -> Notice:
    return Notice(
        Severity.CAUTION,
        f"{waits(status.backlog)} until the task API says which are still ours",
        sentences(
            "The service has just started, or could not renew its claims for a whole lease. Another"
            " replica may have the tasks by now, so none is begun.",
            cause(trouble_of(status, API, REPORTS), status),
            next_try(status.wait_seconds),
        ),
    )


def _no_workers(status: Status) -> Notice:
    awaited = cause(trouble_of(status, WORKERS), status)
    how = f"The last one {status.deaths[0].how}." if status.deaths else ""
    again = "Starts are tried again, at most 10 s apart."
    return Notice(Severity.ALARM, "No worker is up", sentences(awaited or how, again))


def _journal_unwritable(status: Status) -> Notice:
    return Notice(
        Severity.ALARM,
        "Disk: the journal cannot be written",
        sentences(
            cause(trouble_of(status, JOURNAL), status),
            "No new work starts, and results are kept in memory. Free some space on STATE_DIR or make it"
            " writable again; all is written down as soon as that works.",
        ),
    )


def _outbox_full(status: Status) -> Notice:
    if status.rejected > status.outbox:
        return Notice(
            Severity.ALARM,
            f"Waiting: {count(status.rejected, 'result')} that the task API rejected must be seen to first",
            sentences(
                "`run.py journal list` says why. Mend the cause, then `run.py journal retry` or `drop` them.",
                "They are safe in the journal.",
            ),
        )
    return Notice(
        Severity.ALARM,
        f"Waiting: {count(status.outbox, 'result')} must be reported before new work starts",
        sentences(
            "The task API takes results more slowly than they come, or not at all.",
            cause(trouble_of(status, API, REPORTS), status),
            "They are safe in the journal.",
        ),
    )


def _api_circuit_open(status: Status) -> Notice:
    troubles = [row for row in status.troubles if row.service == API]
    trouble = max(troubles, key=lambda row: row.times, default=None)
    return Notice(
        Severity.ALARM,
        _API_TITLES.get(trouble.reason, _NO_ANSWER) if trouble else _NO_ANSWER,
        sentences(
            cause(trouble, status) or "Its circuit breaker is open.",
            next_try(status.breakers[0].probe_in_seconds),
            f"{waits(status.outbox, 'result')} safe in the journal." if status.outbox else "",
        ),
    )


def _provider_hold(status: Status, provider: ProviderStatus) -> Notice:
    of_all = (hold for hold in status.holds if hold.provider == provider.name and not hold.model)
    hold = next(of_all, status.holds[0])
    if hold.model and (models := held_models(status)):
        return models
    trouble = trouble_of(status, hold.provider)
    when = (where_and_when(trouble, status), *advice(trouble)) if trouble else ()
    return Notice(
        Severity.ALARM,
        f"Provider {hold.provider} on hold: {_HOLD_REASONS.get(hold.reason, hold.reason)}",
        sentences(
            f"It says “{hold.message}”",
            *when,
            "No task is failed for this; they wait.",
            next_try(provider.opens_in_seconds),
        ),
    )


def _provider_circuit_open(status: Status, provider: ProviderStatus) -> Notice:
    name = provider.name
    trouble = trouble_of(status, name)
    fault = _PROVIDER_FAULTS.get(trouble.reason if trouble else "", "does not answer as it should")
    return Notice(
        Severity.ALARM,
        f"Provider {name} {fault}",
        sentences(
            cause(trouble, status),
            "Its circuit breaker is open; tasks wait.",
            next_try(provider.opens_in_seconds),
        ),
    )


def _rate_limited(status: Status, provider: ProviderStatus) -> Notice:
    is_cause = status.idle is Idle.RATE_LIMITED and provider == status.provider
    wait = status.wait_seconds if is_cause else provider.opens_in_seconds
    until = f" for {duration(wait)}" if wait else ""
    trouble = trouble_of(status, provider.name)
    refused = trouble if trouble and trouble.reason == RetryReason.RATE_LIMIT else None
    return Notice(
        Severity.CAUTION,
        f"Provider {provider.name}: rate-limited{until}"
        if len(status.providers) > 1
        else f"Rate-limited{until}",
        sentences(
            cause(refused, status),
            f"{waits(provider.waiting)} until the limits of {provider.name} allow more.",
            "No attempt counts.",
        ),
    )


def _retry_wait(status: Status) -> Notice:
    wait = status.wait_seconds
    return Notice(
        Severity.CAUTION,
        f"Waiting to try {count(status.backlog, 'task')} again after errors",
        sentences(
            _last_failure(status),
            f"The first is due in {duration(wait)}." if wait else "The first is due now.",
        ),
    )


def _last_failure(status: Status) -> str:
    trouble = trouble_of(status, status.provider.name)
    if trouble is not None:
        return cause(trouble, status)
    if status.retry is None:
        return ""
    failed_at = moment(status.retry.failed_at_seconds, status.at_seconds)
    return f"{as_sentence(status.retry.detail)} Last at {failed_at}; other calls were served since."


def _at(status: Status, provider: str) -> str:
    """The provider, by its name where there are several."""
    return provider if len(status.providers) > 1 else "the provider"


def of_provider(reason: Idle, status: Status, provider: ProviderStatus) -> Notice:
    """Why nothing goes to one provider."""
    return _OF_PROVIDER[reason](status, provider)


def _of_shown_provider(reason: Idle) -> Callable[[Status], Notice]:
    return lambda status: of_provider(reason, status, status.provider)


_OF_PROVIDER: Mapping[Idle, Callable[[Status, ProviderStatus], Notice]] = {
    Idle.PROVIDER_HOLD: _provider_hold,
    Idle.PROVIDER_CIRCUIT_OPEN: _provider_circuit_open,
    Idle.RATE_LIMITED: _rate_limited,
}
NOTICES: Mapping[Idle, Callable[[Status], Notice]] = {
    Idle.NO_WORK: _no_work,
    Idle.POLLS_FAILING: _polls_failing,
    Idle.STARTING: _starting,
    Idle.PAUSED: _paused,
    Idle.DRAINING: _draining,
    Idle.NO_WORKERS: _no_workers,
    Idle.JOURNAL_UNWRITABLE: _journal_unwritable,
    Idle.OUTBOX_FULL: _outbox_full,
    Idle.CLAIMS_UNSURE: _claims_unsure,
    Idle.API_CIRCUIT_OPEN: _api_circuit_open,
    **{reason: _of_shown_provider(reason) for reason in _OF_PROVIDER},
    Idle.RETRY_WAIT: _retry_wait,
}
