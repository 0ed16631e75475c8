"""May the task API be called now? Its breaker, and the pause that it asked for."""

from collections.abc import Callable

from supervisor.providers.circuit_breaker import BreakerState, CircuitBreaker
from supervisor.task_api.answers import Health


class APIGate:
    """One gate for polls and reports, as both knock at the same door. Owned by the loop; monotonic clock."""

    def __init__(self, breaker: CircuitBreaker, clock: Callable[[], float]) -> None:
        self._breaker = breaker
        self._clock = clock
        self._paused_until = 0.0

    @property
    def breaker(self) -> CircuitBreaker:
        return self._breaker

    @property
    def probing(self) -> bool:
        """The next call is a probe: make one only."""
        return self._breaker.state is not BreakerState.CLOSED

    def allows(self) -> bool:
        return self._clock() >= self._paused_until and self._breaker.allows()

    def opens_at(self) -> float | None:
        """The next moment at which `allows` may turn true by itself; None if it waits for an answer."""
        moments = (self._paused_until, self._breaker.reopens_at or 0.0)
        return min((moment for moment in moments if moment > self._clock()), default=None)

    def begin(self) -> None:
        """A call is being made."""
        self._breaker.begin()

    def heard(self, health: Health, retry_after_seconds: float | None) -> None:
        """A call came back."""
        if health is Health.HEALTHY:
            self._breaker.succeeded()
        elif health is Health.UNHEALTHY:
            self._breaker.failed(self._clock())
        else:
            self._breaker.undecided()
        if health is not Health.HEALTHY and retry_after_seconds is not None:
            self._paused_until = max(self._paused_until, self._clock() + retry_after_seconds)
