import itertools
import multiprocessing
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import ClassVar

import pytest
from structlog.testing import capture_logs

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason
from shared.messages import Failure, RateLimits, Unit, UnitDone, UnitProgress
from shared.metrics import WorkerMetrics
from shared.models import InputPlace, Output, Task, Usage
from tests.unit.workers.samples import requests_by_status, sample
from tests.unit.workers.test_factory import factory_of
from tests.unit.workers.units import make_unit
from workers.factory import ProcessorFactory
from workers.process.pipe import SupervisorPipe, receive_message
from workers.process.worker import Worker, read_input
from workers.processors.base import BaseProcessor, Context, Outcome
from workers.processors.text_embedding import (
    TEXT_EMBEDDING,
    EmbeddingInput,
    EmbeddingSettings,
    TextEmbeddingProcessor,
)
from workers.providers.base import BaseProvider
from workers.providers.calls import ProviderCalls

OUTPUT = Output("echo", b"1", "none", Usage(1, 1))
SETTINGS = EmbeddingSettings.model_construct(None)


class Scripted(TextEmbeddingProcessor):
    """Raises `error` if given, else succeeds; in both cases it has seen limits."""

    def __init__(self, calls: ProviderCalls, error: BaseException | None) -> None:
        super().__init__(SETTINGS)
        self._calls = calls
        self._error = error

    def process_batch(
        self, tasks: Sequence[Task[EmbeddingInput]], context: Context
    ) -> dict[str, Output | Failure]:
        with self._calls.call(len(tasks)):
            self._calls.rate_limits = RateLimits(remaining_tokens=5)
            if self._error:
                raise self._error
        return {task.id: OUTPUT for task in tasks}


def run(
    unit: Unit,
    error: BaseException | None = None,
    metrics: WorkerMetrics | None = None,
    inputs_directory: Path = Path(),
) -> UnitDone:
    seconds = iter(range(100))
    clock = lambda: float(next(seconds))  # noqa: E731
    calls = ProviderCalls(metrics or WorkerMetrics(), clock)
    factory = factory_of(Scripted(calls, error))
    ours, theirs = multiprocessing.Pipe()
    done = worker_of(factory, calls, clock, inputs_directory, pipe=theirs).work(unit)
    return replace(done, outcomes={**outcomes_sent(ours), **done.outcomes})


def outcomes_sent(pipe: Connection) -> dict[str, Output | Failure]:
    """What came in messages of progress: on a busy machine a unit may take long enough for some."""
    outcomes: dict[str, Output | Failure] = {}
    while pipe.poll():
        message = receive_message(pipe)
        assert isinstance(message, UnitProgress)
        outcomes.update(message.outcomes)
    return outcomes


def no_provider(name: str) -> BaseProvider:
    raise AssertionError(f"{name} was not to be called")


def worker_of(
    factory: ProcessorFactory,
    calls: ProviderCalls,
    clock: Callable[[], float],
    inputs_directory: Path = Path(),
    pipe: Connection | None = None,
) -> Worker:
    ours = SupervisorPipe(pipe or multiprocessing.Pipe()[1], parent_sentinel=-1)
    return Worker(
        receive=ours.receive,
        send=ours.send,
        read_input=partial(read_input, inputs_directory),
        factory=factory,
        provider_of=no_provider,
        calls=calls,
        clock=clock,
    )


def test_a_unit_is_answered_task_by_task() -> None:
    done = run(make_unit(["a", "b"], unit_id=8))
    assert done.unit_id == 8
    assert done.outcomes == {"t-0": OUTPUT, "t-1": OUTPUT}
    assert done.failure is None
    assert done.duration_seconds > 0


def test_input_in_a_file_is_read_from_there(tmp_path: Path) -> None:
    (tmp_path / "a.inputs").write_bytes(b'"no"{"text":"diary"}')
    unit = make_unit([None])
    stored = replace(unit.tasks[0], input_place=InputPlace("a.inputs", 4, 16))
    done = run(replace(unit, tasks=(stored,)), RuntimeError("no 'diary'"), inputs_directory=tmp_path)
    assert done.failure is not None
    assert done.failure.shown == "RuntimeError: no '[text]'"


def test_same_input_in_a_file_is_in_memory_once(tmp_path: Path) -> None:
    (tmp_path / "a.inputs").write_bytes(b'{"text":"same"}' * 2)
    stored = [
        replace(task, input_place=InputPlace("a.inputs", start, 15), content_id="one")
        for task, start in zip(make_unit([None, None]).tasks, (0, 15), strict=True)
    ]
    seen: list[Task] = []

    class Seeing(TextEmbeddingProcessor):
        def process_batch(
            self, tasks: Sequence[Task[EmbeddingInput]], context: Context
        ) -> dict[str, Output | Failure]:
            seen.extend(tasks)
            return {task.id: OUTPUT for task in tasks}

    calls = ProviderCalls(WorkerMetrics(), lambda: 0.0)
    worker = worker_of(factory_of(Seeing(SETTINGS)), calls, lambda: 0.0, tmp_path)
    worker.work(replace(make_unit([None]), tasks=tuple(stored)))
    assert [task.input.text for task in seen] == ["same", "same"]


