"""What the service would get of the task API, asked with its own wire, limit, parser and rules."""

import os
import queue
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from shared.errors import ConfigurationError
from shared.metrics import SupervisorMetrics
from shared.settings import Settings
from supervisor.console.preflight.finding import Finding, Mark, faults_of
from supervisor.journal.admin import JournalAdmin
from supervisor.journal.state_directory import JOURNAL_FILE
from supervisor.journal.task_record import TaskState
from supervisor.runtime.events import Event, ThreadCrashed
from supervisor.task_api.client import connect
from supervisor.task_api.http.exchange import Exchange, NoResponse, Response
from supervisor.task_api.http.route import make_target
from supervisor.task_api.poll_scheduler import MAX_TASKS_ASKED, SMALLER_LIMIT_SECONDS, Load, PollScheduler
from supervisor.task_api.responses import PAGES, PollAnswer, PollRequest, PollResult
from supervisor.tasks.intake import IntakeRules
from workers.factory import ProcessorFactory

SUBJECT = "task API"
MAX_REQUEST_SECONDS = 10.0
MAX_SEARCH_SECONDS = 15.0
"""After this no smaller limit is tried."""
MAX_HOLD_SECONDS = 1.0
REQUESTS_A_POLL = 2
"""One for a token, one for the page."""
SLACK_SECONDS = 2.0
MAX_REASONS = 3


