"""What a pipe carries: it survives the trip, and knows what a batch shares."""

import pickle

import pytest

from shared.errors import Blame, ConfigurationError, NonRetryableError, RetryableError, RetryReason
from shared.messages import Failure, RateLimits, Unit, UnitDone, WorkerMessage, WorkerReady, WorkerUnfit
from tests.builders import make_output, make_task


def test_unit_shares_the_key_of_its_tasks() -> None:
    tasks = (make_task("a", model="m", dimensions=2), make_task("b", model="m", dimensions=2))
    assert Unit(1, tasks).key == tasks[0].key == tasks[1].key


def test_unit_is_as_large_as_its_tasks_together() -> None:
    assert Unit(1, (make_task("a", text="x" * 40), make_task("b", text="x" * 80))).size_bytes == 120


@pytest.mark.parametrize(
    "message",
    [
        WorkerReady(7),
        WorkerUnfit("no model"),
        UnitDone(1, {"a": make_output(), "b": Failure("no")}, rate_limits=RateLimits(1, 2, 3, 4, 5.0, 6.0)),
        UnitDone(2, failure=Failure("later", RetryReason.RATE_LIMIT, 1.5, Blame.WHOLE_UNIT)),
    ],
)
def test_message_arrives_as_it_was_sent(message: WorkerMessage) -> None:
    assert pickle.loads(pickle.dumps(message)) == message


def test_unit_arrives_as_it_was_sent() -> None:
    unit = Unit(1, (make_task("a"), make_task("b")), "some-model")
    assert pickle.loads(pickle.dumps(unit)) == unit


def test_configuration_error_keeps_each_fault() -> None:
    error = ConfigurationError("A: is missing", "B: is wrong")
    assert error.faults == ("A: is missing", "B: is wrong")
    assert str(error) == "A: is missing; B: is wrong"


def test_two_kinds_of_error_say_what_to_do_next() -> None:
    later = RetryableError("busy", reason=RetryReason.SERVER_ERROR, retry_after_seconds=3.0)
    never = NonRetryableError("bad", blame=Blame.WHOLE_UNIT)
    assert (str(later), later.reason, later.retry_after_seconds) == ("busy", RetryReason.SERVER_ERROR, 3.0)
    assert (str(never), never.blame) == ("bad", Blame.WHOLE_UNIT)
    assert NonRetryableError("bad").blame is Blame.SOME_TASKS


def test_text_that_stands_in_several_tasks_is_sent_and_counted_once() -> None:
    same = "x" * 40
    tasks = (make_task("a", text=same), make_task("b", text=same), make_task("c", text="y" * 5))
    assert Unit(1, tasks).size_bytes == 45
