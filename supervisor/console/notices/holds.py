"""Models on hold, in words."""

from supervisor.console.notices.notice import Notice, Severity
from supervisor.console.notices.trouble import how_often, next_try, sentences
from supervisor.status.status import Idle, Status


def model_hold(status: Status) -> Notice:
    """What to know of the models that the provider seems not to have. There must be one."""
    held = [hold for hold in status.holds if hold.model]
    first = held[0]
    models = f"Model {first.model}" if len(held) == 1 else f"{len(held)} models"
    return Notice(
        Severity.ALARM if status.idle is Idle.PROVIDER_HOLD else Severity.CAUTION,
        f"{models} on hold: the provider has nothing there",
        sentences(
            f"Of {first.model} it says “{first.message}”",
            f"Refused {how_often(first.times, first.since_seconds, status.at_seconds)}.",
            "Check OPENAI_BASE_URL, and the model that the tasks ask for.",
            "Its tasks wait; those of other models go on.",
            next_try(first.next_try_in_seconds),
        ),
    )


def model_hold_notice(status: Status) -> Notice | None:
    return model_hold(status) if any(hold.model for hold in status.holds) else None
