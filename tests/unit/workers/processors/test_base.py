"""A processor's code runs, whatever it raises."""

from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict
from structlog.testing import capture_logs

from shared.errors import Blame, NonRetryableError, RetryableError, RetryReason, TaskError
from shared.messages import Failure
from shared.models import BatchKey, Output, Task
from tests.unit.workers.processors.contexts import NoProvider, make_context
from workers.processors.base import (
    BaseProcessor,
    Context,
    Limits,
    Outcome,
    as_output,
    attempt,
    strings_in,
)
from workers.processors.text_embedding import EmbeddingSettings, TextEmbeddingProcessor


class Say(BaseModel):
    text: str
    tags: list[str] = []


class Echo(BaseProcessor[Say]):
    task_type: ClassVar[str] = "echo"

    def process(self, task: Task[Say], context: Context) -> Outcome:
        text = task.input.text
        if text == "later":
            raise RetryableError("not now", reason=RetryReason.SERVER_ERROR)
        if text == "broken":
            raise ZeroDivisionError("by zero")
        if text == "memory":
            raise MemoryError
        return {"said": text, "attempt": context.attempt}


class OnlyOnce(Echo):
    answers_equals_once: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def process(self, task: Task[Say], context: Context) -> Outcome:
        self.runs += 1
        return super().process(task, context)


def run(processor: BaseProcessor[Say], *texts: str) -> dict[str, Outcome]:
    tasks = [processor.make_task(Say(text=text), f"{text}-{number}") for number, text in enumerate(texts)]
    return dict(processor.process_batch(tasks, make_context(NoProvider())))


def test_each_task_of_a_batch_stands_or_falls_alone() -> None:
    assert run(Echo(), "good", "later", "broken", "fine") == {
        "good-0": {"said": "good", "attempt": 1},
        "later-1": Failure("not now", retry=RetryReason.SERVER_ERROR),
        "broken-2": Failure("ZeroDivisionError: by zero", blame=Blame.PROCESSOR),
        "fine-3": {"said": "fine", "attempt": 1},
    }


def test_equal_inputs_are_run_once_where_the_processor_says_so() -> None:
    processor = OnlyOnce()
    assert run(processor, "a", "b", "a").keys() == {"a-0", "b-1", "a-2"}
    assert processor.runs == 2


def test_want_of_memory_is_a_crash_and_no_failed_task() -> None:
    with pytest.raises(MemoryError):
        run(Echo(), "memory")


def test_class_with_process_alone_takes_no_batches() -> None:
    assert not Echo().takes_batches
    assert TextEmbeddingProcessor(EmbeddingSettings.model_construct(None)).takes_batches


def test_what_follows_from_an_input_needs_no_line_of_the_author() -> None:
    task = Echo().make_task(Say(text="é", tags=["abc"]), "t-1")
    assert task.key == BatchKey("echo")
    assert task.size_bytes == 5
    assert task.question == "t-1"


def test_key_holds_model_group_and_provider() -> None:
    class Chosen(Echo):
        def model(self, given: Say) -> str:
            return "m"

        def batch_key(self, given: Say) -> object:
            return len(given.text)

        def provider(self, given: Say) -> str | None:
            return "ollama"

    assert Chosen().key(Say(text="abc")) == BatchKey("echo", "m", "3", "ollama")


@pytest.mark.parametrize(
    ("result", "name", "value"),
    [
        ({"a": 1}, "", b'{"a":1}'),
        (Say(text="x"), "", b'{"text":"x","tags":[]}'),
        ([1, "b"], "result", b'[1,"b"]'),
        ("text", "result", b'"text"'),
        (None, "result", b"null"),
    ],
)
def test_a_result_is_any_json(result: Outcome, name: str, value: bytes) -> None:
    output = as_output(result)
    assert isinstance(output, Output)
    assert (output.name, output.value) == (name, value)


@pytest.mark.parametrize("result", [float("nan"), {"a": [float("inf")]}, {1, 2}, object()])
def test_a_result_that_is_no_json_fails_the_task_by_the_processors_fault(result: Any) -> None:
    failure = as_output(result)
    assert isinstance(failure, Failure)
    assert failure.blame is Blame.PROCESSOR
    assert failure.message.startswith("the processor's result is no JSON: ")


def test_an_error_that_was_yielded_concerns_its_task_alone() -> None:
    assert as_output(NonRetryableError("no")) == Failure("no")


