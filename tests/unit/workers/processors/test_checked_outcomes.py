"""No outcome of a processor, however odd, gets to the supervisor in a shape that it cannot report."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import BaseModel, model_serializer

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason, TaskError
from shared.messages import Failure, UnitDone
from shared.models import NOTHING_BILLED, Output, Usage
from shared.retry import MAX_RETRY_AFTER_SECONDS
from supervisor.pool.base import UnitFinished
from tests.unit.supervisor.tasks.one_worker import make_harness, told
from workers.processors import checked_outcomes
from workers.processors.base import as_output, attempt

ONE = Usage(1, 1)


class Odd(Mapping[str, Any]):
    def __getitem__(self, name: str) -> Any:
        raise RuntimeError("no luck")

    def __iter__(self) -> Iterator[str]:
        return iter(("a",))

    def __len__(self) -> int:
        return 1


class Unspeakable(BaseModel):
    @model_serializer
    def fail(self) -> str:
        raise RuntimeError("no luck")


ODD_OUTPUTS: list[Output] = [
    Output("x", "text", "m", ONE),  # type: ignore[arg-type]  # all of them are what a plug-in may do
    Output("x", None, "m", ONE),  # type: ignore[arg-type]
    Output("x", b"", "m", ONE),
    Output("x", b"}{", "m", ONE),
    Output("x", b"NaN", "m", ONE),
    Output("x", b"1", "m", None),  # type: ignore[arg-type]
    Output("x", b"1", "m", Usage("a", "b")),  # type: ignore[arg-type]
    Output("x", b"1", "m", Usage(-5, -5)),
    Output("x", b"1", "m", Usage(1, 2**70)),
    Output(7, b"1", "m", ONE),  # type: ignore[arg-type]
    Output("x", b"1", None, ONE),  # type: ignore[arg-type]
    Output("x", b"1", "\ud800", ONE),
    Output("x", b"1", "m", ONE, {"a": object()}),  # type: ignore[dict-item]
    Output("x", b"1", "m", ONE, {1: 2}),  # type: ignore[dict-item]
    Output("x", b"1", "m", ONE, None),  # type: ignore[arg-type]
    Output("x", b"1", "m", ONE, Odd()),
]


@pytest.mark.parametrize("output", ODD_OUTPUTS, ids=map(str, range(len(ODD_OUTPUTS))))
def test_output_that_cannot_be_reported_fails_its_task_alone(output: Output) -> None:
    failure = as_output(output)
    assert isinstance(failure, Failure)
    assert (failure.blame, failure.retry) == (Blame.PROCESSOR, None)
    harness = make_harness("a", "b")
    outcomes: dict[str, Output | Failure] = {"a": failure, "b": Output("x", b"1", "m", ONE)}
    harness.turn(UnitFinished(0, UnitDone(harness.held[0].id, outcomes)))
    assert told(harness) == {"a": failure.message, "b": "succeeded"}


def test_sound_output_is_left_as_it_is() -> None:
    output = Output("x", b'{"a":1}', "m", Usage(1, 2, 3), {"b": None})
    assert as_output(output) is output


def test_result_that_raises_while_it_is_written_fails_its_task_alone() -> None:
    failure = as_output(Unspeakable())
    assert isinstance(failure, Failure)
    assert failure.blame is Blame.PROCESSOR


@pytest.mark.parametrize("result", ["x" * 100, Output("x", b'"' + b"x" * 100 + b'"', "m", ONE)])
def test_result_has_a_largest_size(monkeypatch: pytest.MonkeyPatch, result: str | Output) -> None:
    monkeypatch.setattr(checked_outcomes, "MAX_RESULT_BYTES", 100)
    failure = as_output(result)
    assert isinstance(failure, Failure)
    assert "has 102 bytes, and 100 are the most" in failure.message


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (5, 5),
        (0.5, 0.5),
        (0, None),
        (-1.0, None),
        ("5", None),
        (True, None),
        (float("nan"), None),
        (float("inf"), MAX_RETRY_AFTER_SECONDS),
        (10**400, MAX_RETRY_AFTER_SECONDS),
    ],
)
def test_wait_that_a_processor_asks_for_is_a_time_of_bounded_length(asked: Any, waits: float | None) -> None:
    error = RetryableError("later", reason=RetryReason.RATE_LIMIT, retry_after_seconds=asked)
    told_by = [
        as_output(error),
        as_output(Failure("later", RetryReason.RATE_LIMIT, asked)),
        attempt(_raiser(error)),
    ]
    for failure in told_by:
        assert isinstance(failure, Failure)
        assert failure.retry_after_seconds == waits


def test_bill_and_blame_that_are_none_are_replaced() -> None:
    failure = as_output(NonRetryableError("no", blame="me", usage=None))  # type: ignore[arg-type]
    assert failure == Failure("no", blame=Blame.PROCESSOR, usage=NOTHING_BILLED)


def test_reason_to_retry_that_is_none_makes_the_failure_final() -> None:
    assert as_output(Failure("no", "foo")) == Failure("no", blame=Blame.PROCESSOR)  # type: ignore[arg-type]


class BareRetryableError(RetryableError):
    def __init__(self) -> None:
        Exception.__init__(self, "half made")


class BareNonRetryableError(NonRetryableError):
    def __init__(self) -> None:
        Exception.__init__(self, "half made")


@pytest.mark.parametrize("error", [BareRetryableError(), BareNonRetryableError()])
def test_error_that_is_half_made_fails_its_task_and_no_worker(error: TaskError) -> None:
    assert attempt(_raiser(error)) == Failure("half made", blame=Blame.PROCESSOR)


def _raiser(error: Exception) -> Any:
    def work() -> None:
        raise error

    return work
