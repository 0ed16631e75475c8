"""How many reports a second the task API takes, learned from those that it refuses for load."""

import math
from collections import deque
from collections.abc import Callable

from shared.logs import LogEvent, get_logger
from supervisor.task_api.responses import ReportAnswer, ReportOutcome

UNAVAILABLE = 503
SAME_BURST_SECONDS = 2.0
MIN_PER_SECOND = 1.0
MAX_PER_SECOND = 1000.0
FULL_SPEED_AFTER_SECONDS = 60.0
MEASURED_SECONDS = 1.0
MAX_MEASURED = 1000
SAMPLE = 20
TOLERANCE = 2.5
"""The rate is cut where so many times more of the last answers are refusals than are refused anyway."""
MEMORY = 0.1
MIN_REFUSED = 3
WELL_BELOW = 0.75
BEST_RATE_HALVES_SECONDS = 10.0
CUT = 0.8
DEEPEST_CUT = 0.4
GROWTH_SHARE_PER_SECOND = 0.2
MIN_GROWTH_PER_SECOND = 0.2
DOUBLING_SECONDS = 0.5
CLEARLY_ABOVE = 1.25
TICK_SECONDS = 0.02
LATENESS = 1.5
"""How far the loop may be late without a loss of pace."""

log = get_logger("report_pace")


class ReportPace:
    """Full speed until the API sheds load, then a rate for reports and claims together.

    Refusals cut the rate, at most once a round trip. Accepted reports raise it: by a fifth of the refused
    rate a second, or twofold every half second where no refused rate is known or the rate is clearly above
    it. Refusals that come even at a rate well below what was accepted lately are not for load: as many of
    them do not cut the rate.

    Source: additive increase, multiplicative decrease with slow start, as in TCP (RFC 5681). Owned by the
    loop; `clock` is monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rate: float | None = None
        self._refused_rate: float | None = None
        self._cut_at = 0.0
        self._allowance = 0.0
        self._counted_at = 0.0
        self._accepted_at: deque[float] = deque(maxlen=MAX_MEASURED)
        self._were_refused: deque[bool] = deque(maxlen=SAMPLE)
        self._refused_anyway = 0.0
        self._slowed_at = 0.0
        self._best_rate = 0.0
        self._best_at = 0.0

    @property
    def reports_per_second(self) -> float | None:
        """The rate now; None at full speed."""
        return self._rate

    def is_refusal_for_load(self, answer: ReportAnswer) -> bool:
        """Was this report refused because there are too many?

        A 429 is such a refusal. A 503 is one where another report was accepted while this one was under way,
        or in the two seconds before; otherwise it is an outage.
        """
        if answer.asks_to_slow_down:
            return True
        last_accepted_at = self._accepted_at[-1] if self._accepted_at else float("-inf")
        return answer.status == UNAVAILABLE and answer.began_at <= last_accepted_at + SAME_BURST_SECONDS

    def allowed(self) -> float:
        """How many may be sent now; infinite at full speed."""
        if self._rate is None:
            return math.inf
        self._count(self._rate)
        return int(self._allowance + 1e-6)

    def next_at(self) -> float | None:
        """When the next may be sent; None at full speed."""
        if self._rate is None:
            return None
        missing = max(1.0, self._rate * TICK_SECONDS) - self._allowance
        return self._counted_at + max(0.0, missing) / self._rate

    def sent(self, count: int) -> None:
        """So many were handed over."""
        self._allowance -= count

    def on_response(self, answer: ReportAnswer) -> None:
        """A report was answered."""
        if answer.outcome is ReportOutcome.DONE:
            self._accepted(answer.began_at)
        elif self.is_refusal_for_load(answer):
            self._refused(answer)

    def reset(self) -> None:
        """An outage is over: forget what was measured in it."""
        if self._rate is not None:
            self._go_full_speed()

    def _accepted(self, began_at: float) -> None:
        now = self._clock()
        self._accepted_at.append(now)
        self._were_refused.append(False)
        if self._rate is None or began_at < self._cut_at:
            return
        self._note(refused=False, rate=self._rate)
        self._count(self._rate)
        if self._refused_rate is not None and self._rate < self._refused_rate * CLEARLY_ABOVE:
            growth = max(MIN_GROWTH_PER_SECOND, self._refused_rate * GROWTH_SHARE_PER_SECOND)
            self._rate += growth / self._rate
        else:
            self._rate *= 2 ** min(1.0, 1 / (self._rate * DOUBLING_SECONDS))
        if self._rate >= MAX_PER_SECOND or now - self._cut_at >= FULL_SPEED_AFTER_SECONDS:
            self._go_full_speed()

    def _refused(self, answer: ReportAnswer) -> None:
        if self._rate is not None and answer.began_at < self._cut_at:
            return  # it was sent before the last cut
        self._were_refused.append(True)
        if self._rate is not None:
            self._note(refused=True, rate=self._rate)
        if not self._are_many_refused(answer):
            return
        now = self._clock()
        lately = self._accepted_lately(now)
        if self._rate is None:
            rate = CUT * lately
            self._slowed_at = now
            log.warning(LogEvent.REPORTS_SLOWED, status_code=answer.status, reports_per_second=round(rate, 1))
        else:
            self._refused_rate = min(self._rate, lately)
            if now >= self._slowed_at + MEASURED_SECONDS and lately > self._faded_best_rate():
                self._best_rate, self._best_at = lately, now
            rate = max(DEEPEST_CUT * self._rate, CUT * self._refused_rate)
        self._rate = max(MIN_PER_SECOND, rate)
        self._cut_at = self._counted_at = now
        self._allowance = 0.0

    def _accepted_lately(self, now: float) -> float:
        """Reports a second, over the last second."""
        recent = [moment for moment in self._accepted_at if moment > now - MEASURED_SECONDS]
        return len(recent) / MEASURED_SECONDS

    def _are_many_refused(self, answer: ReportAnswer) -> bool:
        """Are more refused than at a low rate? At full speed it takes three, unless a 429 says so."""
        refused = sum(self._were_refused)
        certain = self._rate is not None or answer.asks_to_slow_down
        tolerated = TOLERANCE * self._refused_anyway * len(self._were_refused)
        return refused >= max(tolerated, 1 if certain else MIN_REFUSED)

    def _faded_best_rate(self) -> float:
        age_seconds = self._clock() - self._best_at
        return self._best_rate * math.exp2(-age_seconds / BEST_RATE_HALVES_SECONDS)

    def _note(self, *, refused: bool, rate: float) -> None:
        """Learn how many are refused even at a rate that is well below what was accepted before."""
        if rate < WELL_BELOW * self._faded_best_rate():
            self._refused_anyway += MEMORY * (refused - self._refused_anyway)

    def _go_full_speed(self) -> None:
        self._rate = self._refused_rate = None
        log.info(LogEvent.REPORTS_AT_FULL_SPEED)

    def _count(self, rate: float) -> None:
        """Add what the time since the last count allows; never so much that reports go in bursts."""
        now = self._clock()
        most = LATENESS * max(1.0, rate * TICK_SECONDS)
        self._allowance = min(self._allowance + (now - self._counted_at) * rate, most)
        self._counted_at = now
