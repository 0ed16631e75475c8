"""A provider in simulated time, beside the real loop and a task API that lists and accepts everything."""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import orjson

from shared.messages import Failure, RateLimits, UnitDone
from shared.models import Task
from supervisor.pool.base import UnitFinished
from tests.builders import make_output
from tests.fakes.harness import Harness, item
from workers.processors.text_embedding import TEXT_EMBEDDING

MAX_STEP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer after so many seconds. Without a failure every text is served."""

    seconds: float = 0.1
    failure: Failure | None = None
    rate_limits: RateLimits | None = None


Server = Callable[[Sequence[str], str], Reply]
"""What the provider answers to these texts, asked of this model."""


@dataclass(slots=True)
class SimulatedProvider:
    """Answers for the workers of `harness`. A task's id is its text, or its prompt."""

    harness: Harness
    serve: Server
    calls: list[list[str]] = field(default_factory=list)
    canaries: int = 0
    paid: Counter[str] = field(default_factory=Counter)
    reports: dict[str, bytes] = field(default_factory=dict)
    started_at: dict[str, float] = field(default_factory=dict)
    """When a call was first made with the text."""
    _pending: dict[str, dict[str, object]] = field(default_factory=dict)
    _answers: list[tuple[float, int, int, UnitDone]] = field(default_factory=list)
    _taken: set[int] = field(default_factory=set)
    _order: Iterator[int] = field(default_factory=itertools.count)

    def add(self, texts: Iterable[str], model: str = "m") -> None:
        """Tasks that the API lists from now on."""
        self._pending.update({text: item(text, input_data={"text": text, "model": model}) for text in texts})

    def add_generations(self, prompts: Iterable[str], model: str = "chat", priority: int = 0) -> None:
        kind = {"type": "text-generation", "priority": priority}
        inputs = {prompt: {"prompt": prompt, "model": model} for prompt in prompts}
        self._pending.update({each: item(each, input_data=given, **kind) for each, given in inputs.items()})

    def run(self, max_seconds: float = 600.0) -> float:
        """Work until every task is reported; the seconds that took. AssertionError when it takes longer."""
        began_at = self.harness.clock()
        while self._pending:
            if self.harness.clock() > began_at + max_seconds:
                raise AssertionError(f"{len(self._pending)} tasks are open after {max_seconds:g} s")
            self._step()
        return self.harness.clock() - began_at

    def work(self, seconds: float) -> None:
        """Let so much time pass."""
        until = self.harness.clock() + seconds
        while self.harness.clock() < until:
            self._step()

    @property
    def failed(self) -> dict[str, str]:
        """The tasks that were reported as failed, and why."""
        bodies = {task: orjson.loads(body) for task, body in self.reports.items()}
        return {task: body["error_message"] for task, body in bodies.items() if body["status"] == "failed"}

    def _step(self) -> None:
        harness = self.harness
        if harness.poller.requests:
            harness.list_tasks(*itertools.islice(self._pending.values(), harness.poller.limits[0]))
        self._take_units()
        soonest = self._answers[0][0] - harness.clock() if self._answers else MAX_STEP_SECONDS
        harness.clock.advance(min(max(harness.wait(), 0.001), max(soonest, 0.0), MAX_STEP_SECONDS))
        events: list[UnitFinished] = []
        while self._answers and self._answers[0][0] <= harness.clock():
            _, _, slot, done = heapq.heappop(self._answers)
            events.append(UnitFinished(slot, done))
        harness.turn(*events)
        for job in harness.answer_all():
            self.reports[job.task_id] = job.body
            self._pending.pop(job.task_id, None)

    def _take_units(self) -> None:
        held = [
            (slot, each) for slot, row in enumerate(self.harness.table) for each in row.assignments.values()
        ]
        for slot, assignment in held:
            if assignment.unit.id in self._taken:
                continue
            unit = assignment.unit
            self._taken.add(unit.id)
            texts = list(dict.fromkeys(_text(task) for task in unit.tasks))
            reply = self.serve(texts, unit.key.model)
            if assignment.is_canary:
                self.canaries += 1
            else:
                self.calls.append(texts)
                for text in texts:
                    self.started_at.setdefault(text, self.harness.clock())
                self.paid.update(texts if reply.failure is None else ())
            outcomes = {} if reply.failure else {task.id: make_output() for task in unit.tasks}
            done = UnitDone(
                unit.id,
                outcomes,
                reply.failure,
                duration_seconds=reply.seconds,
                rate_limits=reply.rate_limits,
            )
            heapq.heappush(
                self._answers, (self.harness.clock() + reply.seconds, next(self._order), slot, done)
            )


def _text(task: Task) -> str:
    """What the task asks."""
    text: str = task.input.text if task.task_type == TEXT_EMBEDDING else task.input.prompt
    return text
