"""Why the service does what it does, in words: a sentence for each reason to be idle."""

from collections.abc import Callable, Mapping

from supervisor.console.formatting import count, duration, waits
from supervisor.console.notices.bulletin import Bulletin, Tone
from supervisor.console.notices.poll import next_poll, poll_trouble
from supervisor.status.status import Idle, Status
from supervisor.task_api.answers import PollResult


def _polls_failing(status: Status) -> Bulletin:
    return poll_trouble(status) or Bulletin(
        Tone.CAUTION, "The task API lists no tasks: polls fail", next_poll(status)
    )


def _no_work(status: Status) -> Bulletin:
    if status.poll.last_result == "none":
        return Bulletin(Tone.CALM, "Idle: the first poll is on its way", "")
    done = status.poll.last_result == PollResult.TASKS
    listed = "All that the task API listed is done." if done else "The task API lists no pending task."
    return Bulletin(Tone.CALM, "Idle: there is no work", f"{listed} {next_poll(status)}")


def _starting(_: Status) -> Bulletin:
    return Bulletin(Tone.CALM, "Starting", "The first workers are loading what they need.")


def _paused(status: Status) -> Bulletin:
    running = f" {count(status.in_flight, 'task')} still under way." if status.in_flight else ""
    text = f"Nothing new starts until SIGUSR2.{running} Results are still reported."
    return Bulletin(Tone.CAUTION, "Paused by SIGUSR1", text)


def _draining(status: Status) -> Bulletin:
    title = "Stopping" if status.in_flight or status.outbox else "Stopping: all is done"
    limit = status.drain_seconds_left
    left = f"{count(status.in_flight, 'task')} running, {count(status.outbox, 'result')} to report" + (
        f"; it gives up in {duration(limit)}. What is left then is safe in the journal." if limit else "."
    )
    return Bulletin(Tone.CALM, title, left)


def _no_workers(status: Status) -> Bulletin:
    how = f"The last one {status.deaths[0].how}. " if status.deaths else ""
    return Bulletin(Tone.ALARM, "No worker is up", f"{how}Starts are tried again, at most 10 s apart.")


def _journal_unwritable(_: Status) -> Bulletin:
    return Bulletin(
        Tone.ALARM,
        "Disk: the journal cannot be written",
        "No new work starts and results are held in memory. Free some space on STATE_DIR or make it"
        " writable again; all is written down as soon as that works.",
    )


def _outbox_full(status: Status) -> Bulletin:
    return Bulletin(
        Tone.ALARM,
        f"Waiting: {count(status.outbox, 'result')} must be reported before new work starts",
        "The task API takes results more slowly than they come, or not at all. They are safe in the journal.",
    )


def _api_circuit_open(status: Status) -> Bulletin:
    safe = f" {count(status.outbox, 'result')} wait safe in the journal." if status.outbox else ""
    return Bulletin(
        Tone.ALARM,
        "The task API does not answer",
        f"Its circuit breaker is open. {_next_try(status.breakers[0].probe_in_seconds)}{safe}",
    )


def _provider_hold(status: Status) -> Bulletin:
    reasons = {
        "quota": "the quota is used up",
        "unauthorized": "the key is not accepted",
        "wrong_url": "there is no such API at OPENAI_BASE_URL",
    }
    hold = status.holds[0]
    wait = status.provider.opens_in_seconds
    return Bulletin(
        Tone.ALARM,
        f"Provider {hold.provider} on hold: {reasons.get(hold.reason, hold.reason)}",
        f"It says “{hold.message}” No task is failed for this; they wait. {_next_try(wait)}",
    )


def _provider_circuit_open(status: Status) -> Bulletin:
    return Bulletin(
        Tone.ALARM,
        f"Provider {status.provider.name} does not answer as it should",
        f"Its circuit breaker is open; tasks wait. {_next_try(status.provider.opens_in_seconds)}",
    )


def _rate_limited(status: Status) -> Bulletin:
    wait = status.wait_seconds if status.idle is Idle.RATE_LIMITED else status.provider.opens_in_seconds
    until = f" for {duration(wait)}" if wait else ""
    return Bulletin(
        Tone.CAUTION,
        f"Rate-limited{until}",
        f"{waits(status.backlog)} until the limits of {status.provider.name} allow more. No attempt counts.",
    )


def _retry_wait(status: Status) -> Bulletin:
    wait = status.wait_seconds
    when = f"The first is due in {duration(wait)}." if wait else "The first is due now."
    return Bulletin(Tone.CAUTION, f"Waiting to try {count(status.backlog, 'task')} again after errors", when)


def _next_try(seconds: float | None) -> str:
    return "A try is under way." if not seconds else f"The next try is in {duration(seconds)}."


SENTENCES: Mapping[Idle, Callable[[Status], Bulletin]] = {
    Idle.NO_WORK: _no_work,
    Idle.POLLS_FAILING: _polls_failing,
    Idle.STARTING: _starting,
    Idle.PAUSED: _paused,
    Idle.DRAINING: _draining,
    Idle.NO_WORKERS: _no_workers,
    Idle.JOURNAL_UNWRITABLE: _journal_unwritable,
    Idle.OUTBOX_FULL: _outbox_full,
    Idle.API_CIRCUIT_OPEN: _api_circuit_open,
    Idle.PROVIDER_HOLD: _provider_hold,
    Idle.PROVIDER_CIRCUIT_OPEN: _provider_circuit_open,
    Idle.RATE_LIMITED: _rate_limited,
    Idle.RETRY_WAIT: _retry_wait,
}
