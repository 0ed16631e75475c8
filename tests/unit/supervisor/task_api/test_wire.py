"""Pages of both shapes become tasks; items that are none cost the others nothing."""

from datetime import UTC, datetime

import orjson
import pytest

from shared.models import BatchKey, Task, WireShape
from supervisor.task_api.wire_formats import LIST_FIELDS, Page, Refusal, RefusalReason, parse_page
from tests.builders import PROCESSORS
from workers.processors.text_embedding import TEXT_EMBEDDING, EmbeddingInput

FLAT: dict[str, object] = {
    "id": "t1",
    "type": "text-embedding",
    "status": "pending",
    "input_data": {"text": "hello", "model": "large", "dimensions": 8},
    "created_at": "2024-01-02T03:04:05Z",
    "updated_at": "2024-01-02T03:04:05Z",
    "retry_count": 0,
}
NESTJS: dict[str, object] = {
    "_id": "t2",
    "type": "text_embedding",
    "state": "pending",
    "content": "hello",
    "callbackRoute": "/done",
    "callbackParams": {},
    "createdAt": "2024-01-02T03:04:05.000Z",
    "updatedAt": "2024-01-02T03:04:05.000Z",
}
TAKEN = ["processing", "in_progress", "succeeded", "failed", "PROCESSING", "cancelled", "completed", "queued"]
CREATED = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()


def parse(document: object) -> Page:
    return parse_page(orjson.dumps(document), PROCESSORS, lambda: "made-here")


def only_task(item: dict[str, object]) -> Task:
    page = parse([item])
    assert page.refusals == ()
    (task,) = page.tasks
    return task


def only_refusal(item: object) -> Refusal:
    page = parse([item])
    assert page.tasks == ()
    assert page.fault is None
    (refusal,) = page.refusals
    return refusal


def test_flat_item_is_a_task() -> None:
    assert only_task(FLAT) == Task(
        id="t1",
        key=BatchKey(TEXT_EMBEDDING, "large", "8"),
        input=EmbeddingInput(text="hello", model="large", dimensions=8),
        shape=WireShape.FLAT,
        correlation_id="made-here",
        size_bytes=5,
        created_at_seconds=CREATED,
        content_id=only_task(FLAT).content_id,
    )


def test_nestjs_item_is_a_task() -> None:
    assert only_task(NESTJS) == Task(
        id="t2",
        key=BatchKey(TEXT_EMBEDDING, "text-embedding-3-small"),
        input=EmbeddingInput(text="hello", model="text-embedding-3-small"),
        shape=WireShape.NESTJS,
        correlation_id="made-here",
        size_bytes=5,
        created_at_seconds=CREATED,
        content_id=only_task(NESTJS).content_id,
    )


def test_both_shapes_may_stand_in_one_page() -> None:
    page = parse([FLAT, NESTJS])
    assert [(task.id, task.shape) for task in page.tasks] == [("t1", "flat"), ("t2", "nestjs")]
    assert page.items == 2


@pytest.mark.parametrize("kind", ["text-embedding", "text_embedding"])
def test_type_may_be_written_with_dash_or_underscore(kind: str) -> None:
    assert only_task(FLAT | {"type": kind}).task_type == TEXT_EMBEDDING


@pytest.mark.parametrize("field", LIST_FIELDS)
def test_page_may_hold_its_list_in_an_object(field: str) -> None:
    assert len(parse({"total": 1, field: [FLAT]}).tasks) == 1


def test_list_is_found_beside_fields_that_are_none() -> None:
    assert len(parse({"data": {"more": True}, "items": [FLAT]}).tasks) == 1


def test_empty_page_is_no_fault() -> None:
    assert parse([]) == Page()


@pytest.mark.parametrize("document", [None, 1, "text", {}, {"tasks": None}, {"error": "no"}, {"rows": []}])
def test_document_without_a_list_is_a_fault_of_the_page(document: object) -> None:
    page = parse(document)
    assert page.items == 0
    assert page.fault is not None
    assert "tasks, data, items" in page.fault


