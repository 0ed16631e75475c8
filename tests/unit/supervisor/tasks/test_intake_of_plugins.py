"""What a plug-in says of an input that it cannot read goes to the API; logs and pages quote no text of it."""

from collections.abc import MutableMapping
from typing import Annotated, Any, ClassVar, Literal

import orjson
import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.errors import NonRetryableError
from shared.models import JsonValue
from supervisor.task_api.wire_formats import parse_page
from tests.builders import make_settings
from tests.fakes.harness import Harness, item
from tests.unit.workers.test_factory import factory_of
from workers.processors.base import BaseProcessor, Context, Outcome, Task

Lines = list[MutableMapping[str, Any]]
TEXT = "the quick brown fox jumps over the lazy dog"


class Square(BaseModel):
    kind: Literal["square"]


class Circle(BaseModel):
    kind: Literal["circle"]


class Given(BaseModel):
    model_config = ConfigDict(extra="forbid")

    checked: str = ""
    number: str = "1"
    shape: Annotated[Square | Circle, Field(discriminator="kind")] | None = None

    @field_validator("checked")
    @classmethod
    def _check(cls, value: str) -> str:
        if value:
            raise ValueError(f"{value} is not what is wanted")
        return value


class Fussy(BaseProcessor[Given]):
    task_type: ClassVar[str] = "fussy"

    def parse(self, given: JsonValue) -> Given:
        if isinstance(given, dict) and "refused" in given:
            raise NonRetryableError(f"refused: {given['refused']}")
        return super().parse(given)

    def model(self, given: Given) -> str:
        return str(int(given.number))

    def process(self, task: Task[Given], context: Context) -> Outcome:
        return None


def refused(given: object) -> tuple[Harness, str]:
    """The service, and what it tells the API."""
    harness = Harness(make_settings(), processors=factory_of(Fussy()))
    harness.start_workers()
    harness.list_tasks(item("a", type="fussy", input_data=given))
    return harness, orjson.loads(harness.answer().body)["error_message"]


@pytest.mark.parametrize(
    "given", [{"checked": TEXT}, {"number": TEXT}, {"refused": TEXT}], ids=["validator", "bug", "refusal"]
)
def test_text_that_a_plugin_quotes_goes_to_the_api_alone(given: object, log_lines: Lines) -> None:
    harness, message = refused(given)
    assert TEXT in message
    (line,) = [line for line in log_lines if line["event"] == "task_refused"]
    assert "[text]" in line["detail"]
    assert TEXT not in str(log_lines) + str(harness.status)


def test_tag_that_no_input_may_have_is_not_repeated() -> None:
    _, message = refused({"shape": {"kind": TEXT}})
    assert message == "input: \"shape\" must have as 'kind' one of 'square', 'circle'"


@pytest.mark.parametrize("given", [{"k" * 100_000: 1}, {"refused": "x" * 100_000}])
def test_words_about_an_input_are_bounded(given: object, log_lines: Lines) -> None:
    refused(given)
    (line,) = [line for line in log_lines if line["event"] == "task_refused"]
    assert len(line["detail"]) < 500


@pytest.mark.parametrize("depth", [100, 400, 600, 900, 1000])
def test_depth_of_an_input_takes_no_page_down(depth: int) -> None:
    given = b'{"refused":' + b"[" * depth + f'"{TEXT}"'.encode() + b"]" * depth + b"}"
    body = b'[{"id":"a","type":"fussy","status":"pending","input_data":' + given + b"}]"
    (refusal,) = parse_page(body, factory_of(Fussy()), lambda: "made-here").refusals
    assert TEXT not in refusal.shown_message
