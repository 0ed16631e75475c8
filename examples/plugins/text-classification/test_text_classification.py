import pytest
from text_classification import TextClassificationProcessor

from workers.processors.base import NonRetryableError, RetryableError, RetryReason
from workers.testing import ProcessorKit, StubProvider

GIVEN = {"text": "The train was two hours late.", "labels": ["praise", "complaint"]}


def kit(*answers: str | Exception) -> ProcessorKit:
    return ProcessorKit(TextClassificationProcessor, provider=StubProvider(chat=answers))


def test_the_answer_is_one_of_the_labels() -> None:
    assert kit("complaint").run(GIVEN) == {"label": "complaint"}
    assert kit(' "Complaint".\n').run(GIVEN) == {"label": "complaint"}


def test_an_answer_off_the_list_is_asked_for_once_more() -> None:
    asked = kit("angry", "complaint")
    assert asked.run(GIVEN) == {"label": "complaint"}
    assert "angry is none of the labels" in asked.provider.requests[1].messages[-1].content


def test_two_answers_off_the_list_are_the_tasks_fault() -> None:
    with pytest.raises(NonRetryableError, match="none of the labels"):
        kit("angry", "very angry").run(GIVEN)


def test_trouble_of_the_provider_is_passed_on() -> None:
    with pytest.raises(RetryableError):
        kit(RetryableError("overloaded", reason=RetryReason.SERVER_ERROR)).run(GIVEN)


def test_one_label_is_no_choice() -> None:
    assert kit().refusal(GIVEN | {"labels": ["praise"]}).startswith('input: "labels" ')


def test_it_keeps_the_contract() -> None:
    kit("praise").check(GIVEN)


def test_no_input_breaks_it() -> None:
    kit("praise").fuzz(GIVEN)
