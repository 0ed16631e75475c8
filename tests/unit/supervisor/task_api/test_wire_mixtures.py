"""Items between the two shapes are taken where they have one meaning, and left pending where not."""

import orjson
import pytest

from shared.models import Task, WireShape
from supervisor.task_api.wire_formats import LIST_FIELDS, Page, Refusal, RefusalReason, parse_page
from tests.builders import PROCESSORS

HELLO = {"text": "hello"}
KIND: dict[str, object] = {"type": "text-embedding"}
FLAT: dict[str, object] = {"id": "7", "type": "text-embedding", "status": "pending", "input_data": HELLO}
JSON_API: dict[str, object] = {
    "id": "7",
    "type": "ai-tasks",
    "attributes": {
        "type": "text-embedding",
        "status": "pending",
        "input_data": HELLO,
        "created_at": 1704164645,
    },
}


def parse(document: object) -> Page:
    return parse_page(orjson.dumps(document), PROCESSORS, lambda: "made-here")


def only_task(item: dict[str, object]) -> Task:
    page = parse([item])
    assert page.refusals == ()
    (task,) = page.tasks
    assert task.input.text == "hello"
    return task


def only_refusal(item: dict[str, object]) -> Refusal:
    page = parse([item])
    assert page.tasks == ()
    (refusal,) = page.refusals
    return refusal


@pytest.mark.parametrize(
    ("item", "shape"),
    [
        ({"id": "7", "state": "pending", "content": "hello"}, WireShape.NESTJS),
        ({"id": "7", "state": "pending", "content": HELLO}, WireShape.NESTJS),
        ({"_id": "7", "status": "pending", "input_data": HELLO}, WireShape.FLAT),
        ({"id": "7", "status": "pending", "content": "hello"}, WireShape.FLAT),
        ({"_id": "7", "state": "pending", "input_data": HELLO}, WireShape.NESTJS),
        ({"id": "7", "state": "pending", "input_data": HELLO}, WireShape.NESTJS),
        ({"id": "7", "status": "pending", "state": "CA", "input_data": HELLO}, WireShape.FLAT),
        ({"id": "7", "status": 200, "state": "pending", "content": "hello"}, WireShape.NESTJS),
        ({"id": "7", "input_data": HELLO}, WireShape.FLAT),
        ({"_id": "7", "content": "hello"}, WireShape.NESTJS),
        ({"id": "7", "status": "pending", "input_data": None, "content": "hello"}, WireShape.FLAT),
        ({"id": "7", "status": "pending", "input_data": HELLO, "content": None}, WireShape.FLAT),
        ({"id": "7", "status": "pending", "input_data": HELLO, "content": "a title"}, WireShape.FLAT),
        ({"id": "7", "_id": "7", "state": "pending", "content": "hello"}, WireShape.NESTJS),
        ({"id": "7", "_id": "7", "status": "pending", "input_data": HELLO}, WireShape.FLAT),
        ({"id": 7, "_id": "7", "status": "pending", "input_data": HELLO}, WireShape.FLAT),
        ({"id": None, "_id": "7", "status": "pending", "input_data": HELLO}, WireShape.FLAT),
        ({"_id": {"$oid": "7"}, "state": "pending", "content": "hello"}, WireShape.NESTJS),
    ],
)
def test_mixture_with_one_meaning_is_taken_and_reported_as_its_state_field_says(
    item: dict[str, object], shape: WireShape
) -> None:
    task = only_task(KIND | item)
    assert (task.id, task.shape) == ("7", shape)


@pytest.mark.parametrize(
    ("item", "task_id"),
    [
        ({"id": "1", "_id": "2", "status": "pending", "input_data": HELLO}, "1"),
        ({"id": "1", "_id": "2", "state": "pending", "content": "hello"}, "2"),
    ],
)
def test_of_two_ids_that_of_the_shape_counts(item: dict[str, object], task_id: str) -> None:
    assert only_task(KIND | item).id == task_id


@pytest.mark.parametrize(
    "item",
    [
        {"id": "1", "_id": "2", "state": "pending", "input_data": HELLO},
        {"id": "1", "_id": "2", "input_data": HELLO, "content": "hello"},
        {"id": "7", "_id": "7", "state": "pending", "status": "pending", "input_data": HELLO, "content": "a"},
        {"id": "7", "status": "pending"},
        {"id": "7", "status": "pending", "payload": HELLO},
    ],
)
def test_mixture_without_one_meaning_is_left_as_it_is(item: dict[str, object]) -> None:
    refusal = only_refusal(KIND | item)
    assert refusal.reason is RefusalReason.AMBIGUOUS_SHAPE
    assert refusal.address is None