@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"[", b"\xff\xfe\x00", b"\x00", b"nul"])
def test_body_that_is_no_json_is_a_fault_of_the_page(body: bytes) -> None:
    page = parse_page(body, PROCESSORS, lambda: "made-here")
    assert page.items == 0
    assert page.fault is not None
    assert "not JSON" in page.fault
    assert len(page.fault) < 250


def test_broken_items_cost_the_thousand_good_ones_nothing() -> None:
    good = [FLAT | {"id": f"t{number}"} for number in range(1000)]
    broken = [None, {"id": "bad", "type": "paint"}, FLAT | {"id": "empty", "input_data": {}}]
    page = parse(good[:500] + broken + good[500:])
    assert [task.id for task in page.tasks] == [item["id"] for item in good]
    assert [refusal.reason for refusal in page.refusals] == ["not_an_object", "unknown_type", "bad_input"]
    assert page.items == 1003


@pytest.mark.parametrize("item", [None, 1, "text", [], True])
def test_item_that_is_no_object_is_refused(item: object) -> None:
    refusal = only_refusal(item)
    assert refusal.reason is RefusalReason.NOT_AN_OBJECT
    assert refusal.address is None


@pytest.mark.parametrize("task_id", [None, "", True, 1.5, [], {}])
def test_item_without_an_id_has_nothing_to_report_to(task_id: object) -> None:
    refusal = only_refusal(FLAT | {"id": task_id})
    assert refusal.reason is RefusalReason.NO_ID
    assert refusal.address is None


@pytest.mark.parametrize(("task_id", "text"), [(0, "0"), (17, "17"), (2**63, str(2**63))])
def test_whole_number_is_an_id(task_id: int, text: str) -> None:
    assert only_task(FLAT | {"id": task_id}).id == text


@pytest.mark.parametrize("task_id", [".", "..", "x" * 1025, "é" * 1025])
def test_id_that_cannot_be_a_segment_of_a_path_is_refused(task_id: str) -> None:
    refusal = only_refusal(FLAT | {"id": task_id})
    assert refusal.reason is RefusalReason.BAD_ID
    assert refusal.address is None


@pytest.mark.parametrize("task_id", ["../../x", "a/b?c#d", "with space", "😀", "%2e%2e", "...", "x" * 1024])
def test_odd_id_is_kept_as_it_is(task_id: str) -> None:
    assert only_task(FLAT | {"id": task_id}).id == task_id


@pytest.mark.parametrize("state", [*TAKEN, "", 5, ["pending"]])
@pytest.mark.parametrize(("item", "field"), [(FLAT, "status"), (NESTJS, "state")])
def test_item_in_any_other_state_is_left_alone(item: dict[str, object], field: str, state: object) -> None:
    refusal = only_refusal(item | {field: state})
    assert refusal.reason is RefusalReason.NOT_PENDING
    assert refusal.address is None


@pytest.mark.parametrize("state", ["pending", "PENDING", "Pending", None])
def test_item_that_is_pending_or_has_no_state_is_taken(state: object) -> None:
    assert only_task(FLAT | {"status": state}).id == "t1"
    assert only_task(NESTJS | {"state": state}).id == "t2"


@pytest.mark.parametrize("kind", [None, "", "paint", 5, ["text-embedding"], {"a": 1}, "TEXT-EMBEDDING"])
def test_unknown_type_is_refused_and_can_be_reported(kind: object) -> None:
    refusal = only_refusal(FLAT | {"type": kind})
    assert refusal.reason is RefusalReason.UNKNOWN_TYPE
    assert refusal.message.startswith("unknown task type")
    assert refusal.address is not None
    assert refusal.address.id == "t1"


@pytest.mark.parametrize(("item", "field"), [(FLAT, "input_data"), (NESTJS, "content")])
def test_bad_input_is_refused_with_what_is_wrong_and_can_be_reported(
    item: dict[str, object], field: str
) -> None:
    refusal = only_refusal(item | {field: {"text": ""}})
    assert refusal.reason is RefusalReason.BAD_INPUT
    assert refusal.message == 'input: "text" is empty'
    assert refusal.address is not None
    assert refusal.address.shape is (WireShape.FLAT if item is FLAT else WireShape.NESTJS)


@pytest.mark.parametrize("field", ["correlation_id", "correlationId"])
def test_correlation_id_of_the_task_is_kept(field: str) -> None:
    assert only_task(FLAT | {field: "abc-123"}).correlation_id == "abc-123"


