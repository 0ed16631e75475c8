"""The two JSON shapes of the task API: from a page of bytes to tasks, from an outcome to a report's bytes.

Whatever comes in is hostile until it is parsed; `parse_page` never raises. Mixtures of both shapes are read
where they have one meaning. The shape of a report follows from the task's state field: `status` is flat,
`state` is nestjs. Only where neither or both are there do the names of the input and of the id decide.
"""

import contextlib
import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import orjson
from pydantic_core import to_jsonable_python

from shared.errors import InputTooLongError, NonRetryableError
from shared.models import JsonValue, Output, Task, WireShape
from shared.plain_text import (
    MAX_ERROR_MESSAGE_CHARACTERS,
    one_line,
    safe_message,
    type_and_words,
    words_of,
)
from supervisor.task_api.lenient_json import MAX_ITEMS, UNREADABLE, NoListError, read_items
from workers.factory import ProcessorFactory
from workers.plugins import AnyProcessor
from workers.process.redaction import without_quotes
from workers.processors.base import strings_in

LARGE_PAGE_BYTES = 4 * 2**20
"""The parser of whole pages sets aside twelve times a page's size."""

LIST_FIELDS = ("tasks", "data", "items", "results", "content")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_ID_CHARACTERS = 1024
MAX_WORD_CHARACTERS = 200
"""No type, state, time or correlation id is longer."""
MAX_EXACT = 2**53
MAX_PRIORITY = 1_000_000
PENDING = frozenset({"pending"})
CLAIMED = PENDING | {"processing", "in_progress"}
"""States of a task that is to be run: in a page that is listed, and in one that is claimed."""
UNKNOWN_TYPE = "unknown"
"""In logs and metrics, for an item whose type no processor has."""
NO_SHAPE = "its fields are neither status and input_data alone nor state and content alone"
EARLIEST_EPOCH_SECONDS = 946_684_800.0
LATEST_EPOCH_SECONDS = 4_102_444_800.0
"""The years 2000 and 2100. Other times stand for something else."""
EPOCH_UNITS = ((1e14, 1e6), (1e11, 1e3), (0.0, 1.0))
"""The smallest number of a unit, and how many units make a second: micro-, milliseconds, seconds."""

_CORRELATION_ID = re.compile(r"[\x21-\x7e]{1,128}")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,7}")
_TYPE_FIELDS = ("type", "task_type", "taskType")
_STATE_FIELDS = {WireShape.FLAT: "status", WireShape.NESTJS: "state"}
_INPUT_FIELDS = {WireShape.FLAT: "input_data", WireShape.NESTJS: "content"}
_ID_FIELDS = ("id", "_id")
_OTHER = {WireShape.FLAT: WireShape.NESTJS, WireShape.NESTJS: WireShape.FLAT}

Item = Mapping[str, JsonValue]


class RefusalReason(StrEnum):
    """Why an item of a page is no task to run."""

    BAD_JSON = "bad_json"
    NOT_AN_OBJECT = "not_an_object"
    NO_ID = "no_id"
    BAD_ID = "bad_id"
    NOT_PENDING = "not_pending"
    AMBIGUOUS_SHAPE = "ambiguous_shape"
    UNKNOWN_TYPE = "unknown_type"
    BROKEN_TYPE = "broken_type"
    """There is a processor, and it cannot be used: the task waits until it is mended."""
    BAD_INPUT = "bad_input"
    TEXT_TOO_LONG = "text_too_long"
    NO_PROVIDER = "no_provider"
    """No provider serves the model that the task names."""


