"""No page, however malformed, raises out of the parser; one bad item never takes the others with it."""

import json
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Self
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, model_validator

from shared.models import JsonValue, Task, WireShape
from supervisor.task_api.wire_formats import MAX_ID_CHARACTERS, Page, RefusalReason, parse_page
from tests.builders import PROCESSORS
from tests.unit.workers.test_factory import factory_of
from workers.processors.base import BaseProcessor, Context, Outcome
from workers.processors.text_embedding import EmbeddingInput, EmbeddingSettings, TextEmbeddingProcessor

# Lone surrogates included: a page may hold them as escapes.
TEXTS = st.text(st.characters(), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
JSON_VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
NAMES = ["id", "_id", "type", "status", "state", "input_data", "content", "created_at", "createdAt", "text"]
FIELDS = st.sampled_from([*NAMES, "correlation_id", "correlationId"])
LIKELY = st.sampled_from(["text-embedding", "text_embedding", "pending", "in_progress", "t1", "..", "hello"])
ITEMS = st.dictionaries(FIELDS, LIKELY | JSON_VALUES, max_size=8)
IDS = st.text(st.characters(), min_size=1, max_size=30) | st.sampled_from(
    ["../../x", "a/b?c#d", "a b", "😀", ".", "..", "x" * 10_240, "%2F", "\x00", "\r\n", "a\\b", "//host/x"]
)
GOOD = {"id": "good", "type": "text-embedding", "input_data": "hello"}


def parse(body: bytes) -> Page:
    return parse_page(body, PROCESSORS, lambda: "made-here")


def encode(document: object) -> bytes:
    """As other programs write it: NaN, Infinity and lone surrogates included."""
    return json.dumps(document).encode()


@given(st.binary())
@example(b"\xff" * 100)
@example(b"\xef\xbb\xbf[]")
@example("[]".encode("utf-16"))
@example(b'{"tasks": [')
def test_any_bytes_are_a_page_or_a_fault(body: bytes) -> None:
    page = parse(body)
    assert page.items == 0 or page.fault is None


@settings(max_examples=60)
@given(
    JSON_VALUES
    | st.lists(ITEMS | JSON_VALUES)
    | st.dictionaries(st.sampled_from(["tasks", "data", "items"]), st.lists(ITEMS) | JSON_VALUES)
)
@example([float("nan"), float("inf"), "\ud800"])
def test_any_json_is_a_page_or_a_fault(document: object) -> None:
    page = parse(encode(document))
    for task in page.tasks:
        assert task.id
        task.id.encode()
        task.correlation_id.encode("ascii")
    for refusal in page.refusals:
        refusal.message.encode()
        assert len(refusal.message) < 500


@settings(max_examples=60)
@given(st.lists(ITEMS, max_size=5), st.lists(ITEMS, max_size=5))
def test_good_item_is_taken_whatever_stands_beside_it(before: list[object], after: list[object]) -> None:
    page = parse(encode([*before, GOOD, *after]))
    assert page.fault is None
    assert any(task.id == "good" for task in page.tasks)
    assert page.items == len(before) + 1 + len(after)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("depth", [100, 500, 900, 950, 980, 990, 1000, 1010, 1015, 1020, 2000, 20_000])
@pytest.mark.parametrize(
    "field", ["type", "status", "input_data", "correlation_id", "created_at", "id", "more"]
)
def test_deep_nesting_does_not_raise(depth: int, field: str) -> None:
    others = "".join(f'"{name}":"x",' for name in ("id", "type", "input_data") if name != field)
    page = parse(f'[{{{others}"{field}":{nested(depth)}}}]'.encode())
    assert page.items == 1 or page.fault is not None


@pytest.mark.parametrize("depth", [2, 100, 1023, 1024, 1025, 5000, 100_000])
def test_page_that_is_nothing_but_nesting_does_not_raise(depth: int) -> None:
    page = parse(nested(depth).encode())
    assert page.items == 1 or page.fault is not None


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "-Infinity",
        '"\\ud800"',
        "1e999",
        "9" * 400,
        pytest.param("9" * 5000, id="a number of 5,000 digits"),
        pytest.param("[" * 2000 + "]" * 2000, id="2,000 lists in each other"),
    ],
)
@pytest.mark.parametrize("field", ["more", "input_data", "created_at", "correlation_id"])
def test_value_that_strict_parsers_refuse_spoils_its_own_item_at_most(field: str, value: str) -> None:
    bad = f'{{"id":"bad","type":"text-embedding","{field}":{value}}}'
    page = parse(f"[{bad},{json.dumps(GOOD)}]".encode())
    assert page.fault is None
    assert "good" in [task.id for task in page.tasks]


