"""The loop: the one place where events become changes of state. Commit first, then act."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.logs import LogEvent, get_logger
from supervisor.journal.journal import JournalUnwritableError, TaskJournal
from supervisor.journal.task_record import Claim, Report
from supervisor.loop_state import LoopState
from supervisor.observer import Observer
from supervisor.pool.base import UnitFinished, UnitProgressed, WorkerDied, WorkersAwaited, WorkerStarted
from supervisor.pool.slot_table import SlotTable
from supervisor.runtime.events import (
    Event,
    Inbox,
    PauseRequested,
    ResumeRequested,
    StopRequested,
    ThreadCrashed,
    WakeRequested,
)
from supervisor.runtime.process import ExitCode
from supervisor.runtime.trouble import Cause
from supervisor.task_api.bulk import BulkReportDone
from supervisor.task_api.gate import APIGate
from supervisor.task_api.renewal import LeasesAnswered
from supervisor.task_api.responses import ClaimDone, ReportDone, TasksPolled
from supervisor.task_api.sender import Outbox
from supervisor.tasks.backlog import Backlog
from supervisor.tasks.claims import Claims
from supervisor.tasks.dispatcher import Dispatcher
from supervisor.tasks.leases import Leases
from supervisor.tasks.polling import Polling
from supervisor.tasks.reports import Reports

MAX_WAIT_SECONDS = 1.0
FAILED_STARTS_LIMIT = 5

log = get_logger("loop")


@dataclass(slots=True)
class Supervisor:
    """Applies events to the parts that own the state. `clock` is monotonic."""

    inbox: Inbox
    journal: TaskJournal
    backlog: Backlog
    outbox: Outbox[Report]
    table: SlotTable
    polling: Polling
    claims: Claims
    leases: Leases
    dispatcher: Dispatcher
    reports: Reports
    api_gate: APIGate
    state: LoopState
    observer: Observer
    notify: Callable[[str], None]
    outbox_limit: int
    clock: Callable[[], float]

    def recover(self, booted_at_seconds: float = 0.0) -> None:
        """Take up what an earlier run left. `booted_at_seconds` (epoch) is when the machine was booted."""
        left = self.journal.recover(self.clock(), booted_at_seconds)
        suspects = self.dispatcher.outcomes.service_died(left.interrupted)
        for record in (*left.records, *suspects):
            self.polling.intake.take_again(record)
        for waiting in left.waiting:
            self.reports.restore(waiting)
        log.info(
            LogEvent.JOURNAL_RECOVERED,
            to_run=len(left.records) + len(suspects),
            to_report=len(left.waiting),
            rejected=left.rejected,
            suspects=len(suspects),
        )

    def run(self) -> ExitCode:
        """Take turns until there is a reason to end."""
        while (code := self.turn(self.inbox.take(self.wait_seconds()))) is None:
            pass
        self.release()
        return code

    def turn(self, events: list[Event]) -> ExitCode | None:
        """Apply the events, commit what changed, then act on it. Says whether, and how, to end."""
        for event in events:
            self._apply(event)
        if self.api_gate.reports_recovered():
            self._send_what_waited()
        self.dispatcher.kill_overdue()
        self.state.outbox_full = len(self.outbox) + self.journal.rejected >= self.outbox_limit
        if self._may_begin:
            self.claims.plan()
            self.dispatcher.plan()
        elif self.state.draining:
            self.claims.give_back()
            self.claims.plan()
        if self._commit():
            self.dispatcher.act(may_begin=self.leases.are_sure)
            self.claims.act()
            self.reports.check_journal()
            self.reports.send()
            self.leases.renew_if_due()
            self.polling.poll_if_due(may_take_tasks=self.state.may_start_work)
        self.observer.refresh()
        self.notify("WATCHDOG=1")
        return self._exit_code()

    @property
    def _may_begin(self) -> bool:
        """May tasks be claimed and run?"""
        return self.state.may_start_work and self.leases.are_sure

    def _apply(self, event: Event) -> None:
        match event:
            case UnitFinished():
                self.dispatcher.finished(event)
            case UnitProgressed():
                self.dispatcher.progressed(event)
            case ReportDone() | BulkReportDone() | ClaimDone() | LeasesAnswered() | TasksPolled():
                self._api_answered(event)
            case WorkerStarted():
                self._note_ready()
                self.dispatcher.started(event)
            case WorkerDied():
                self.dispatcher.died(event)
            case WorkersAwaited():
                self.state.note_awaited(event.reason)
            case WakeRequested():
                self.polling.scheduler.poll_now()
            case StopRequested():
                self._stop()
            case PauseRequested() | ResumeRequested():
                self.state.paused = isinstance(event, PauseRequested)
                log.warning(LogEvent.PAUSED if self.state.paused else LogEvent.RESUMED)
            case ThreadCrashed():
                log.error(LogEvent.THREAD_CRASHED, thread=event.thread)
                raise event.error

    def _api_answered(
        self, event: ReportDone | BulkReportDone | ClaimDone | LeasesAnswered | TasksPolled
    ) -> None:
        match event:
            case ReportDone():
                self.reports.answered(event.task_id, event.answer)
            case BulkReportDone():
                self.reports.bulk_answered(event)
            case ClaimDone():
                self.claims.answered(event.task_id, event.answer)
            case LeasesAnswered():
                self.leases.answered(event)
            case TasksPolled():
                may_take_tasks = not self.state.draining
                self.polling.answered(event.answer, may_take_tasks=may_take_tasks)
                self.journal.inputs.end_page(event.answer.page.tasks)

    def _send_what_waited(self) -> None:
        """Reports are accepted again: nothing waits for the API's trouble any longer."""
        self.reports.sender.resume()
        self.claims.sender.resume()
        self.polling.scheduler.poll_now()

    def _note_ready(self) -> None:
        if not self.state.ever_had_worker:
            self.state.ever_had_worker = True
            log.info(LogEvent.SERVICE_READY)

    def _commit(self) -> bool:
        try:
            self.journal.commit()
        except JournalUnwritableError as error:
            if self.state.journal_writable:
                log.error(LogEvent.JOURNAL_UNWRITABLE, detail=str(error))
            self.state.journal_writable = False
            self.state.journal_trouble.failed(Cause("journal_unwritable", str(error), "STATE_DIR"))
            return False
        self.state.journal_trouble.succeeded()
        if not self.state.journal_writable:
            log.warning(LogEvent.JOURNAL_WRITABLE_AGAIN)
            self.state.journal_writable = True
        return True

    def _stop(self) -> None:
        self.state.request_stop()
        if self.state.stop_forced:
            log.warning(LogEvent.STOP_FORCED)
            return
        self.journal.note_stopping()
        log.info(LogEvent.DRAIN_STARTED, running=self.table.tasks_in_flight(), to_report=len(self.outbox))
        self.notify("STOPPING=1")

    def _exit_code(self) -> ExitCode | None:
        if self.state.draining:
            owed = bool(self.table.busy() or len(self.outbox) or len(self.claims))
            owed = owed or self.polling.awaits_claimed_tasks
            if not owed and self.state.journal_writable:
                return ExitCode.DRAINED
            if self.state.drain_ended:
                left = {"running": self.table.tasks_in_flight(), "to_report": len(self.outbox)}
                log.error(LogEvent.DRAIN_TIMED_OUT, forced=self.state.stop_forced, **left)
                return ExitCode.LEFT_OVER
        starts = [slot.failed_starts for slot in self.table]
        if not self.state.ever_had_worker and min(starts) >= FAILED_STARTS_LIMIT:
            return ExitCode.WORKERS_KEEP_DYING
        return None

    def release(self) -> None:
        """Forget tasks that were never tried: the API lists them to whoever polls next."""
        for record in self.backlog.records():
            if record.untouched and record.claim is Claim.NONE:
                self.journal.forget(record.task.id)
        self._commit()

    def wait_seconds(self) -> float:
        moments = [self.observer.next_at(), self.table.next_deadline(), self.state.drain_deadline]
        if self.state.journal_writable:
            moments.append(self.reports.sender.next_at())
            moments.append(self.leases.next_at())
            moments.append(self.polling.next_at(may_take_tasks=self.state.may_start_work))
        if self._may_begin:
            moments += [self.dispatcher.next_at(), self.claims.next_at()]
        elif self.state.draining:
            moments.append(self.claims.next_at())
        soonest = min(moment for moment in moments if moment is not None)
        return min(max(soonest - self.clock(), 0.0), MAX_WAIT_SECONDS)
