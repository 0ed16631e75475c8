"""What failed last and what waits for it, as the status shows it."""

from supervisor.providers.gate import Hold, ProviderGate
from supervisor.runtime.trouble import Trouble, TroubleRecord
from supervisor.status.status import ModelHoldStatus, RetryStatus
from supervisor.task_api.gate import APIGate
from supervisor.tasks.backlog import Backlog


def current_troubles(
    journal: TroubleRecord, api: APIGate, provider: ProviderGate, *, owes_reports: bool
) -> tuple[Trouble, ...]:
    """What has failed since the last success, for each kind of call."""
    # A report that ended because its task is gone was no success. It is no trouble either.
    reports = api.reports.trouble if owes_reports or api.reports.probing else None
    records = (journal, api.polls.trouble, reports, provider.trouble)
    troubles = (record.current for record in records if record is not None)
    return tuple(trouble for trouble in troubles if trouble is not None)


def held_models(gate: ProviderGate, now: float) -> tuple[ModelHoldStatus, ...]:
    """The models that the provider seems not to have. `now` is monotonic."""
    return tuple(_held_model(gate, hold, now) for hold in gate.model_holds)


def waiting_retries(gate: ProviderGate, backlog: Backlog) -> RetryStatus | None:
    """The tasks that wait for their retry; None if none does."""
    last = gate.trouble.last
    tasks = backlog.delayed - backlog.set_aside
    if not tasks or last is None:
        return None
    return RetryStatus(tasks, last.reason, last.detail, last.last_seconds)


def _held_model(gate: ProviderGate, hold: Hold, now: float) -> ModelHoldStatus:
    model = hold.key.model
    record, retry_at = gate.model_trouble(model), gate.model_retry_at(model)
    trouble = record.current if record else None
    return ModelHoldStatus(
        model=model,
        reason=hold.reason,
        message=hold.message,
        since_seconds=trouble.since_seconds if trouble else 0.0,
        times=trouble.times if trouble else 0,
        retry_in_seconds=None if retry_at is None else max(0.0, retry_at - now),
    )