def test_strings_of_an_input_are_found_wherever_they_are() -> None:
    given = {"text": "a", "more": ["b", {"c": "d"}, 3, None], "model": Say(text="e", tags=["f"])}
    assert list(strings_in(given)) == ["a", "b", "d", "e", "f"]


@dataclass(slots=True)
class Saying:
    text: str
    more: list[str]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


@pytest.mark.parametrize(
    "given",
    [Saying("a", ["b"]), Open(first="a", then=["b"]), deque(["a", "b"]), {"x": Saying("a", ["b"])}],
    ids=["dataclass", "extra fields", "deque", "dataclass within"],
)
def test_strings_are_found_in_whatever_an_input_may_be(given: object) -> None:
    assert list(strings_in(given)) == ["a", "b"]


def test_many_faults_are_told_in_bounded_words() -> None:
    with pytest.raises(NonRetryableError, match="and 4997 more") as raised:
        Echo().parse({"text": "a", "tags": [1] * 5000})
    assert len(str(raised.value)) < 1100


def raising(error: BaseException) -> Failure | None:
    def work() -> None:
        raise error

    return attempt(work)


def test_what_goes_well_is_returned() -> None:
    assert attempt(lambda: 7) == 7


def test_a_retryable_error_keeps_its_reason_and_wait() -> None:
    error = RetryableError("later", reason=RetryReason.RATE_LIMIT, retry_after_seconds=3.0)
    assert raising(error) == Failure("later", retry=RetryReason.RATE_LIMIT, retry_after_seconds=3.0)


def test_a_final_error_keeps_its_blame() -> None:
    assert raising(NonRetryableError("no", blame=Blame.WHOLE_UNIT)) == Failure("no", blame=Blame.WHOLE_UNIT)


def test_a_bare_task_error_is_final() -> None:
    assert raising(TaskError("no")) == Failure("no")


def test_anything_else_fails_with_its_type_and_message() -> None:
    assert raising(KeyError("colour")) == Failure("KeyError: 'colour'", blame=Blame.PROCESSOR)


def test_an_endless_message_is_cut() -> None:
    failure = raising(ValueError("x" * 10_000))
    assert failure is not None
    assert len(failure.message) == 500


def test_the_log_says_where_but_never_quotes_the_message() -> None:
    with capture_logs() as lines:
        raising(ValueError("the text of a task"))
    assert lines[0]["error_type"] == "ValueError"
    assert lines[0]["where"].startswith("test_base.py:")
    assert "the text of a task" not in str(lines)


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(3), KeyboardInterrupt()])
def test_what_must_end_the_process_is_not_held_up(error: BaseException) -> None:
    with pytest.raises(type(error)):
        raising(error)


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class SpeechlessFinalError(NonRetryableError):
    __str__ = SpeechlessError.__str__


@pytest.mark.parametrize("error", [SpeechlessError(), SpeechlessFinalError("no")])
def test_error_whose_text_cannot_be_had_fails_its_task_and_not_the_process(error: Exception) -> None:
    failure = raising(error)
    assert failure is not None
    assert failure.message.endswith("(its text cannot be had: ValueError)")


def test_reason_that_is_none_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="bogus"):
        RetryableError("later", reason="bogus")  # type: ignore[arg-type]  # what a plug-in may write


@pytest.mark.parametrize("batch", [0, -1, 1.5, True])
def test_batch_of_limits_is_a_number_of_tasks(batch: Any) -> None:
    with pytest.raises(ValueError, match="batch must be"):
        Limits(batch=batch)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e12])
def test_timeout_of_limits_is_a_time_that_comes(seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout_seconds must be"):
        Limits(timeout_seconds=seconds)


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("model", 7),
        ("model", "\ud800"),
        ("provider", 7),
        ("batch_key", "k" * 10_001),
        ("size_bytes", "7"),
        ("size_bytes", -1),
        ("size_bytes", float("nan")),
        ("length", "long"),
    ],
)
def test_method_that_returns_what_the_service_cannot_use_is_named(method: str, value: Any) -> None:
    kind = type("Odd", (Echo,), {method: lambda _self, _given: value})
    with pytest.raises((ValueError, TypeError, NonRetryableError), match=f"{method} must be"):
        kind().make_task(Say(text="a"), "t")
