"""The two JSON shapes of the task API: a page of bytes to tasks, an outcome to the bytes of a report.

Everything here comes from outside and is hostile until parsed; nothing raises out of `parse_page`.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import orjson

from shared.errors import NonRetryableError
from shared.models import JsonValue, Output, Task, TaskType, WireShape
from shared.task_inputs import INPUT_PARSERS
from supervisor.task_api.lenient_json import MOST_ITEMS, UNREADABLE, NoListError, salvage_items

MAX_ID_CHARACTERS = 1024
MAX_ERROR_CHARACTERS = 2000
LARGE_PAGE_BYTES = 4 * 2**20
"""The parser of whole pages sets aside twelve times a page's size."""

LIST_FIELDS = ("tasks", "data", "items")
_CORRELATION_ID = re.compile(r"[\x21-\x7e]{1,128}")
_TAKEN_STATES = frozenset({"processing", "in_progress", "succeeded", "failed"})


class RefusalReason(StrEnum):
    """Why an item of a page is no task to run."""

    BAD_JSON = "bad_json"
    NOT_AN_OBJECT = "not_an_object"
    NO_ID = "no_id"
    BAD_ID = "bad_id"
    NOT_PENDING = "not_pending"
    UNKNOWN_TYPE = "unknown_type"
    BAD_INPUT = "bad_input"
    TEXT_TOO_LONG = "text_too_long"


