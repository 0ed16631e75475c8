"""No order of calls loses a report, doubles one, or sends more at once than the window allows."""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.retry import Backoff
from supervisor.journal.task_record import Report
from supervisor.task_api.sender import Outbox
from tests.builders import make_report

WINDOW = 3


class OutboxMachine(RuleBasedStateMachine):
    """Every report waits in the outbox, is under way, or was settled."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox: Outbox[Report] = Outbox(Backoff(2.0, lambda _, high: high), WINDOW)
        self.now = 100.0
        self.since: dict[str, float] = {}
        self.under_way: list[str] = []
        self.made = 0

    @rule(count=st.integers(1, 4))
    def add(self, count: int) -> None:
        for _ in range(count):
            self.made += 1
            self.since[f"r{self.made}"] = self.now
            self.outbox.add(make_report(f"r{self.made}"), self.now)

    @rule(seconds=st.floats(0, 70))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(most=st.just(math.inf) | st.integers(0, 3))
    def take(self, most: float) -> None:
        reports = self.outbox.take(self.now, most)
        assert len(reports) <= most
        self.under_way.extend(report.task_id for report in reports)
        assert len(self.under_way) <= WINDOW or not reports
        due = self.outbox.next_due_at
        assert due is None or due > self.now

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), retry_after=st.none() | st.floats(0.1, 100), settled=st.booleans())
    def answered(self, data: st.DataObject, retry_after: float | None, settled: bool) -> None:
        task_id = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        if settled:
            assert self.outbox.settle(task_id).since == self.since.pop(task_id)
        else:
            self.outbox.postpone(task_id, self.now, retry_after)

    @precondition(lambda self: self.under_way)
    @rule()
    def api_is_down(self) -> None:
        for task_id in self.under_way:
            self.now += 0.5
            self.outbox.postpone(task_id, self.now, None)
        self.under_way.clear()

    @precondition(lambda self: self.under_way)
    @rule(count=st.integers(1, 3))
    def recall(self, count: int) -> None:
        recalled, self.under_way = self.under_way[-count:], self.under_way[:-count]
        self.outbox.put_back(recalled)

    @invariant()
    def keeps_count_and_age(self) -> None:
        assert len(self.outbox) == len(self.since)
        assert self.outbox.under_way == len(self.under_way)
        oldest = max((self.now - since for since in self.since.values()), default=0.0)
        assert self.outbox.oldest_age_seconds(self.now) == oldest

    def teardown(self) -> None:
        seen: list[str] = []
        for _ in range(len(self.since)):
            self.now += 4000.0
            self.under_way.extend(report.task_id for report in self.outbox.take(self.now))
            seen.append(self.under_way.pop(0))
            self.outbox.settle(seen[-1])
        assert sorted(seen) == sorted(self.since)
        assert len(self.outbox) == 0


OutboxMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestOutboxKeepsEachReportOnce = OutboxMachine.TestCase
