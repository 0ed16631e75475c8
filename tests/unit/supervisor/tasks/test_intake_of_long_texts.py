"""A text that its model cannot take is failed at once, or taken where it can be embedded in pieces."""

import pytest

from shared.provider_accounts import LOCAL_MODEL
from tests.builders import make_processors, make_settings
from tests.fakes.harness import Harness, item
from tests.readings import reading
from workers.processors.text_embedding import LongText


def make_harness(long_text: LongText = LongText.FAIL, default_model: str = "", **fields: object) -> Harness:
    """No worker is ready, so that what was taken stays in the backlog."""
    processors = make_processors(default_model, long_text=long_text)
    harness = Harness(make_settings(**fields), processors=processors)
    harness.turn()
    return harness


def waiting(harness: Harness) -> list[str]:
    return [record.task.id for record in harness.backlog.records()]


LONG = {"text": "word " * 9000}


def test_text_longer_than_its_model_takes_is_failed_before_it_costs_a_call() -> None:
    harness = make_harness()
    harness.list_tasks("a", item("x", input_data=LONG))
    assert waiting(harness) == ["a"]
    (job,) = harness.answer_all()
    assert "longer than the 8,192 tokens that text-embedding-3-small takes" in str(job.body)
    assert reading(harness.metrics.rejected, "text_too_long") == 1


@pytest.mark.parametrize(
    ("long_text", "model"), [(LongText.MEAN, ""), (LongText.FAIL, LOCAL_MODEL)], ids=["in pieces", "local"]
)
def test_long_text_is_taken_where_it_can_be_embedded(long_text: LongText, model: str) -> None:
    harness = make_harness(long_text, model)
    harness.list_tasks(item("x", input_data=LONG))
    assert waiting(harness) == ["x"]


@pytest.mark.parametrize(("text", "size"), [("x" * 21, "21"), ("é" * 11, "22"), ("x" * 2000, "2,000")])
def test_text_of_more_bytes_than_the_setting_allows_is_failed_by_name_of_it(text: str, size: str) -> None:
    harness = make_harness(max_text_bytes=20, long_text=LongText.MEAN)
    harness.list_tasks(item("fits", input_data={"text": "x" * 20}), item("long", input_data={"text": text}))
    assert waiting(harness) == ["fits"]
    (job,) = harness.answer_all()
    assert job.task_id == "long"
    assert f"the text has {size} bytes, and MAX_TEXT_BYTES allows 20" in job.body.decode()
    assert reading(harness.metrics.rejected, "text_too_long") == 1
