"""What came of a chaos run: a table to read, and the promises that it broke."""

from collections.abc import Iterator
from dataclasses import dataclass

from examples.task_api.task import State
from tests.chaos.ledger import Exchange, Kill, Tally
from tests.chaos.plan import Plan

ORPHAN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    plan: Plan
    seconds: float
    states: dict[State, int]
    first_errors: tuple[str, ...]
    worker_kills: tuple[Kill, ...]
    supervisor_kills: tuple[Kill, ...]
    max_orphan_seconds: float
    patches: Tally
    calls: Tally
    api_faults: dict[str, int]
    api_requests: int
    provider_faults: dict[str, int]
    provider_requests: int
    exit_code: int | None
    """Of the last process, which is told to stop; None if it was not reached."""
    left_in_journal: int
    complaints: tuple[str, ...]
    """What the service wrote to stderr, and faults of its own threads."""

    @property
    def lost(self) -> int:
        return self.plan.tasks - self.states[State.SUCCEEDED] - self.states[State.FAILED]

    def broken_promises(self) -> list[str]:
        """Empty when all held."""
        return list(self._broken())

    def table(self) -> str:
        rows = [(name, str(value)) for name, value in self._rows()]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value:>10}" for name, value in rows)

    def _broken(self) -> Iterator[str]:
        if self.lost:
            yield f"{self.lost} tasks have no final state: {self.states}"
        if self.states[State.FAILED]:
            yield f"{self.states[State.FAILED]} tasks are FAILED, the first: {self.first_errors}"
        if self.patches.unexcused:
            yield f"more than one final PATCH without a reason: {_some(self.patches.unexcused)}"
        if self.patches.contradicted:
            yield f"final PATCHes that contradict each other: {self.patches.contradicted[:5]}"
        if self.calls.unexcused:
            yield f"texts paid twice without a reason: {_some(self.calls.unexcused)}"
        if len(self.supervisor_kills) < self.plan.supervisor_kills:
            yield f"only {len(self.supervisor_kills)} supervisor kills came to pass"
        if self.max_orphan_seconds > ORPHAN_SECONDS:
            yield f"a worker outlived its supervisor by {self.max_orphan_seconds:.1f} s"
        if self.exit_code != 0:
            yield f"the last process ended with {self.exit_code}"
        if self.left_in_journal:
            yield f"{self.left_in_journal} rows are left in the journal"
        if self.complaints:
            yield f"the service complained: {self.complaints[:3]}"

    def _rows(self) -> Iterator[tuple[str, object]]:
        yield "seed", self.plan.seed
        yield "tasks", self.plan.tasks
        yield "claims", self.plan.claims
        yield "reports a call", max(1, self.plan.bulk_reports)
        yield "seconds", f"{self.seconds:.1f}"
        yield "workers killed", len(self.worker_kills)
        yield "  with a call or a connection open", sum(bool(kill.ports) for kill in self.worker_kills)
        yield "supervisors killed and restarted", len(self.supervisor_kills)
        yield "longest life of an orphan, s", f"{self.max_orphan_seconds:.2f}"
        yield "API requests", self.api_requests
        for fault, times in self.api_faults.items():
            yield f"  {fault}", times
        yield "provider requests", self.provider_requests
        for fault, times in self.provider_faults.items():
            yield f"  {fault}", times
        yield "lost", self.lost
        yield "FAILED", self.states[State.FAILED]
        yield from _tally_rows("final PATCHes", "reported again", self.patches)
        yield from _tally_rows("paid calls", "paid again", self.calls)


def _tally_rows(what: str, repeated: str, tally: Tally) -> Iterator[tuple[str, object]]:
    yield what, tally.exchanges
    yield "  whose answer was kept back", tally.withheld
    yield f"{repeated}, for lack of an answer", tally.repeated_by_fault
    yield f"{repeated}, at a kill", tally.repeated_by_kill
    yield f"{repeated}, without a reason", len(tally.unexcused)


def _some(found: dict[str, tuple[Exchange, ...]]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in list(found.items())[:3])
