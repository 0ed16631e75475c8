"""What the service is doing, in words: one headline, and whatever else a person should know now."""

from dataclasses import replace

from shared.plain_text import count
from supervisor.console.formatting import ago, duration, rate, waits
from supervisor.console.notices.idle import NOTICES, failing_polls, held_models, of_provider
from supervisor.console.notices.notice import API, REPORTS, Notice, Severity, cause, trouble_of
from supervisor.runtime.circuit_breaker import BreakerState
from supervisor.status.status import Idle, NotReady, Phase, ProviderStatus, Status

LOOP_SILENT_SECONDS = 5.0
OUTBOX_OLD_SECONDS = 60.0
DEATH_RECENT_SECONDS = 300.0
FAILED_SHARE = 0.1
FEW_FAILED = 5

_GRAVEST_FIRST = (Idle.PROVIDER_HOLD, Idle.PROVIDER_CIRCUIT_OPEN, Idle.RATE_LIMITED)
_STOPPING = frozenset(_GRAVEST_FIRST[:2])


def all_notices(status: Status) -> tuple[Notice, ...]:
    """The headline first, then every other trouble there is, the gravest first.

    The headline is an alarm if anything is.
    """
    reason = _headline_reason(status)
    closed = [(why, provider) for provider in status.providers if (why := _closed(status, provider))]
    if reason is None and status.idle is None and _nothing_goes_on(status):
        why, provider = min(closed, key=lambda each: _GRAVEST_FIRST.index(each[0]))
        headline = of_provider(why, status, provider)
    else:
        headline = _working(status) if reason is None else NOTICES[reason](status)
    found = [NOTICES[trouble](status) for trouble in _active(status) if trouble is not reason]
    found.extend(of_provider(why, status, provider) for why, provider in closed)
    found = [notice for notice in found if notice != headline]
    if status.loop_silent_seconds > LOOP_SILENT_SECONDS:
        headline = _stuck(status)
    notices = (
        failing_polls(status),
        held_models(status),
        _slowed_reports(status),
        _old_outbox(status),
        _rejected(status),
        _failed(status),
        _death(status),
    )
    found.extend(notice for notice in notices if notice is not None and notice != headline)
    if any(notice.severity is Severity.ALARM for notice in found):
        headline = replace(headline, severity=Severity.ALARM)
    return (headline, *sorted(found, key=lambda notice: notice.severity is not Severity.ALARM))


def _headline_reason(status: Status) -> Idle | None:
    if status.phase is Phase.DRAINING:
        return Idle.DRAINING
    if status.phase is Phase.PAUSED:
        return Idle.PAUSED
    if status.idle is None:
        # Tasks that still run then wait for the disk, or were sent before.
        unwritable = NotReady.JOURNAL_UNWRITABLE in status.not_ready
        return Idle.JOURNAL_UNWRITABLE if unwritable else None
    return status.idle


def _closed(status: Status, provider: ProviderStatus) -> Idle | None:
    """Why nothing, or nothing but a probe, goes to the provider."""
    if any(hold.provider == provider.name and not hold.model for hold in status.holds):
        return Idle.PROVIDER_HOLD
    breakers = (row for row in status.breakers[1:] if row.service == provider.name)
    if any(row.state is not BreakerState.CLOSED for row in breakers):
        return Idle.PROVIDER_CIRCUIT_OPEN
    return Idle.RATE_LIMITED if provider.blocked is Idle.RATE_LIMITED else None


def _nothing_goes_on(status: Status) -> bool:
    """What runs are probes, or was sent before: every provider with tasks is on hold, or its breaker open."""
    busy = [provider for provider in status.providers if provider.waiting or provider.in_flight]
    return bool(busy) and all(_closed(status, provider) in _STOPPING for provider in busy)


def _active(status: Status) -> list[Idle]:
    """What is wrong now beside the providers, the gravest first, whether work goes on or not."""
    wrong = {
        Idle.JOURNAL_UNWRITABLE: NotReady.JOURNAL_UNWRITABLE in status.not_ready,
        Idle.NO_WORKERS: NotReady.NO_WORKERS in status.not_ready,
        Idle.API_CIRCUIT_OPEN: status.breakers[0].state is not BreakerState.CLOSED,
    }
    return [reason for reason, is_so in wrong.items() if is_so]


def _working(status: Status) -> Notice:
    busy = sum(worker.tasks_held > 0 for worker in status.workers)
    title = f"Working on {count(status.in_flight, 'task')} in {count(busy, 'worker')}"
    speed = status.activity.finished_per_second
    waiting = waits(status.backlog) if status.backlog else "Nothing else waits"
    pace = f"; {rate(speed)} finished over the last minute" if speed else ""
    return Notice(Severity.GOOD, title, f"{waiting}{pace}.")


def _stuck(status: Status) -> Notice:
    silent = duration(status.loop_silent_seconds)
    return Notice(
        Severity.ALARM,
        f"Stuck: the service has not moved for {silent}",
        "What stands below is from then. kill -QUIT prints every thread's stack; a restart loses nothing.",
    )


def _old_outbox(status: Status) -> Notice | None:
    age = status.outbox_oldest_age_seconds
    if age < OUTBOX_OLD_SECONDS or status.breakers[0].state is not BreakerState.CLOSED:
        return None
    why = cause(trouble_of(status, API, REPORTS), status)
    return Notice(
        Severity.CAUTION,
        f"A result has waited {duration(age)} to be reported",
        f"{count(status.outbox, 'result')} in the outbox. {why or 'The log says more: report_failed.'}",
    )


def _slowed_reports(status: Status) -> Notice | None:
    pace = status.learned.reports_per_second
    if pace is None or not status.outbox:
        return None
    return Notice(
        Severity.CAUTION,
        f"Reports are slowed to {rate(pace)}",
        "The task API, or what is in front of it, has refused some because there were too many."
        f" {count(status.outbox, 'result')} in the outbox.",
    )


def _rejected(status: Status) -> Notice | None:
    if not status.rejected:
        return None
    return Notice(
        Severity.CAUTION,
        f"The task API has rejected {count(status.rejected, 'report')}",
        "They are kept. `python run.py journal list --state rejected` shows them, to be retried or dropped.",
    )


def _failed(status: Status) -> Notice | None:
    total = status.activity.total
    finished = total.succeeded + total.failed
    if total.failed < FEW_FAILED or total.failed < FAILED_SHARE * finished:
        return None
    last = f"The last: {status.failures[0].message}" if status.failures else ""
    return Notice(
        Severity.CAUTION, f"{total.failed:,} of {count(finished, 'task')} failed in the last 15 minutes", last
    )


def _death(status: Status) -> Notice | None:
    if not status.deaths:
        return None
    death = status.deaths[0]
    seconds = status.at_seconds - death.at_seconds
    if seconds > DEATH_RECENT_SECONDS:
        return None
    lost = f"It held {count(death.tasks_held, 'task')}, which run again." if death.tasks_held else ""
    return Notice(Severity.CAUTION, f"A worker died {ago(seconds)}: it {death.how}", lost)