@dataclass(frozen=True, slots=True)
class TaskAddress:
    """What is needed to report on a task, even on one that could not be parsed."""

    id: str
    shape: WireShape
    correlation_id: str
    task_type: str = UNKNOWN_TYPE


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that is no task to run. Without an `address` it is left as it is. `task_id` is for the log."""

    reason: RefusalReason
    message: str
    address: TaskAddress | None = None
    task_id: str | None = None
    shown: str = ""
    """The message for logs and status, where the message itself may quote a text."""

    @property
    def shown_message(self) -> str:
        return self.shown or self.message


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the API. `fault` says why the whole of it could not be read."""

    tasks: tuple[Task, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    known: int = 0
    """Items of tasks that are in the journal already: they are not parsed again."""
    listed: frozenset[str] = frozenset()
    """Those of the sought tasks that the page lists as pending."""
    fault: str | None = None

    @property
    def items(self) -> int:
        return len(self.tasks) + len(self.refusals) + self.known


def parse_page(
    body: bytes | bytearray,
    processors: ProcessorFactory,
    new_correlation_id: Callable[[], str],
    max_items: int = MAX_ITEMS,
    is_known: Callable[[str], bool] = lambda _: False,
    sought: frozenset[str] = frozenset(),
    *,
    claimed: bool = False,
) -> Page:
    """Parse each item alone, so that a bad one costs the others nothing; read at most `max_items`.

    Items that are known are only counted, as they can be most of a page. `sought` tasks are known ones.
    A page that was `claimed` lists its tasks as being worked on.
    """
    states = CLAIMED if claimed else PENDING
    tasks: list[Task] = []
    refusals: list[Refusal] = []
    known = 0
    listed: set[str] = set()
    try:
        for item in _items(body, max_items):
            parsed = parse_item(item, processors, new_correlation_id, is_known, states)
            if isinstance(parsed, Task):
                tasks.append(parsed)
            elif isinstance(parsed, Refusal):
                refusals.append(parsed)
            else:
                known += 1
                if parsed in sought and is_pending(item, processors):
                    listed.add(parsed)
    except NoListError as error:
        return Page(fault=str(error))
    return Page(tuple(tasks), tuple(refusals), known, frozenset(listed))


def _items(body: bytes | bytearray, max_items: int) -> Iterable[object]:
    """Raises NoListError, at once or while the items are read."""
    if body.startswith(BYTE_ORDER_MARK):  # noqa: FURB188  `removeprefix` copies a page that has none
        body = body[len(BYTE_ORDER_MARK) :]
    if len(body) <= LARGE_PAGE_BYTES:
        # It refuses a whole page for one lone surrogate, NaN or deep nest in one item.
        with contextlib.suppress(orjson.JSONDecodeError):
            return _item_list(orjson.loads(body))[:max_items]
    return read_items(body, LIST_FIELDS, max_items)


def _item_list(document: object) -> list[object]:
    if isinstance(document, dict):
        document = next(
            (document[name] for name in LIST_FIELDS if isinstance(document.get(name), list)), None
        )
    if isinstance(document, list):
        return document
    raise NoListError(f"the page is no list, nor an object with one under {', '.join(LIST_FIELDS)}")


def parse_item(
    item: object,
    processors: ProcessorFactory,
    new_correlation_id: Callable[[], str],
    is_known: Callable[[str], bool],
    states: frozenset[str] = PENDING,
) -> Task | Refusal | str:
    """A task, why the item is none, or the id of a task that is known. Anything may come in.

    A task is to be run where its state is one of `states`.
    """
    if item is UNREADABLE:
        return Refusal(
            RefusalReason.BAD_JSON,
            "an item of the page is no JSON that can be read, or has more than 4 MB beside its long texts",
        )
    if not isinstance(item, dict):
        return Refusal(RefusalReason.NOT_AN_OBJECT, f"an item of the page is a {type(item).__name__}")
    fields = _flattened(item, processors)
    task_id = _task_id(fields)
    if isinstance(task_id, Refusal):
        return task_id
    if is_known(task_id):
        return task_id
    shape = _shape(fields)
    if shape is None:
        return Refusal(RefusalReason.AMBIGUOUS_SHAPE, NO_SHAPE, task_id=task_id)
    if state_fault := _state_fault(fields, shape, states):
        return Refusal(RefusalReason.NOT_PENDING, state_fault, task_id=task_id)
    type_name = next((fields[name] for name in _TYPE_FIELDS if name in fields), None)
    processor = _processor(type_name, processors)
    task_type = processor.task_type if processor else UNKNOWN_TYPE
    address = TaskAddress(task_id, shape, _correlation_id(fields) or new_correlation_id(), task_type)
    if processor is None:
        return _without_processor(fields, type_name, address, processors)
    return _parse_task(fields, address, processor, processors)


def is_pending(item: object, processors: ProcessorFactory) -> bool:
    """Is the item one that the page lists as pending?"""
    if not isinstance(item, dict):
        return False
    fields = _flattened(item, processors)
    return _state_fault(fields, _shape(fields), PENDING) is None


def _flattened(item: Item, processors: ProcessorFactory) -> Item:
    """An item of JSON:API with its attributes moved up beside its id; any other item as it is."""
    attributes = item.get("attributes")
    if not isinstance(attributes, dict) or any(name in item for name in _INPUT_FIELDS.values()):
        return item
    flattened = {**attributes, **{name: item[name] for name in _ID_FIELDS if name in item}}
    is_type = _processor(item.get("type"), processors) is not None
    if is_type and not any(name in attributes for name in _TYPE_FIELDS):
        flattened["type"] = item["type"]
    return flattened


def _shape(fields: Item) -> WireShape | None:
    """How to report on the item; None where its fields do not say."""
    for flat, nestjs in (("status", "state"), ("input_data", "content"), ("id", "_id")):
        if (flat in fields) is not (nestjs in fields):
            return WireShape.FLAT if flat in fields else WireShape.NESTJS
    return None


def _task_id(fields: Item) -> str | Refusal:
    flat, nestjs = id_text(fields.get("id")), id_text(fields.get("_id"))
    text = flat or nestjs
    if not text:
        return Refusal(RefusalReason.NO_ID, "an item of the page has no id that is a string or whole number")
    if flat and nestjs and flat != nestjs:
        shape = _shape(fields)
        if shape is None or _INPUT_FIELDS[_OTHER[shape]] in fields:
            return Refusal(RefusalReason.AMBIGUOUS_SHAPE, "an item of the page has an id and another _id")
        text = flat if shape is WireShape.FLAT else nestjs
    if not _usable_id(text):
        return Refusal(RefusalReason.BAD_ID, f"the id {text[:40]!a} cannot stand as one segment of a path")
    return text


def id_text(value: object) -> str:
    """The id as it stands in a path; empty if it is none."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, dict) and value.keys() == {"$oid"}:
        value = value["$oid"]  # MongoDB's Extended JSON
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_EXACT:
        value = int(value)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _usable_id(task_id: str) -> bool:
    # "." and ".." survive percent-encoding and would be resolved away by clients and proxies.
    if len(task_id) > MAX_ID_CHARACTERS or task_id in (".", ".."):
        return False
    try:
        task_id.encode()
    except UnicodeEncodeError:
        return False
    return True


def _state_fault(fields: Item, shape: WireShape | None, states: frozenset[str]) -> str | None:
    """Why the task is not to be run; None if its state is one of `states`, or is not there."""
    names = [_STATE_FIELDS[shape]] if shape is not None else list(_STATE_FIELDS.values())
    for name in names:
        state = fields.get(name)
        if state is None or (isinstance(state, str) and _cut(state).strip().lower() in states):
            continue
        said = state[:40] if isinstance(state, str) else f"({type(state).__name__})"
        return f"the page lists it as {said!a}, not as pending"
    return None


def _parse_task(
    fields: Item, address: TaskAddress, processor: AnyProcessor, processors: ProcessorFactory
) -> Task | Refusal:
    given = _given(fields, address.shape)
    if given is None:
        missing = "it has no input: neither input_data nor content"
        return Refusal(RefusalReason.AMBIGUOUS_SHAPE, missing, task_id=address.id)
    is_built_in = processors.source(processor.task_type).is_built_in
    try:
        task = _made(processor, fields, fields[given], address)
        if not is_built_in:
            _check_kept(task)
    except NonRetryableError as error:
        too_long = isinstance(error, InputTooLongError)
        reason = RefusalReason.TEXT_TOO_LONG if too_long else RefusalReason.BAD_INPUT
        message = safe_message(words_of(error))
        shown = "" if is_built_in else _without_texts(message, fields[given])
        return Refusal(reason, message, address, address.id, shown)
    return task


def _without_texts(message: str, given: JsonValue) -> str:
    """What a plug-in says of an input may quote it."""
    try:
        texts = list(strings_in(given))
    except RecursionError:
        return "input: it is nested too deeply to be looked through for what may be shown"
    return without_quotes([message], texts)[message]


def _check_kept(task: Task) -> None:
    """Raises NonRetryableError where the input is no JSON for the journal, or cannot go to a worker."""
    try:
        orjson.dumps(task.input, default=to_jsonable_python)
        pickle.dumps(task.input)
    except BaseException as error:  # a SystemExit would end the polls
        what = type_and_words(error)
        raise NonRetryableError(
            f"input: what the processor of {task.task_type} makes of it cannot be kept: {what}"
        ) from error


def _without_processor(
    fields: Item, name: JsonValue, address: TaskAddress, processors: ProcessorFactory
) -> Refusal:
    if not any(field in fields for field in _TYPE_FIELDS):
        return Refusal(RefusalReason.AMBIGUOUS_SHAPE, "it has no type", task_id=address.id)
    said = name[:80] if isinstance(name, str) else f"({type(name).__name__})"
    if why := processors.why_broken(said.replace("_", "-")):
        return Refusal(RefusalReason.BROKEN_TYPE, why, address, address.id)
    return Refusal(RefusalReason.UNKNOWN_TYPE, f"unknown task type {said!a}", address, address.id)


def _made(processor: AnyProcessor, fields: Item, given: JsonValue, address: TaskAddress) -> Task:
    """Raises NonRetryableError, whatever a processor that is not ours raises."""
    created_at_seconds = _epoch_seconds(fields.get("created_at"))
    if created_at_seconds is None:
        created_at_seconds = _epoch_seconds(fields.get("createdAt"))
    try:
        return processor.make_task(
            processor.parse(given),
            address.id,
            address.shape,
            address.correlation_id,
            created_at_seconds=created_at_seconds,
            priority=_priority(fields.get("priority")),
        )
    except NonRetryableError:
        raise
    except BaseException as error:  # a SystemExit would end the polls
        what = type_and_words(error)
        raise NonRetryableError(
            f"input: the processor of {processor.task_type} cannot read it: {what}"
        ) from error


def _processor(name: JsonValue, processors: ProcessorFactory) -> AnyProcessor | None:
    return processors.find(_cut(name).replace("_", "-")) if isinstance(name, str) else None


def _given(fields: Item, shape: WireShape) -> str | None:
    """The name of the field with the input: that of the shape, else the other; None if there is neither."""
    own, other = _INPUT_FIELDS[shape], _INPUT_FIELDS[_OTHER[shape]]
    if fields.get(own) is None and other in fields:
        return other
    return own if own in fields else None


def _correlation_id(fields: Item) -> str | None:
    for name in ("correlation_id", "correlationId"):
        value = fields.get(name)
        if isinstance(value, str) and _CORRELATION_ID.fullmatch(_cut(value)):
            return value
    return None


def _priority(value: JsonValue) -> int:
    """A whole number, or one in digits, not too far from 0; anything else counts as 0."""
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if abs(value) <= MAX_PRIORITY and value == int(value) else 0


def _epoch_seconds(value: JsonValue) -> float | None:
    """A time as ISO 8601, or as seconds, milliseconds or microseconds since 1970; None if it is none."""
    seconds = _iso_seconds(value) if isinstance(value, str) else _numeric_seconds(value)
    return (
        seconds if seconds is not None and EARLIEST_EPOCH_SECONDS <= seconds <= LATEST_EPOCH_SECONDS else None
    )


def _iso_seconds(value: str) -> float | None:
    try:
        moment = datetime.fromisoformat(_cut(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _numeric_seconds(value: JsonValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= LATEST_EPOCH_SECONDS * 1e6:
        return None
    return next((value / a_second for least, a_second in EPOCH_UNITS if value >= least), None)


def _cut(word: str) -> str:
    """The start of a word that is too long to mean anything: errors would repeat all of it."""
    return word[:MAX_WORD_CHARACTERS]


def success_body(shape: WireShape, output: Output) -> bytes:
    """The body of a report of success, around the value's ready JSON."""
    if shape is WireShape.NESTJS:
        return b'{"state":"succeeded","result":' + output.value + b"}"
    if not output.name:
        return b'{"status":"succeeded","output_data":' + output.value + b',"error_message":null}'
    rest = {
        "model": output.model,
        "usage": {"prompt_tokens": output.usage.prompt_tokens, "total_tokens": output.usage.total_tokens},
        **output.extra,
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
    """The body of a report of failure. The message becomes one plain line."""
    text = one_line(message, MAX_ERROR_MESSAGE_CHARACTERS)
    if shape is WireShape.NESTJS:
        return orjson.dumps({"state": "failed", "result": None, "error": text})
    return orjson.dumps({"status": "failed", "output_data": None, "error_message": text})


def claim_body(shape: WireShape) -> bytes:
    """The body that tells the API that this service works on the task."""
    return b'{"state":"in_progress"}' if shape is WireShape.NESTJS else b'{"status":"processing"}'


def give_back_body(shape: WireShape) -> bytes:
    """The body that makes a claimed task anyone's again."""
    return b'{"state":"pending"}' if shape is WireShape.NESTJS else b'{"status":"pending"}'
