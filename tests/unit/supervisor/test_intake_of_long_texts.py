"""A text that its model cannot take is failed at once, or taken where it can be embedded in pieces."""

import pytest

from shared.models import Provider
from shared.settings import LongText
from tests.builders import make_settings
from tests.fakes.house import House, item
from tests.readings import reading


def make_house(**fields: object) -> House:
    """No worker is ready, so that what was taken stays in the backlog."""
    house = House(make_settings(**fields))
    house.turn()
    return house


def waiting(house: House) -> list[str]:
    return [record.task.id for record in house.backlog.records()]


LONG = {"text": "word " * 9000}


def test_text_longer_than_its_model_takes_is_failed_before_it_costs_a_call() -> None:
    house = make_house()
    house.list_tasks("a", item("x", input_data=LONG))
    assert waiting(house) == ["a"]
    (parcel,) = house.answer_all()
    assert "longer than the 8,192 tokens that text-embedding-3-small takes" in str(parcel.body)
    assert reading(house.metrics.rejected, "text_too_long") == 1


@pytest.mark.parametrize("fields", [{"long_text": LongText.MEAN}, {"embedding_provider": Provider.LOCAL}])
def test_long_text_is_taken_where_it_can_be_embedded(fields: dict[str, object]) -> None:
    house = make_house(**fields)
    house.list_tasks(item("x", input_data=LONG))
    assert waiting(house) == ["x"]


@pytest.mark.parametrize(("text", "size"), [("x" * 21, "21"), ("é" * 11, "22"), ("x" * 2000, "2,000")])
def test_text_of_more_bytes_than_the_setting_allows_is_failed_by_name_of_it(text: str, size: str) -> None:
    house = make_house(max_text_bytes=20, long_text=LongText.MEAN)
    house.list_tasks(item("fits", input_data={"text": "x" * 20}), item("long", input_data={"text": text}))
    assert waiting(house) == ["fits"]
    (parcel,) = house.answer_all()
    assert parcel.task_id == "long"
    assert f"the text has {size} bytes, and MAX_TEXT_BYTES allows 20" in parcel.body.decode()
    assert reading(house.metrics.rejected, "text_too_long") == 1


def test_bytes_are_looked_at_before_tokens() -> None:
    house = make_house(max_text_bytes=20)
    house.list_tasks(item("x", input_data=LONG))
    assert b"MAX_TEXT_BYTES" in house.answer_all()[0].body