@pytest.mark.parametrize("value", [None, 5, "", "a b", "a\r\nX-Evil: 1", "é", "x" * 129])
def test_correlation_id_unfit_for_a_header_is_replaced(value: object) -> None:
    assert only_task(FLAT | {"correlation_id": value}).correlation_id == "made-here"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2024-01-02T03:04:05Z", CREATED),
        ("2024-01-02T03:04:05", CREATED),
        ("2024-01-02T04:04:05+01:00", CREATED),
        ("2024-01-02 03:04:05.000000", CREATED),
        ("yesterday", None),
        ("", None),
        (None, None),
        (1704164645, CREATED),
        (1704164645000, CREATED),
        (1704164645000000, CREATED),
        (1704164645.0, CREATED),
        (True, None),
        (-1, None),
        (2**63, None),
        (1e300, None),
        ("9999-12-31T23:59:59Z", None),
        ("9999-12-31T23:59:59-23:59", None),
        (253402300799, None),
        ("NaN", None),
        ("0001-01-01T00:00:00", None),
        ("0001-01-01T00:00:00+23:59", None),
    ],
)
def test_time_of_creation_is_taken_where_it_can_be_read(value: object, seconds: float | None) -> None:
    assert only_task(FLAT | {"created_at": value}).created_at_seconds == seconds


@pytest.mark.parametrize(
    "wrap", ["{}", '{{"data": {}}}', '{{"meta": {{"total": 2}}, "links": [], "data": {}}}']
)
def test_large_page_is_read_like_a_small_one(wrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.task_api.wire_formats.LARGE_PAGE_BYTES", 10)
    page = parse_page(
        wrap.format(orjson.dumps([FLAT, NESTJS]).decode()).encode(), PROCESSORS, lambda: "made-here"
    )
    assert page.fault is None
    assert [task.id for task in page.tasks] == ["t1", "t2"]


def test_item_that_is_known_is_counted_and_not_parsed_again() -> None:
    held = FLAT | {"id": "held", "type": "no such type"}
    page = parse_page(
        orjson.dumps([held, FLAT, held]), PROCESSORS, lambda: "made-here", is_known="held".__eq__
    )
    assert ([task.id for task in page.tasks], page.refusals) == ([FLAT["id"]], ())
    assert (page.known, page.items) == (2, 3)


def test_page_says_which_of_the_sought_tasks_are_pending() -> None:
    items = [FLAT | {"id": "a"}, FLAT | {"id": "b"}, FLAT | {"id": "done", "status": "succeeded"}, FLAT]
    page = parse_page(
        orjson.dumps(items),
        PROCESSORS,
        lambda: "made-here",
        is_known=lambda task_id: task_id != "t1",
        sought=frozenset({"a", "done", "other"}),
    )
    assert page.listed == {"a"}
    assert (page.known, page.items) == (3, 4)


@pytest.mark.parametrize("item", [FLAT, NESTJS], ids=["flat", "nestjs"])
@pytest.mark.parametrize(
    ("given", "priority"),
    [
        (5, 5),
        (-3, -3),
        (7.0, 7),
        ("12", 12),
        ("-12", -12),
        (1_000_000, 1_000_000),
        (-1_000_000, -1_000_000),
        (1_000_001, 0),
        (10**18, 0),
        ("9" * 5000, 0),
        (1e300, 0),
        (0.5, 0),
        (True, 0),
        (None, 0),
        ("high", 0),
        ("", 0),
        (" 5", 0),
        ("\u0665", 0),
        ([5], 0),
        ({"value": 5}, 0),
    ],
)
def test_priority_is_a_whole_number_and_anything_else_counts_as_0(
    item: dict[str, object], given: object, priority: int
) -> None:
    assert only_task(item | {"priority": given}).priority == priority


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5000])
def test_priority_that_is_no_number_of_json_costs_the_task_nothing(number: bytes) -> None:
    body = orjson.dumps([FLAT])[:-2] + b',"priority":' + number + b"}]"
    (task,) = parse_page(body, PROCESSORS, lambda: "made-here").tasks
    assert task.priority == 0