@pytest.mark.parametrize("field", ["id", "_id", "type", "status", "state", "correlation_id", "created_at"])
@pytest.mark.parametrize("entry", ["a", "\U0001f600", " ", "\x00"])
def test_word_of_100_kilobytes_is_never_repeated_in_full(field: str, entry: str) -> None:
    page = parse(encode([GOOD | {field: entry * 100_000}]))
    assert page.items == 1
    for task in page.tasks:
        assert len(task.correlation_id) <= 128
    for refusal in page.refusals:
        assert len(refusal.message) < 1100


@pytest.mark.parametrize("item", ["0", "[]", "{}", "oops", "NaN", '{"id":"x"}', '""'])
def test_no_more_items_are_read_than_were_asked_for(item: str) -> None:
    body = f"[{','.join([item] * 300_000)}]".encode()
    assert parse_page(body, PROCESSORS, lambda: "made-here", max_items=100).items == 100


@given(IDS)
@example("\ud800")
@example("a\udfffb")
def test_id_becomes_one_segment_of_a_path_or_is_refused(task_id: str) -> None:
    page = parse(encode([GOOD | {"id": task_id}]))
    if page.refusals:
        assert page.refusals[0].reason is RefusalReason.BAD_ID
        assert task_id in (".", "..") or len(task_id) > MAX_ID_CHARACTERS or not encodable(task_id)
        return
    (task,) = page.tasks
    assert task.id == task_id
    segment = quote(task.id, safe="")
    path = urlsplit(f"http://api.test/api/ai-tasks/{segment}").path
    assert path.split("/") == ["", "api", "ai-tasks", segment]
    assert unquote(segment) == task_id
    assert segment not in (".", "..")


def encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


SHAPES: dict[WireShape, Callable[[str, str], dict[str, object]]] = {
    WireShape.FLAT: lambda task_id, text: {
        "id": task_id,
        "type": "text-embedding",
        "input_data": {"text": text},
    },
    WireShape.NESTJS: lambda task_id, text: {"_id": task_id, "type": "text_embedding", "content": text},
}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(WireShape),
            st.text(min_size=1, max_size=9).filter(lambda name: name not in (".", "..")),
            st.text(min_size=1).filter(lambda text: not text.isspace()),
        )
    )
)
def test_every_good_item_keeps_its_id_shape_and_text(rows: list[tuple[WireShape, str, str]]) -> None:
    page = parse(encode([SHAPES[shape](task_id, text) for shape, task_id, text in rows]))
    assert page.refusals == ()
    assert [(task.shape, task.id, text_of(task)) for task in page.tasks] == rows


def text_of(task: Task) -> str:
    assert isinstance(task.input, EmbeddingInput)
    return task.input.text


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("error", [SystemExit(5), SpeechlessError(), KeyboardInterrupt()])
def test_input_that_makes_a_processor_raise_anything_refuses_its_task_alone(error: BaseException) -> None:
    class Raises(TextEmbeddingProcessor):
        def model(self, given: EmbeddingInput) -> str:
            if given.text == "bad":
                raise error
            return super().model(given)

    processors = factory_of(Raises(EmbeddingSettings.model_construct(None)))
    page = parse_page(encode([GOOD | {"id": "bad", "input_data": "bad"}, GOOD]), processors, lambda: "here")
    assert [task.id for task in page.tasks] == ["good"]
    assert [refusal.task_id for refusal in page.refusals] == ["bad"]


class Keeps(BaseModel):
    text: str
    made: Any = None
    _hidden: Any = None

    @model_validator(mode="after")
    def make(self) -> Self:
        if self.text == "no JSON":
            self.made = threading.Lock()
        if self.text == "no pickle":
            self._hidden = threading.Lock()
        return self


class KeepsALock(BaseProcessor[Keeps]):
    task_type: ClassVar[str] = "text-embedding"
    bare_string: ClassVar[str] = "text"

    def process(self, task: Task[Keeps], context: Context) -> Outcome:
        return task.input.text


@pytest.mark.parametrize("text", ["no JSON", "no pickle"])
def test_input_that_cannot_be_kept_refuses_its_task_alone(text: str) -> None:
    items = [GOOD | {"id": "bad", "input_data": text}, GOOD]
    page = parse_page(encode(items), factory_of(KeepsALock(None)), lambda: "made-here")
    assert [task.id for task in page.tasks] == ["good"]
    assert "cannot be kept" in page.refusals[0].message
