"""What the API is told: valid JSON with exactly the promised fields, in the shape the task came in."""

import json

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.models import JsonValue, Output, Usage, WireShape
from shared.plain_text import MAX_ERROR_MESSAGE_CHARACTERS, one_line
from supervisor.task_api.wire_formats import (
    claim_body,
    failure_body,
    give_back_body,
    success_body,
)

VECTORS = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5)
TOKENS = st.integers(0, 10**12)


@given(vector=VECTORS, model=st.text(), name=st.text(min_size=1), prompt=TOKENS, total=TOKENS)
def test_success_in_the_flat_shape(
    vector: list[float], model: str, name: str, prompt: int, total: int
) -> None:
    output = Output(name, orjson.dumps(vector), model, Usage(prompt, total))
    told = json.loads(success_body(WireShape.FLAT, output))
    # A name that is also that of a fixed field would stand there twice; names are ours, so none does.
    if name in ("model", "usage"):
        return
    assert told == {
        "status": "succeeded",
        "output_data": {
            name: vector,
            "model": model,
            "usage": {"prompt_tokens": prompt, "total_tokens": total},
        },
        "error_message": None,
    }


def test_further_fields_stand_in_the_flat_shape_in_place_of_the_usual_ones() -> None:
    usage: JsonValue = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    extra = {"finish_reason": "stop", "usage": usage}
    output = Output("text", b'"hello"', "m", Usage(2, 5, 3), extra)
    assert json.loads(success_body(WireShape.FLAT, output))["output_data"] == {
        "text": "hello",
        "model": "m",
        "usage": usage,
        "finish_reason": "stop",
    }
    assert json.loads(success_body(WireShape.NESTJS, output))["result"] == "hello"


@pytest.mark.parametrize(("shape", "field"), [(WireShape.FLAT, "output_data"), (WireShape.NESTJS, "result")])
def test_a_value_without_a_name_is_all_that_is_told(shape: WireShape, field: str) -> None:
    output = Output("", b'{"label":"spam"}', "m", Usage(1, 1))
    assert json.loads(success_body(shape, output))[field] == {"label": "spam"}


@given(vector=VECTORS)
def test_success_in_the_nestjs_shape_is_the_bare_vector(vector: list[float]) -> None:
    output = Output("embedding", orjson.dumps(vector), "m", Usage(1, 1))
    assert json.loads(success_body(WireShape.NESTJS, output)) == {"state": "succeeded", "result": vector}


@given(message=st.text(st.characters()))
@example(message="x" * 5000)
@example(message="\ud800" * 3000)
@example(message='"}\n\x1b[2J\x9b\u202e\u200b')
@pytest.mark.parametrize(
    ("shape", "state", "output", "error"),
    [
        (WireShape.FLAT, "status", "output_data", "error_message"),
        (WireShape.NESTJS, "state", "result", "error"),
    ],
)
def test_failure_is_told_in_one_plain_line(
    shape: WireShape, state: str, output: str, error: str, message: str
) -> None:
    told = json.loads(failure_body(shape, message))
    assert told == {state: "failed", output: None, error: one_line(message, MAX_ERROR_MESSAGE_CHARACTERS)}


@pytest.mark.parametrize("shape", WireShape)
def test_message_is_cut_at_five_hundred_characters(shape: WireShape) -> None:
    told = json.loads(failure_body(shape, "x" * 501))
    assert told.get("error_message", told.get("error")) == "x" * 499 + "…"


def test_claim_and_its_return_are_told_in_the_tasks_shape() -> None:
    assert json.loads(claim_body(WireShape.FLAT)) == {"status": "processing"}
    assert json.loads(claim_body(WireShape.NESTJS)) == {"state": "in_progress"}
    assert json.loads(give_back_body(WireShape.FLAT)) == {"status": "pending"}
    assert json.loads(give_back_body(WireShape.NESTJS)) == {"state": "pending"}
