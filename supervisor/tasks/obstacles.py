"""What is to be said of the providers: what stands in the way of work, their holds and their troubles."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from shared.models import BatchKey
from supervisor.providers.gate import Hold
from supervisor.providers.registry import Providers, ProviderState
from supervisor.runtime.trouble import Trouble, TroubleRecord
from supervisor.status.status import (
    BreakerStatus,
    HoldStatus,
    Idle,
    LearnedAboutModel,
    ProviderStatus,
    RateLimitStatus,
    RetryStatus,
)
from supervisor.tasks.backlog import Backlog

MAX_MODELS_SHOWN = 50

_GRAVEST_FIRST: Mapping[Idle, int] = {
    reason: place
    for place, reason in enumerate(
        (Idle.PROVIDER_HOLD, Idle.PROVIDER_CIRCUIT_OPEN, Idle.RATE_LIMITED, Idle.RETRY_WAIT)
    )
}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why tasks that wait do not go to their provider, and when (monotonic) that may end by itself."""

    reason: Idle
    provider: ProviderState
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class ProvidersView:
    """Reads the providers, and what waits for each. `clock` is monotonic."""

    providers: Providers
    backlog: Backlog
    clock: Callable[[], float]

    def obstacle(self) -> Obstacle | None:
        """The gravest thing that tasks wait for; None if none wait.

        A model on hold counts only where nothing else waits.
        """
        ready = {key for key in self.backlog.ready_keys() if not self._waits_for_model(key)}
        found = [self._obstacle(key, is_ready=key in ready) for key in self.backlog.waiting]
        if found and self.only_held_models_wait():
            held = next(each for each in self.providers if each.gate.model_holds)
            return Obstacle(Idle.PROVIDER_HOLD, held, held.gate.opens_at())
        return min(found, key=_gravity, default=None)

    def _obstacle(self, key: BatchKey, *, is_ready: bool) -> Obstacle:
        """Why a task of this key waits, while a worker is idle."""
        serving = self.providers.serving(key)
        blocked = [each.gate.blocked() for each in serving]
        first = serving[0]
        if blocked[0] is not None and None not in blocked:
            opens_at = [moment for each in serving if (moment := each.gate.opens_at()) is not None]
            return Obstacle(blocked[0], first, min(opens_at, default=None))
        if is_ready:
            # A gate is open, so what is ready waits for the limiter.
            provider = self.providers.open_for(key) or first
            return Obstacle(Idle.RATE_LIMITED, provider, provider.limiter.opens_at())
        return Obstacle(Idle.RETRY_WAIT, first, self.backlog.next_due_at)

    def _waits_for_model(self, key: BatchKey) -> bool:
        """Does it wait for an answer about its model, wherever that is served?"""
        return all(
            each.gate.model_retry_at(key.model) is not None
            or self.backlog.waits_for_answer(each.name, key.model)
            for each in self.providers.serving(key)
        )

    def only_held_models_wait(self) -> bool:
        """All tasks that wait are for models that their providers seem not to have."""
        if not len(self.backlog) or self.backlog.next_due_at is not None:
            return False
        held = any(each.gate.model_holds for each in self.providers)
        return held and all(self._waits_for_model(key) for key in self.backlog.ready_keys())

    def holds_up_tasks(self) -> bool:
        """Is a provider on hold that tasks wait for, or the default one?"""
        wanted = {each.name for key in self.backlog.waiting for each in self.providers.serving(key)[:1]}
        wanted.add(self.providers.default.name)
        return any(each.gate.hold is not None and each.name in wanted for each in self.providers)

    def statuses(self, in_flight: Mapping[str, int]) -> tuple[ProviderStatus, ...]:
        """Of every provider. `in_flight` counts tasks by provider."""
        now = self.clock()
        waiting: Counter[str] = Counter()
        for key, tasks in self.backlog.waiting.items():
            waiting[self.providers.serving(key)[0].name] += tasks
        return tuple(
            ProviderStatus(
                name=each.name,
                blocked=each.gate.blocked(),
                opens_in_seconds=seconds_until(each.gate.opens_at(), now),
                waiting=waiting[each.name],
                in_flight=in_flight.get(each.name, 0),
            )
            for each in self.providers
        )

    def breakers(self) -> Iterator[BreakerStatus]:
        now = self.clock()
        for each in self.providers:
            breaker = each.gate.breaker
            yield BreakerStatus(each.name, breaker.state, seconds_until(breaker.reopens_at, now))

    def holds(self) -> Iterator[HoldStatus]:
        """The holds of whole providers first, then those of single models."""
        now = self.clock()
        for each in self.providers:
            gate = each.gate
            if gate.hold is not None:
                yield _hold(each.name, gate.hold, "", gate.trouble, seconds_until(gate.opens_at(), now))
        models = ((each, hold) for each in self.providers for hold in each.gate.model_holds)
        for (each, hold), _ in zip(models, range(MAX_MODELS_SHOWN), strict=False):
            model = hold.key.model
            retry_in_seconds = seconds_until(each.gate.model_retry_at(model), now)
            yield _hold(each.name, hold, model, each.gate.model_trouble(model), retry_in_seconds)

    def troubles(self) -> Iterator[TroubleRecord]:
        return (each.gate.trouble for each in self.providers)

    def retry(self) -> RetryStatus | None:
        """The tasks that wait for their retry; None if none does."""
        tasks = self.backlog.delayed - self.backlog.set_aside
        last: list[Trouble] = [trouble for record in self.troubles() if (trouble := record.last) is not None]
        if not tasks or not last:
            return None
        latest = max(last, key=lambda trouble: trouble.last_seconds)
        return RetryStatus(tasks, latest.reason, latest.detail, latest.last_seconds)

    def rate_limits(self) -> tuple[RateLimitStatus, ...]:
        return tuple(row for each in self.providers for row in each.limiter.rates(each.name))

    def learned(self) -> tuple[LearnedAboutModel, ...]:
        return tuple(row for each in self.providers for row in each.limits.learned(each.name))


def _gravity(obstacle: Obstacle) -> tuple[int, float]:
    ends_at = float("inf") if obstacle.ends_at is None else obstacle.ends_at
    return _GRAVEST_FIRST[obstacle.reason], ends_at


def _hold(
    provider: str, hold: Hold, model: str, record: TroubleRecord | None, next_try_in_seconds: float | None
) -> HoldStatus:
    trouble = record.current if record else None
    return HoldStatus(
        provider=provider,
        reason=hold.reason,
        message=hold.message,
        model=model,
        times=trouble.times if trouble else 0,
        since_seconds=trouble.since_seconds if trouble else 0.0,
        next_try_in_seconds=next_try_in_seconds,
    )


def seconds_until(moment: float | None, now: float) -> float | None:
    return None if moment is None else max(0.0, moment - now)
