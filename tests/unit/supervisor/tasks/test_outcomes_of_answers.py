"""A provider served the call, and its answer is no result: the task is FAILED, the provider is well."""

from structlog.testing import capture_logs

from shared.errors import Blame, RetryReason
from shared.messages import Failure, UnitDone
from shared.models import Output, Usage
from supervisor.pool.base import UnitFinished
from supervisor.status.status import NotReady
from tests.builders import make_output, make_settings
from tests.fakes.harness import Harness
from tests.unit.supervisor.tasks.one_worker import make_harness, told

CUT_OFF = Failure("the answer was cut off", blame=Blame.ANSWER, usage=Usage(10, 30, 20, 5, 15))


def answer_with(harness: Harness, outcome: Output | Failure) -> None:
    unit = harness.held[0]
    harness.turn(UnitFinished(0, UnitDone(unit.id, {task.id: outcome for task in unit.tasks})))


def test_task_is_failed_at_once_although_nothing_else_was_served() -> None:
    harness = make_harness("a")
    answer_with(harness, CUT_OFF)
    assert told(harness) == {"a": "the answer was cut off"}
    assert not harness.held, "no canary is asked"


def test_it_is_a_success_of_the_provider() -> None:
    settings = make_settings(concurrency_limit=1, batch_max_tasks=1, circuit_breaker_threshold=2)
    harness = Harness(settings)
    harness.start_workers()
    harness.list_tasks("a", "b", "c", "d")
    harness.fail(0, retry=RetryReason.SERVER_ERROR)
    answer_with(harness, CUT_OFF)
    harness.fail(0, retry=RetryReason.SERVER_ERROR)
    assert harness.held, "the breaker is closed: the two failures were not in a row"


def test_a_canary_that_is_cut_off_was_served() -> None:
    harness = make_harness("a")
    harness.fail(0, "bad input")
    [canary] = harness.held[0].tasks
    assert canary.id.startswith("canary-")
    answer_with(harness, CUT_OFF)
    assert told(harness) == {"a": "bad input"}
    assert NotReady.PROVIDER_HOLD not in harness.status.not_ready


def test_what_was_billed_all_the_same_is_in_the_log() -> None:
    harness = make_harness("a")
    answer_with(harness, CUT_OFF)
    with capture_logs() as lines:
        harness.answer()
    [line] = [line for line in lines if line["event"] == "task_finished"]
    kinds = {name: line[name] for name in line if name.endswith("tokens")}
    assert kinds == {
        "tokens": 30,
        "prompt_tokens": 10,
        "cached_tokens": 5,
        "completion_tokens": 20,
        "reasoning_tokens": 15,
    }


def test_the_log_names_no_kinds_where_nothing_is_generated() -> None:
    harness = make_harness("a")
    answer_with(harness, make_output(tokens=3))
    with capture_logs() as lines:
        harness.answer()
    [line] = [line for line in lines if line["event"] == "task_finished"]
    assert [name for name in line if name.endswith("tokens")] == ["tokens"]