@dataclass(frozen=True, slots=True)
class JournalTasks:
    """The tasks in the journal: a poll does not take them again."""

    states: Mapping[str, TaskState] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Tasks that wait to run."""
        return len(self.states) - self.owed - self._in(TaskState.REJECTED)

    @property
    def owed(self) -> int:
        """Reports that wait to be sent."""
        return self._in(TaskState.FINISHED)

    def _in(self, state: TaskState) -> int:
        return sum(1 for found in self.states.values() if found is state)


@dataclass(frozen=True, slots=True)
class TaskApiReport:
    """`models` counts the models that the tasks ask for which the service would take."""

    findings: tuple[Finding, ...]
    models: Counter[str] = field(default_factory=Counter)


def read_journal(settings: Settings) -> JournalTasks:
    """Raises ConfigurationError where there is a journal that cannot be read."""
    path = settings.state_dir.absolute() / JOURNAL_FILE
    if not path.exists():
        return JournalTasks()
    with JournalAdmin(path) as journal:
        return JournalTasks(journal.states())


def look_at_task_api(
    settings: Settings, processors: ProcessorFactory, in_journal: JournalTasks
) -> TaskApiReport:
    """Poll as the service would when it starts. Changes nothing at the API."""
    scheduler = PollScheduler.from_settings(settings, time.monotonic)
    room = scheduler.room(Load(in_journal.waiting, owed=in_journal.owed))
    wanted = min(len(in_journal.states) + room * settings.shard_count, MAX_TASKS_ASKED)
    try:
        answers = _poll(settings, processors, scheduler, wanted, in_journal)
        proxy = make_target(settings.api_base_url, "API_BASE_URL", os.environ).proxy
    except ConfigurationError as error:
        return TaskApiReport(tuple(faults_of(error)))
    except queue.Empty:
        return TaskApiReport((Finding(Mark.FAILED, SUBJECT, f"no answer from {_address(settings)}"),))
    last = answers[-1]
    if last.result not in PAGES:
        return TaskApiReport((_trouble(settings, answers),))
    rules = IntakeRules.from_settings(settings)
    by_proxy = f" by way of {proxy.name}" if proxy else ""
    findings = [
        Finding(Mark.OK, SUBJECT, f"{_address(settings)} answers{by_proxy}, {_authorised_by(settings)}"),
        *_limit(answers),
        _tasks(last, rules, room),
    ]
    models = Counter(task.key.model for task in last.page.tasks if rules.refuse(task) is None)
    return TaskApiReport(tuple(findings), models)


def _poll(
    settings: Settings,
    processors: ProcessorFactory,
    scheduler: PollScheduler,
    wanted: int,
    in_journal: JournalTasks,
) -> Sequence[PollAnswer]:
    """The answers to one poll after another, each with a smaller limit, until one has a page.

    Raises ConfigurationError where the service would not start, and queue.Empty where no answer comes.
    """
    timeout_seconds = min(settings.request_timeout, MAX_REQUEST_SECONDS)
    hasty = settings.model_copy(update={"request_timeout": timeout_seconds})
    hold_seconds = min(scheduler.long_poll_seconds, MAX_HOLD_SECONDS)
    heard: queue.SimpleQueue[Exchange | Event] = queue.SimpleQueue()
    metrics = SupervisorMetrics(CollectorRegistry())
    wire, api = connect(
        hasty, heard.put, metrics, processors, lambda: "check", in_journal.states.__contains__, "check"
    )
    wire.start()
    answers: list[PollAnswer] = []
    give_up_at = time.monotonic() + MAX_SEARCH_SECONDS
    try:
        while True:
            request = PollRequest(scheduler.limit(wanted), hold_seconds)
            scheduler.started(len(in_journal.states), request, wanted)
            api.get_pending_tasks(request, heard.put)
            got = heard.get(timeout=REQUESTS_A_POLL * timeout_seconds + hold_seconds + SLACK_SECONDS)
            if isinstance(got, ThreadCrashed):
                raise got.error
            assert isinstance(got, Response | NoResponse)  # noqa: S101  the wire posts nothing else
            answers.append(api.read_page(request, got))
            if not answers[-1].asks_for_less or time.monotonic() > give_up_at:
                return answers
            scheduler.too_much(None)
            time.sleep(SMALLER_LIMIT_SECONDS)
    finally:
        wire.close()


def _address(settings: Settings) -> str:
    return settings.api_base_url + settings.api_pending_path.partition("?")[0]


def _authorised_by(settings: Settings) -> str:
    if settings.api_oauth2_token_url:
        return f"and takes the token of {settings.api_oauth2_token_url}"
    return "and takes API_TOKEN" if settings.api_token else "and wants no token"


def _trouble(settings: Settings, answers: Sequence[PollAnswer]) -> Finding:
    first, last = answers[0], answers[-1]
    detail = last.detail
    if len(answers) > 1:
        detail += f" (the same with every limit from {first.limit:,} to {last.limit:,})"
    if last.result is PollResult.RATE_LIMITED:
        return Finding(Mark.WARNING, SUBJECT, f"{detail}; the service waits, and asks again")
    if last.result is PollResult.CLIENT_ERROR:
        detail += ": check API_BASE_URL and API_PENDING_PATH"
    if last.result is PollResult.TIMEOUT and settings.request_timeout > MAX_REQUEST_SECONDS:
        detail += f" (the service waits for {settings.request_timeout:g} s, REQUEST_TIMEOUT)"
    return Finding(Mark.FAILED, SUBJECT, f"{detail}; the service asks again and again, and gets no task")


def _limit(answers: Sequence[PollAnswer]) -> Iterator[Finding]:
    first, last = answers[0], answers[-1]
    if len(answers) > 1:
        text = (
            f"{first.limit:,} tasks in one page are too many for the task API ({first.detail});"
            f" it takes {last.limit:,}. The service halves too, and finds the largest that works"
        )
        yield Finding(Mark.NOTE, "limit", text)


def _tasks(answer: PollAnswer, rules: IntakeRules, room: int) -> Finding:
    page, asked = answer.page, f"asked for {answer.limit:,}"
    if not page.items:
        return Finding(Mark.OK, "tasks", f"none is pending ({asked})")
    ours = [task for task in page.tasks if rules.shard.owns(task.id)]
    unread = [refusal for refusal in page.refusals if rules.sees_to(refusal)]
    refusals = [*unread, *(refusal for task in ours if (refusal := rules.refuse(task)))]
    failed = sum(1 for refusal in refusals if rules.fails(refusal))
    taken = len(ours) + len(unread) - len(refusals)
    counts = (
        (min(taken, room), "to be done"),
        (max(0, taken - room), "to be done later, for want of room"),
        (page.known, "in the journal already"),
        (page.items - page.known - len(ours) - len(unread), "of other replicas"),
        (failed, "to be FAILED"),
        (len(refusals) - failed, "to be left as they are"),
    )
    parts = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    reasons = Counter(refusal.shown_message for refusal in refusals).most_common(MAX_REASONS)
    why = "".join(f"; {count:,} x {message}" for message, count in reasons)
    mark = Mark.WARNING if refusals else Mark.OK
    return Finding(mark, "tasks", f"{page.items:,} listed ({asked}): {parts}{why}")
