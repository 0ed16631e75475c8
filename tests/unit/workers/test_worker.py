from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason
from shared.messages import Failure, RateLimits, Unit, UnitDone
from shared.metrics import WorkerMetrics
from shared.models import InputPlace, Output, Task, TaskType, Usage
from shared.task_inputs import EmbeddingInput
from tests.unit.workers.samples import requests_by_status, sample
from tests.unit.workers.units import make_unit
from workers.factory import ProcessorFactory
from workers.process.worker import Worker
from workers.processors.base import BaseProcessor
from workers.providers.calls import ProviderCalls

OUTPUT = Output("echo", b"1", "none", Usage(1, 1))


class Scripted(BaseProcessor):
    """Raises `error` if given, else succeeds; in both cases it has seen limits."""

    task_type: ClassVar[TaskType] = TaskType.TEXT_EMBEDDING

    def __init__(self, calls: ProviderCalls, error: BaseException | None) -> None:
        self._calls = calls
        self._error = error

    def process(self, task: Task) -> Output:
        return OUTPUT

    def process_batch(self, tasks: Sequence[Task]) -> Mapping[str, Output | Failure]:
        with self._calls.call(len(tasks)):
            self._calls.rate_limits = RateLimits(remaining_tokens=5)
            if self._error:
                raise self._error
        return super().process_batch(tasks)


def run(
    unit: Unit,
    error: BaseException | None = None,
    metrics: WorkerMetrics | None = None,
    inputs_directory: Path = Path(),
) -> UnitDone:
    seconds = iter(range(100))
    clock = lambda: float(next(seconds))  # noqa: E731
    calls = ProviderCalls(metrics or WorkerMetrics(), clock)
    factory = ProcessorFactory([Scripted(calls, error)])
    return worker_of(factory, calls, clock, inputs_directory).work(unit)


def worker_of(
    factory: ProcessorFactory,
    calls: ProviderCalls,
    clock: Callable[[], float],
    inputs_directory: Path = Path(),
) -> Worker:
    # The pipe is not touched by work().
    return Worker(
        pipe=None,  # type: ignore[arg-type]
        parent_sentinel=-1,
        inputs_directory=inputs_directory,
        factory=factory,
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

    class Seeing(BaseProcessor):
        task_type: ClassVar[TaskType] = TaskType.TEXT_EMBEDDING

        def process(self, task: Task) -> Output:
            seen.append(task)
            return OUTPUT

    calls = ProviderCalls(WorkerMetrics(), lambda: 0.0)
    worker = worker_of(ProcessorFactory([Seeing()]), calls, lambda: 0.0, tmp_path)
    worker.work(replace(make_unit([None]), tasks=tuple(stored)))
    assert [task.payload for task in seen] == [EmbeddingInput("same")] * 2
    assert seen[0].payload is seen[1].payload


@pytest.mark.parametrize(
    "place",
    [InputPlace("a.inputs", 0, 3), InputPlace("b.inputs", 0, 3), InputPlace("c.inputs", 0, 8)],
    ids=["cut off", "missing", "of another type"],
)
def test_input_that_cannot_be_read_is_told_and_nothing_is_tried(tmp_path: Path, place: InputPlace) -> None:
    (tmp_path / "a.inputs").write_bytes(b'"c')
    (tmp_path / "c.inputs").write_bytes(b'{"x": 1}')
    unit = make_unit([None])
    stored = replace(unit.tasks[0], input_place=place)
    done = run(replace(unit, tasks=(stored,)), inputs_directory=tmp_path)
    assert done.unreadable.keys() == {stored.id}
    assert not done.outcomes
    assert done.failure is None


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


def test_metrics_carry_the_label_the_supervisor_chose() -> None:
    metrics = WorkerMetrics()
    unit = make_unit(["a"])
    run(Unit(unit.id, unit.tasks, "other"), metrics=metrics)
    assert sample(metrics.requests, model="other", status="ok") == 1


def test_an_error_that_has_no_class_is_counted_as_error() -> None:
    metrics = WorkerMetrics()
    run(make_unit(["a"]), RuntimeError("what"), metrics)
    assert requests_by_status(metrics) == {"error": 1.0}


def test_a_unit_without_a_processor_fails_whole() -> None:
    calls = ProviderCalls(WorkerMetrics(), lambda: 0.0)
    done = worker_of(ProcessorFactory([]), calls, lambda: 0.0).work(make_unit(["a"]))
    assert done.failure is not None
    assert "no processor" in done.failure.message
