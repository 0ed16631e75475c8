"""What the loop alone knows of the service: paused, draining, what is in trouble, outbox full."""

from collections.abc import Callable
from dataclasses import dataclass, field

from shared.logs import LogEvent, get_logger
from supervisor.runtime.trouble import Cause, TroubleRecord

log = get_logger("loop")


@dataclass(slots=True)
class LoopState:
    """Written by the loop, read by the observer. `clock` is monotonic."""

    drain_timeout_seconds: float
    clock: Callable[[], float]
    journal_trouble: TroubleRecord
    pool_trouble: TroubleRecord
    """Why workers cannot be started now."""
    paused: bool = False
    journal_writable: bool = True
    outbox_full: bool = False
    ever_had_worker: bool = False
    drain_deadline: float | None = field(init=False, default=None)
    """When the drain gives up (monotonic); None while the service runs."""
    stop_forced: bool = field(init=False, default=False)
    """A second request to stop came: stop now."""

    def request_stop(self) -> None:
        """The first request starts the drain, a second one ends it."""
        if self.drain_deadline is None:
            self.drain_deadline = self.clock() + self.drain_timeout_seconds
        else:
            self.stop_forced = True

    def note_awaited(self, reason: str) -> None:
        """Workers cannot be started now; without a reason they can again."""
        if reason:
            log.warning(LogEvent.WORKERS_AWAITED, detail=reason)
            self.pool_trouble.failed(Cause("workers_awaited", reason))
        else:
            self.pool_trouble.succeeded()

    @property
    def draining(self) -> bool:
        return self.drain_deadline is not None

    @property
    def drain_ended(self) -> bool:
        """The drain was forced to end, or its time is over."""
        expired = self.drain_deadline is not None and self.clock() >= self.drain_deadline
        return self.stop_forced or expired

    @property
    def may_start_work(self) -> bool:
        return not (self.draining or self.paused or self.outbox_full) and self.journal_writable
