"""May the task API be called now? A breaker and pauses for polls, and the same for reports."""

from collections.abc import Callable

from supervisor.runtime.circuit_breaker import BreakerState, CircuitBreaker
from supervisor.runtime.trouble import Cause, TroubleRecord
from supervisor.task_api.responses import Health

FIRST_REFUSED_PAUSE_SECONDS = 1.0
MAX_REFUSED_PAUSE_SECONDS = 60.0
_SEVERITY = (BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN)


class CallGate:
    """One kind of call: its breaker, what has failed since the last success, and its pauses.

    The API asks for some pauses. Others follow refusals that any call would have met, as of a wrong token:
    they double from one second until a call succeeds. `clock` is monotonic.
    """

    def __init__(self, breaker: CircuitBreaker, trouble: TroubleRecord, clock: Callable[[], float]) -> None:
        self.breaker = breaker
        self.trouble = trouble
        self._clock = clock
        self._paused_until = 0.0
        self._refused_until = 0.0
        self._refused_pause_seconds = FIRST_REFUSED_PAUSE_SECONDS
        self._succeeded_at = 0.0

    @property
    def probing(self) -> bool:
        """The next call is a probe: make one only."""
        return self.breaker.state is not BreakerState.CLOSED

    @property
    def waits_to_probe(self) -> bool:
        """The breaker is open, and it alone says when to call next."""
        return self.breaker.state is BreakerState.OPEN

    @property
    def refused(self) -> bool:
        """Calls were refused since the last success: send one at a time."""
        return self._refused_until > 0

    def allows(self) -> bool:
        return self._clock() >= max(self._paused_until, self._refused_until) and self.breaker.allows()

    def opens_at(self) -> float | None:
        """When `allows` may turn true by itself; None if an answer must come first."""
        moments = (self._paused_until, self._refused_until, self.breaker.reopens_at or 0.0)
        return min((moment for moment in moments if moment > self._clock()), default=None)

    def begin(self) -> None:
        """A call is being made."""
        self.breaker.begin()

    def on_response(
        self,
        health: Health,
        began_at: float,
        retry_after_seconds: float | None,
        cause: Cause | None = None,
        *,
        refused: bool = False,
    ) -> None:
        """A call that began at `began_at` ended. It failed if there is a `cause`.

        `refused`: any other call would have been refused too.
        """
        # The trouble first: the log line of a breaker's change names it.
        if cause is not None:
            self.trouble.failed(cause)
        elif health is Health.HEALTHY:
            self.trouble.succeeded()
        if health is Health.HEALTHY:
            self.breaker.succeeded()
            self._succeeded_at = self._clock()
            self._refused_until = 0.0
            self._refused_pause_seconds = FIRST_REFUSED_PAUSE_SECONDS
        elif health is Health.UNHEALTHY:
            self.breaker.failed(began_at)
        else:
            self.breaker.undecided()
        if health is not Health.HEALTHY and retry_after_seconds is not None:
            self._paused_until = max(self._paused_until, self._clock() + retry_after_seconds)
        if refused:
            self._pause_after_refusal(began_at)

    def _pause_after_refusal(self, began_at: float) -> None:
        if began_at < max(self._refused_until, self._succeeded_at):
            return  # it began before the pause or before a success
        self._refused_until = self._clock() + self._refused_pause_seconds
        self._refused_pause_seconds = min(2 * self._refused_pause_seconds, MAX_REFUSED_PAUSE_SECONDS)


class APIGate:
    """Polls and reports have a gate each, as a gateway may send them to different servers.

    Claims count as reports. Tasks are polled for only while reports are accepted: a result that cannot be
    delivered is not paid for. Owned by the loop.
    """

    def __init__(self, polls: CallGate, reports: CallGate) -> None:
        self.polls = polls
        self.reports = reports
        self._reports_were_accepted = True

    @property
    def breaker(self) -> CircuitBreaker:
        """The worse of the two breakers."""
        breakers = (self.reports.breaker, self.polls.breaker)
        return max(breakers, key=lambda breaker: _SEVERITY.index(breaker.state))

    @property
    def probing(self) -> bool:
        """At least one of the two breakers is not closed."""
        return self.polls.probing or self.reports.probing

    def allows_new_tasks(self, owed: int) -> bool:
        """May tasks be polled for, while so many reports and claims wait to be sent?

        With none to send, only new tasks can bring the report that closes the breaker.
        """
        return self.polls.allows() and not (self.reports.probing and owed)

    def reports_recovered(self) -> bool:
        """Has the breaker of reports closed since the last call of this?"""
        accepted = not self.reports.probing
        recovered = accepted and not self._reports_were_accepted
        self._reports_were_accepted = accepted
        return recovered