@dataclass(frozen=True, slots=True)
class TaskAddress:
    """What is needed to report on a task, even on one that could not be parsed."""

    id: str
    shape: WireShape
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that is no task to run. `address` is None where there is nothing to report to."""

    reason: RefusalReason
    message: str
    address: TaskAddress | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the API. `fault` says why the whole of it could not be read."""

    tasks: tuple[Task, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    held: int = 0
    """Items that are in our hands already, and were not parsed again."""
    listed: frozenset[str] = frozenset()
    """Those of the sought tasks that are held, and that the page lists as pending."""
    fault: str | None = None

    @property
    def items(self) -> int:
        return len(self.tasks) + len(self.refusals) + self.held


def parse_page(
    body: bytes | bytearray,
    new_correlation_id: Callable[[], str],
    most: int = MOST_ITEMS,
    is_held: Callable[[str], bool] = lambda _: False,
    sought: frozenset[str] = frozenset(),
) -> Page:
    """Parse each item of a page alone, so that a bad one costs the others nothing; read `most` items.

    Items whose id `is_held` are only counted: of a page, they can be the most. Which of the `sought`
    tasks are pending is noted, of those that are held.
    """
    tasks: list[Task] = []
    refusals: list[Refusal] = []
    held = 0
    listed: set[str] = set()
    try:
        for item in _items(body, most):
            parsed = _parse_item(item, new_correlation_id, is_held)
            if isinstance(parsed, Task):
                tasks.append(parsed)
            elif isinstance(parsed, Refusal):
                refusals.append(parsed)
            else:
                held += 1
                if parsed in sought and _is_pending(item):
                    listed.add(parsed)
    except NoListError as error:
        return Page(fault=str(error))
    return Page(tuple(tasks), tuple(refusals), held, frozenset(listed))


def success_body(shape: WireShape, output: Output) -> bytes:
    """The body of a report of success, around the value's ready JSON."""
    if shape is WireShape.NESTJS:
        return b'{"state":"succeeded","result":' + output.value + b"}"
    rest = {
        "model": output.model,
        "usage": {"prompt_tokens": output.usage.prompt_tokens, "total_tokens": output.usage.total_tokens},
    }
    return b"".join(
        (
            b'{"status":"succeeded","output_data":{',
            orjson.dumps(output.name),
            b":",
            output.value,
            b",",
            orjson.dumps(rest)[1:-1],
            b'},"error_message":null}',
        )
    )


def failure_body(shape: WireShape, message: str) -> bytes:
    """The body of a report of failure. The message is cut to 2,000 characters."""
    text = message[:MAX_ERROR_CHARACTERS].encode(errors="replace").decode()
    if shape is WireShape.NESTJS:
        return orjson.dumps({"state": "failed", "result": None, "error": text})
    return orjson.dumps({"status": "failed", "output_data": None, "error_message": text})


def claim_body(shape: WireShape) -> bytes:
    """The body that tells the API that this service works on the task."""
    return b'{"state":"in_progress"}' if shape is WireShape.NESTJS else b'{"status":"processing"}'


def give_back_body(shape: WireShape) -> bytes:
    """The body that makes a claimed task anyone's again."""
    return b'{"state":"pending"}' if shape is WireShape.NESTJS else b'{"status":"pending"}'


def _items(body: bytes | bytearray, most: int) -> Iterable[object]:
    """Raises NoListError, be it while they are read."""
    if len(body) <= LARGE_PAGE_BYTES:
        # It refuses a whole page for one lone surrogate, NaN or deep nest in one item.
        with contextlib.suppress(orjson.JSONDecodeError):
            return _item_list(orjson.loads(body))
    return salvage_items(body, LIST_FIELDS, most)


def _item_list(document: object) -> list[object]:
    if isinstance(document, dict):
        document = next(
            (document[name] for name in LIST_FIELDS if isinstance(document.get(name), list)), None
        )
    if isinstance(document, list):
        return document
    raise NoListError(f"the page is no list, nor an object with one under {', '.join(LIST_FIELDS)}")


def _parse_item(
    item: object, new_correlation_id: Callable[[], str], is_held: Callable[[str], bool]
) -> Task | Refusal | str:
    """A task, why it is none, or the id of a task that is held."""
    if item is UNREADABLE:
        return Refusal(RefusalReason.BAD_JSON, "an item of the page is no JSON that can be read")
    if not isinstance(item, dict):
        return Refusal(RefusalReason.NOT_AN_OBJECT, f"an item of the page is a {type(item).__name__}")
    shape = WireShape.NESTJS if "_id" in item else WireShape.FLAT
    raw_id = item.get("_id" if shape is WireShape.NESTJS else "id")
    task_id = str(raw_id) if isinstance(raw_id, str | int) and not isinstance(raw_id, bool) else ""
    if not task_id:
        return Refusal(RefusalReason.NO_ID, "an item of the page has no id that is a string or whole number")
    if not _usable_id(task_id):
        return Refusal(RefusalReason.BAD_ID, f"the id {task_id[:40]!a} cannot stand as one segment of a path")
    if is_held(task_id):
        return task_id
    address = TaskAddress(task_id, shape, _correlation_id(item) or new_correlation_id())
    return _parse_task(item, address)


def _parse_task(item: Mapping[str, JsonValue], address: TaskAddress) -> Task | Refusal:
    nestjs = address.shape is WireShape.NESTJS
    state = item.get("state" if nestjs else "status")
    if isinstance(state, str) and state in _TAKEN_STATES:
        return Refusal(RefusalReason.NOT_PENDING, f"the page lists it as {state}")
    kind = item.get("type")
    name = kind if isinstance(kind, str) else f"({type(kind).__name__})"
    try:
        task_type = TaskType(name.replace("_", "-"))
    except ValueError:
        return Refusal(RefusalReason.UNKNOWN_TYPE, f"unknown task type {name[:80]!a}", address)
    try:
        parsed = INPUT_PARSERS[task_type](item.get("content" if nestjs else "input_data"))
    except NonRetryableError as error:
        return Refusal(RefusalReason.BAD_INPUT, str(error), address)
    return Task(
        id=address.id,
        key=parsed.key,
        payload=parsed.payload,
        shape=address.shape,
        correlation_id=address.correlation_id,
        size_bytes=parsed.size_bytes,
        length=parsed.length,
        created_at_seconds=_epoch_seconds(item.get("createdAt" if nestjs else "created_at")),
    )


def _is_pending(item: object) -> bool:
    return isinstance(item, dict) and not any(item.get(name) in _TAKEN_STATES for name in ("state", "status"))


def _usable_id(task_id: str) -> bool:
    # "." and ".." survive percent-encoding and would be resolved away by clients and proxies.
    if len(task_id) > MAX_ID_CHARACTERS or task_id in (".", ".."):
        return False
    try:
        task_id.encode()
    except UnicodeEncodeError:
        return False
    return True


def _correlation_id(item: Mapping[str, JsonValue]) -> str | None:
    for name in ("correlation_id", "correlationId"):
        value = item.get(name)
        if isinstance(value, str) and _CORRELATION_ID.fullmatch(value):
            return value
    return None


def _epoch_seconds(value: JsonValue) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