@pytest.mark.parametrize(
    "place",
    [InputPlace("a.inputs", 0, 3), InputPlace("b.inputs", 0, 3)],
    ids=["cut off", "missing"],
)
def test_input_that_cannot_be_read_is_told_and_nothing_is_tried(tmp_path: Path, place: InputPlace) -> None:
    (tmp_path / "a.inputs").write_bytes(b'"c')
    unit = make_unit([None])
    stored = replace(unit.tasks[0], input_place=place)
    done = run(replace(unit, tasks=(stored,)), inputs_directory=tmp_path)
    assert done.unreadable.keys() == {stored.id}
    assert not done.outcomes
    assert done.failure is None


def test_input_that_the_processor_no_longer_takes_fails_its_task_alone() -> None:
    first, second = make_unit(["a", "b"]).tasks
    old = replace(second, input={"words": "of an earlier version"})
    done = run(Unit(1, (first, old)))
    assert done.outcomes == {first.id: OUTPUT, old.id: Failure('input: "text" is missing')}


def test_input_of_an_earlier_run_is_read_by_the_processor() -> None:
    (task,) = make_unit(["a"]).tasks
    assert run(Unit(1, (replace(task, input={"text": "a"}),))).outcomes == {task.id: OUTPUT}


def test_an_error_of_the_unit_is_one_failure_for_all() -> None:
    done = run(make_unit(["a", "b"]), RetryableError("down", reason=RetryReason.CONNECTION))
    assert done.outcomes == {}
    assert done.failure == Failure("down", retry=RetryReason.CONNECTION)


def test_a_refusal_of_the_unit_keeps_its_blame() -> None:
    done = run(make_unit(["a"]), NonRetryableError("no", blame=Blame.WHOLE_UNIT))
    assert done.failure == Failure("no", blame=Blame.WHOLE_UNIT)


def test_an_unexpected_error_blames_the_processor_and_no_provider() -> None:
    done = run(make_unit(["a", "b"]), RuntimeError("what"))
    assert done.failure == Failure("RuntimeError: what", blame=Blame.PROCESSOR)


def test_want_of_memory_ends_the_worker() -> None:
    with pytest.raises(MemoryError):
        run(make_unit(["a"]), MemoryError())


@pytest.mark.parametrize("error", [None, RetryableError("429", reason=RetryReason.RATE_LIMIT)])
def test_limits_travel_back_with_success_and_failure(error: RetryableError | None) -> None:
    assert run(make_unit(["a"]), error).rate_limits == RateLimits(remaining_tokens=5)


def test_metrics_carry_the_provider_and_the_label_the_supervisor_chose() -> None:
    metrics = WorkerMetrics()
    unit = make_unit(["a"])
    run(Unit(unit.id, unit.tasks, "other", "ollama"), metrics=metrics)
    assert sample(metrics.requests, provider="ollama", model="other", status="ok") == 1


def test_an_error_that_has_no_class_is_counted_as_error() -> None:
    metrics = WorkerMetrics()
    run(make_unit(["a"]), RuntimeError("what"), metrics)
    assert requests_by_status(metrics) == {"error": 1.0}


def test_a_unit_without_a_processor_fails_whole() -> None:
    calls = ProviderCalls(WorkerMetrics(), lambda: 0.0)
    done = worker_of(factory_of(), calls, lambda: 0.0).work(make_unit(["a"]))
    assert done.failure is not None
    assert "no processor" in done.failure.message


class Yielding(BaseProcessor[EmbeddingInput]):
    """Gives what `steps` yields; a step that is an exception is raised."""

    task_type: ClassVar[str] = TEXT_EMBEDDING

    def __init__(self, steps: Iterable[object]) -> None:
        super().__init__()
        self._steps = steps

    def process_batch(
        self, tasks: Sequence[Task[EmbeddingInput]], context: Context
    ) -> Iterator[tuple[str, Output | Failure]]:
        for step in self._steps:
            if isinstance(step, BaseException):
                raise step
            yield step  # type: ignore[misc]  # a processor may yield anything


def worker_yielding(steps: Iterable[object], pipe: Connection) -> Worker:
    calls = ProviderCalls(WorkerMetrics(), lambda: 0.0)
    return worker_of(factory_of(Yielding(steps)), calls, lambda: 0.0, pipe=pipe)


