"""An API that answers PATCHes as scripted, in the clock's time, over a few connections."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

from supervisor.task_api.responses import Health, ReportAnswer, ReportDone, ReportOutcome
from tests.fakes.api import SendJob
from tests.fakes.harness import Harness

ROUND_TRIP_SECONDS = 0.01
DONE = ReportAnswer(ReportOutcome.DONE, Health.HEALTHY, 200)


@dataclass(slots=True)
class TokenBucket:
    """Takes `per_second` reports, and `burst` at once; refuses the others with `refusal`."""

    per_second: float
    burst: float
    refusal: ReportAnswer
    _left: float = 0.0
    _counted_at: float = float("-inf")

    def __call__(self, now: float) -> ReportAnswer:
        self._left = min(self.burst, self._left + (now - self._counted_at) * self.per_second)
        self._counted_at = now
        if self._left < 1:
            return self.refusal
        self._left -= 1
        return DONE


class ReportsAPI:
    """`judge` says at any time what a PATCH that arrives then is answered."""

    def __init__(
        self, harness: Harness, judge: Callable[[float], ReportAnswer], connections: int = 8
    ) -> None:
        self._harness = harness
        self._judge = judge
        self._connections = connections
        self._order = itertools.count()
        self._answers: list[tuple[float, int, ReportDone]] = []
        self.outcomes: list[tuple[float, ReportOutcome]] = []

    def count(self, outcome: ReportOutcome) -> int:
        return sum(each is outcome for _, each in self.outcomes)

    def run(self, until: Callable[[], bool], max_seconds: float) -> float:
        """Let time pass until the condition holds; how many seconds that took."""
        clock = self._harness.clock
        began_at = clock()
        while not until():
            assert clock() - began_at < max_seconds, f"not done after {max_seconds:g} s"
            self._send()
            next_answer_at = self._answers[0][0] if self._answers else float("inf")
            seconds = min(next_answer_at - clock(), self._harness.wait(), max_seconds)
            clock.advance(max(seconds, 0.0001))
            self._harness.turn(*self._due())
        return clock() - began_at

    def _send(self) -> None:
        now = self._harness.clock()
        while self._harness.report_queue.jobs and len(self._answers) < self._connections:
            job: SendJob = self._harness.report_queue.send_one()
            answer = replace(self._judge(now), began_at=now)
            self.outcomes.append((now, answer.outcome))
            done = ReportDone(job.task_id, answer)
            heapq.heappush(self._answers, (now + ROUND_TRIP_SECONDS, next(self._order), done))

    def _due(self) -> list[ReportDone]:
        due: list[ReportDone] = []
        while self._answers and self._answers[0][0] <= self._harness.clock():
            due.append(heapq.heappop(self._answers)[2])
        return due
