"""What failed last and what waits for it, as the status shows it."""

from supervisor.providers.gate import Hold, ProviderGate
from supervisor.runtime.trouble import Trouble, TroubleRecord
from supervisor.status.status import HoldStatus, RetryStatus
from supervisor.task_api.gate import APIGate
from supervisor.tasks.backlog import Backlog

MAX_MODELS_SHOWN = 50


def current_troubles(
    journal: TroubleRecord, api: APIGate, provider: ProviderGate, *, owes_reports: bool
) -> tuple[Trouble, ...]:
    """What has failed since the last success, for each kind of call."""
    # A report that ended because its task is gone was no success. It is no trouble either.
    reports = api.reports.trouble if owes_reports or api.reports.probing else None
    records = (journal, api.polls.trouble, reports, provider.trouble)
    troubles = (record.current for record in records if record is not None)
    return tuple(trouble for trouble in troubles if trouble is not None)


def current_holds(provider: str, gate: ProviderGate, now: float) -> tuple[HoldStatus, ...]:
    """The hold of the whole provider first, then those of single models. `now` is monotonic."""
    held = [] if gate.hold is None else [_hold(provider, "", gate.hold, gate.trouble, gate.opens_at(), now)]
    for hold in gate.model_holds[:MAX_MODELS_SHOWN]:
        model = hold.key.model
        held.append(_hold(provider, model, hold, gate.model_trouble(model), gate.model_retry_at(model), now))
    return tuple(held)


def waiting_retries(gate: ProviderGate, backlog: Backlog) -> RetryStatus | None:
    """The tasks that wait for their retry; None if none does."""
    last = gate.trouble.last
    tasks = backlog.delayed - backlog.set_aside
    if not tasks or last is None:
        return None
    return RetryStatus(tasks, last.reason, last.detail, last.last_seconds)


def _hold(
    provider: str, model: str, hold: Hold, record: TroubleRecord | None, next_try_at: float | None, now: float
) -> HoldStatus:
    trouble = record.current if record else None
    return HoldStatus(
        provider=provider,
        reason=hold.reason,
        message=hold.message,
        model=model,
        times=trouble.times if trouble else 0,
        since_seconds=trouble.since_seconds if trouble else 0.0,
        next_try_in_seconds=None if next_try_at is None else max(0.0, next_try_at - now),
    )