def test_outcomes_are_sent_on_while_the_unit_goes_on() -> None:
    ours, theirs = multiprocessing.Pipe()
    heard = threading.Event()

    def steps() -> Iterator[object]:
        yield "t-0", OUTPUT
        yield "t-1", OUTPUT
        assert heard.wait(10.0)
        yield "t-2", OUTPUT

    def hear() -> None:
        if ours.poll(10.0):
            progress.append(receive_message(ours))
            heard.set()

    progress: list[object] = []
    listener = threading.Thread(target=hear)
    listener.start()
    done = worker_yielding(steps(), theirs).work(make_unit(["a", "b", "c"], unit_id=4))
    listener.join()
    assert progress == [UnitProgress(4, {"t-0": OUTPUT, "t-1": OUTPUT})]
    assert done.outcomes == {"t-2": OUTPUT}


def test_error_in_mid_unit_keeps_what_was_yielded_and_concerns_the_rest() -> None:
    ours, theirs = multiprocessing.Pipe()
    steps = [("t-0", OUTPUT), RetryableError("down", reason=RetryReason.CONNECTION)]
    done = worker_yielding(steps, theirs).work(make_unit(["a", "b"]))
    assert outcomes_sent(ours) == {"t-0": OUTPUT}
    assert (done.outcomes, done.failure) == ({}, Failure("down", retry=RetryReason.CONNECTION))


def test_first_outcome_of_a_task_counts_and_those_of_strangers_do_not() -> None:
    ours, theirs = multiprocessing.Pipe()
    steps = [("t-0", OUTPUT), ("t-0", Failure("second")), ("stranger", OUTPUT)]
    done = worker_yielding(steps, theirs).work(make_unit(["a"]))
    assert {**outcomes_sent(ours), **done.outcomes} == {"t-0": OUTPUT}
    assert done.failure is None


def test_processor_that_asks_for_a_provider_without_naming_one_is_told_so() -> None:
    class Asks(BaseProcessor[str]):
        task_type: ClassVar[str] = "asks"

        def process(self, task: Task[str], context: Context) -> Outcome:
            return str(context.provider)

    processor = Asks(None)
    calls = ProviderCalls(WorkerMetrics(), lambda: 0.0)
    ours, theirs = multiprocessing.Pipe()
    unit = Unit(1, (processor.make_task("a", "t-0"),), provider="asks")
    done = worker_of(factory_of(processor), calls, lambda: 0.0, pipe=theirs).work(unit)
    failure = {**outcomes_sent(ours), **done.outcomes}["t-0"]
    assert isinstance(failure, Failure)
    assert "it needs a model() or a provider()" in failure.message


def test_outcomes_of_strangers_are_one_line_a_unit() -> None:
    ours, theirs = multiprocessing.Pipe()
    strangers = ((f"stranger {number}", OUTPUT) for number in range(1000))
    with capture_logs() as lines:
        worker_yielding(itertools.chain(strangers, [("t-0", OUTPUT)]), theirs).work(make_unit(["a"]))
    ours.close()
    assert [line["outcomes"] for line in lines if line["event"] == "outcome_ignored"] == [1000]


NO_JSON = Output("echo", b"}{", "none", Usage(1, 1))


@pytest.mark.parametrize("step", [("t-0", object()), ("t-0", float("nan")), ("t-0", NO_JSON)])
def test_what_is_no_outcome_fails_its_task_alone(step: object) -> None:
    ours, theirs = multiprocessing.Pipe()
    done = worker_yielding([step, ("t-1", OUTPUT)], theirs).work(make_unit(["a", "b"]))
    outcomes = {**outcomes_sent(ours), **done.outcomes}
    failure = outcomes["t-0"]
    assert isinstance(failure, Failure)
    assert failure.blame is Blame.PROCESSOR
    assert outcomes["t-1"] == OUTPUT


@pytest.mark.parametrize("step", [None, 7, ("t-0",), "word"])
def test_what_is_no_pair_fails_the_rest_of_the_unit(step: object) -> None:
    _, theirs = multiprocessing.Pipe()
    done = worker_yielding([step], theirs).work(make_unit(["a", "b"]))
    assert done.failure is not None
    assert done.failure.blame is Blame.PROCESSOR


def test_failure_that_was_yielded_shows_no_text() -> None:
    ours, theirs = multiprocessing.Pipe()
    steps = [("t-0", Failure("refused: diary")), RuntimeError("end")]
    worker_yielding(steps, theirs).work(make_unit(["diary", "b"]))
    failure = outcomes_sent(ours)["t-0"]
    assert isinstance(failure, Failure)
    assert (failure.message, failure.shown) == ("refused: diary", "refused: [text]")