def test_item_without_a_type_is_left_as_it_is() -> None:
    refusal = only_refusal({"id": "7", "status": "pending", "input_data": HELLO})
    assert refusal.reason is RefusalReason.AMBIGUOUS_SHAPE
    assert refusal.task_id == "7"


@pytest.mark.parametrize("field", ["task_type", "taskType"])
def test_type_may_stand_under_a_longer_name(field: str) -> None:
    assert only_task({"id": "7", field: "text-embedding", "status": "pending", "input_data": HELLO}).id == "7"


def test_item_of_json_api_is_taken_from_its_attributes() -> None:
    task = only_task(JSON_API)
    assert (task.id, task.shape, task.created_at_seconds) == ("7", WireShape.FLAT, 1704164645)


def test_item_of_json_api_may_be_nestjs_within() -> None:
    attributes = {"type": "text_embedding", "state": "pending", "content": "hello"}
    assert only_task(JSON_API | {"attributes": attributes}).shape is WireShape.NESTJS


def test_resource_type_of_json_api_may_be_the_tasks_type() -> None:
    attributes = {"status": "pending", "input_data": HELLO}
    assert only_task(JSON_API | {"type": "text-embedding", "attributes": attributes}).id == "7"


def test_resource_type_of_json_api_is_no_unknown_task_type() -> None:
    refusal = only_refusal(JSON_API | {"attributes": {"status": "pending", "input_data": HELLO}})
    assert (refusal.reason, refusal.address) == (RefusalReason.AMBIGUOUS_SHAPE, None)


def test_state_of_an_item_of_json_api_counts() -> None:
    attributes = {"type": "text-embedding", "status": "done", "input_data": HELLO}
    assert only_refusal(JSON_API | {"attributes": attributes}).reason is RefusalReason.NOT_PENDING


def test_attributes_of_a_flat_item_are_none_of_json_api() -> None:
    assert only_task(FLAT | {"attributes": {"status": "done"}}).id == "7"


@pytest.mark.parametrize("task_id", [7, 7.0, "7"])
def test_whole_number_is_an_id_however_it_is_written(task_id: object) -> None:
    assert only_task(FLAT | {"id": task_id}).id == "7"


@pytest.mark.parametrize("task_id", [7.5, float(2**60), -0.5, {"oid": "7"}, ["7"], True])
def test_anything_else_is_no_id(task_id: object) -> None:
    assert only_refusal(FLAT | {"id": task_id}).reason is RefusalReason.NO_ID


@pytest.mark.parametrize("field", LIST_FIELDS)
def test_items_with_content_may_stand_in_a_list_of_any_name(field: str) -> None:
    item = KIND | {"_id": "7", "state": "pending", "content": "hello"}
    page = parse({"content": {"total": 1}, field: [item], "pageable": {"content": 3}})
    assert [task.id for task in page.tasks] == ["7"]


@pytest.mark.parametrize("large_page_bytes", [4 * 2**20, 1])
def test_page_may_begin_with_a_byte_order_mark(
    monkeypatch: pytest.MonkeyPatch, large_page_bytes: int
) -> None:
    monkeypatch.setattr("supervisor.task_api.wire_formats.LARGE_PAGE_BYTES", large_page_bytes)
    for document in ([FLAT], {"items": [FLAT]}):
        page = parse_page(b"\xef\xbb\xbf" + orjson.dumps(document), PROCESSORS, lambda: "made-here")
        assert [task.id for task in page.tasks] == ["7"]


def test_huge_number_for_a_time_does_no_harm() -> None:
    body = b'[{"id":"7","type":"text-embedding","input_data":"hello","created_at":1' + b"0" * 390 + b"}]"
    (task,) = parse_page(body, PROCESSORS, lambda: "made-here").tasks
    assert task.created_at_seconds is None


def test_sought_task_in_another_state_is_not_listed() -> None:
    items = [{"id": "a", "status": "DONE"}, {"id": "b", "state": "PENDING"}, {"_id": "c"}]
    page = parse_page(
        orjson.dumps(items), PROCESSORS, lambda: "made-here", is_known=lambda _: True, sought=frozenset("abc")
    )
    assert page.listed == {"b", "c"}
