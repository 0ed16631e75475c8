"""May work go to the provider now? One object knows every reason why not."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.errors import HOLD_REASONS, RetryReason
from shared.logs import LogEvent, get_logger
from shared.messages import Failure
from shared.models import BatchKey
from supervisor.runtime.circuit_breaker import BreakerState, CircuitBreaker
from supervisor.runtime.trouble import Cause, TroubleRecord
from supervisor.status.status import Blocked, Idle

MIN_PAUSE_SECONDS = 0.1
FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 60.0
PROBE_INTERVAL_SECONDS = 60.0
MAX_MODEL_TROUBLES = 200
_NO_SETTINGS: Mapping[RetryReason, str] = {}

log = get_logger("provider_gate")


@dataclass(frozen=True, slots=True)
class Hold:
    """The provider refuses us as a whole, or one model; a person must act."""

    reason: RetryReason
    message: str
    key: BatchKey
    """What was asked for when it refused."""


class ProviderGate:
    """Breaker, trouble, rate-limit pause and holds of one provider. Others read its attributes only.

    Owned by the loop; `clock` is monotonic. The words of failures are shown and logged, so they must not
    have a task's text in them. `trouble` is what has failed since a unit was last served. `settings` names
    the setting to look at, by what failed.
    """

    def __init__(
        self,
        breaker: CircuitBreaker,
        trouble: TroubleRecord,
        clock: Callable[[], float],
        settings: Mapping[RetryReason, str] = _NO_SETTINGS,
    ) -> None:
        self.breaker = breaker
        self.trouble = trouble
        self._clock = clock
        self._settings = settings
        self._paused_until = 0.0
        self._next_pause_seconds = FIRST_PAUSE_SECONDS
        self.hold: Hold | None = None
        self._next_probe_at = 0.0
        self._throttled = False
        self._throttled_call_out = False
        self._model_holds: dict[str, tuple[Hold, float]] = {}
        self._model_troubles: OrderedDict[str, TroubleRecord] = OrderedDict()

    @property
    def model_holds(self) -> tuple[Hold, ...]:
        """The models that the provider seems not to have."""
        return tuple(hold for hold, _ in self._model_holds.values())

    def model_trouble(self, model: str) -> TroubleRecord | None:
        """What a held model failed of; None if it is not known."""
        return self._model_troubles.get(model)

    def model_retry_at(self, model: str) -> float | None:
        """When (monotonic) a held model is due to be tried again; None if it is not held."""
        held = self._model_holds.get(model)
        return None if held is None else held[1]

    @property
    def is_up(self) -> bool:
        """False while the provider as a whole is in trouble: then a failure is not the task's."""
        return self.breaker.state is BreakerState.CLOSED and self.hold is None

    @property
    def probing(self) -> bool:
        """Work let through now is a probe: one unit, as small as can be."""
        return not self.is_up

    def blocked(self) -> Blocked | None:
        """Why no unit may go out now; None if one may."""
        now = self._clock()
        if self.hold is not None and now < self._next_probe_at:
            return Idle.PROVIDER_HOLD
        # After a pause one call goes first: all workers at once would meet the limit again.
        if now < self._paused_until or self._throttled_call_out:
            return Idle.RATE_LIMITED
        if not self.breaker.allows():
            return Idle.PROVIDER_CIRCUIT_OPEN
        return None

    def opens_at(self) -> float | None:
        """The next moment (monotonic) at which `blocked` may change by itself; None if it never will."""
        moments = [self._paused_until, self.breaker.reopens_at or 0.0]
        moments += [until for _, until in self._model_holds.values()]
        if self.hold is not None:
            moments.append(self._next_probe_at)
        later = [moment for moment in moments if moment > self._clock()]
        return min(later, default=None)

    def begin(self) -> None:
        """A unit goes out."""
        self.breaker.begin()
        self._throttled_call_out = self._throttled
        if self.hold is not None:
            self._next_probe_at = self._clock() + PROBE_INTERVAL_SECONDS

    def succeeded(self, model: str = "") -> None:
        """The provider served a unit, or a canary, of the model."""
        self.trouble.succeeded()
        self._model_troubles.pop(model, None)
        self.answered()
        self._next_pause_seconds = FIRST_PAUSE_SECONDS
        self._throttled = False
        if self.hold is not None:
            log.info(LogEvent.PROVIDER_RELEASED, reason=self.hold.reason)
            self.hold = None

    def answered(self) -> None:
        """The provider answered a unit, if only to refuse what was in it."""
        self._throttled_call_out = False
        self.breaker.succeeded()

    def failed(self, failure: Failure, key: BatchKey, began_at: float) -> None:
        """The provider could not or would not answer a unit of `key` that went out at `began_at`."""
        self._throttled_call_out = False
        if failure.retry in HOLD_REASONS:
            self.breaker.succeeded()
            self.hold_on(Hold(failure.retry, failure.shown, key))
            return
        # First, because what follows is logged with it.
        self.trouble.failed(self._cause(failure.retry, failure.shown))
        if failure.retry is RetryReason.RATE_LIMIT:
            self.breaker.succeeded()
            self._pause(failure.retry_after_seconds)
        else:
            self.breaker.failed(began_at)

    def hold_on(self, hold: Hold) -> None:
        """Nothing but a probe goes to the provider until it has served one."""
        self.trouble.failed(self._cause(hold.reason, hold.message))
        if self.hold is None:
            self._next_probe_at = self._clock() + PROBE_INTERVAL_SECONDS
            log.error(LogEvent.PROVIDER_HELD, **_about(hold, self.trouble))
        self.hold = hold

    def hold_model(self, hold: Hold) -> None:
        """No task of the model goes to the provider until it is due to be tried again."""
        model = hold.key.model
        trouble = self._model_troubles.setdefault(model, self.trouble.anew())
        trouble.failed(self._cause(hold.reason, hold.message))
        if len(self._model_troubles) > MAX_MODEL_TROUBLES:
            self._model_troubles.popitem(last=False)
        if model not in self._model_holds:
            log.error(LogEvent.PROVIDER_HELD, **_about(hold, trouble), model=model)
        _, until = self._model_holds.get(model, (hold, self._clock() + PROBE_INTERVAL_SECONDS))
        self._model_holds[model] = (hold, until)

    def take_due_models(self) -> list[str]:
        """Release the models that are due to be tried again, and return them."""
        now = self._clock()
        due = [model for model, (_, until) in self._model_holds.items() if now >= until]
        for model in due:
            del self._model_holds[model]
        return due

    def release_model(self, model: str) -> None:
        self._model_holds.pop(model, None)
        self._model_troubles.pop(model, None)

    def undecided(self) -> None:
        """A unit ended without an answer from the provider: its worker died, or its processor failed."""
        self._throttled_call_out = False
        self.breaker.undecided()

    def _cause(self, reason: RetryReason | None, message: str) -> Cause:
        return Cause(reason or "", message, self._settings.get(reason, "") if reason else "")

    def _pause(self, asked_seconds: float | None) -> None:
        now = self._clock()
        self._throttled = True
        already = now < self._paused_until
        if asked_seconds is not None:
            seconds = max(asked_seconds, MIN_PAUSE_SECONDS)
        elif already:
            return  # units that were out together meet one limit together: that counts once
        else:
            seconds = self._next_pause_seconds
            self._next_pause_seconds = min(seconds * 2, MAX_PAUSE_SECONDS)
        self._paused_until = max(self._paused_until, now + seconds)
        if not already:
            log.warning(LogEvent.PROVIDER_THROTTLED, seconds=round(seconds, 3), **self.trouble.facts())


def _about(hold: Hold, trouble: TroubleRecord) -> dict[str, object]:
    facts = trouble.facts()
    return {"reason": hold.reason, "message": facts.pop("detail", ""), **facts}
