"""Tasks and changes <-> the two JSON shapes, which differ in little more than their names."""

import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from examples.task_api.store import timestamp
from examples.task_api.task import Change, Report, Shape, State, Task

ID_MAX_BYTES = 16_384
PRIORITY_MAX = 1_000_000
IDS_MAX = 10_000
CORRELATION_ID_MAX_CHARACTERS = 200
WORDS_OF_THE_API = ("pending", "summary", "claim", "renew")
"""A request for a task of such a name would reach something else."""


@dataclass(frozen=True, slots=True)
class Extra:
    """A field that only one shape has. `default` stands where it is missing or null."""

    default: object
    kind: type
    kind_name: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words of one shape."""

    shape: Shape
    id: str
    state: str
    processing: str
    input: str
    output: str
    error: str
    created_at: str
    updated_at: str
    correlation_id: str
    extra: Mapping[str, Extra]
    new_id: Callable[[], str]


FLAT = Dialect(
    shape=Shape.FLAT,
    id="id",
    state="status",
    processing="processing",
    input="input_data",
    output="output_data",
    error="error_message",
    created_at="created_at",
    updated_at="updated_at",
    correlation_id="correlation_id",
    extra={"retry_count": Extra(0, int, "a whole number")},
    new_id=lambda: str(uuid.uuid4()),
)
NESTJS = Dialect(
    shape=Shape.NESTJS,
    id="_id",
    state="state",
    processing="in_progress",
    input="content",
    output="result",
    error="error",
    created_at="createdAt",
    updated_at="updatedAt",
    correlation_id="correlationId",
    extra={
        "callbackRoute": Extra(None, str, "a string"),
        "callbackParams": Extra(None, object, "JSON"),
    },
    new_id=lambda: secrets.token_hex(12),
)
DIALECTS = {dialect.shape: dialect for dialect in (FLAT, NESTJS)}
BY_INPUT = {dialect.input: dialect for dialect in (FLAT, NESTJS)}
BY_STATE = {dialect.state: dialect for dialect in (FLAT, NESTJS)}


class InvalidBodyError(ValueError):
    """The body of a request is not what the endpoint takes; the message says why."""


def parse_json(body: bytes) -> object:
    try:
        parsed: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidBodyError(f"the body is not JSON: {error}") from error
    return parsed


def parse_new_task(body: object) -> Task:
    """A pending task from a POST; the name of the input's field tells the shape."""
    item, words = _recognize(body, BY_INPUT)
    task_type, task_id = _text(item, "type"), _text(item, words.id)
    if not task_type:
        raise InvalidBodyError("a task needs a 'type'")
    if task_id is not None and (task_id in ("", *WORDS_OF_THE_API) or len(task_id.encode()) > ID_MAX_BYTES):
        raise InvalidBodyError(f"'{words.id}' must have 1 to {ID_MAX_BYTES} bytes and be no word of the API")
    now = timestamp()
    return Task(
        id=task_id or words.new_id(),
        shape=words.shape,
        type=task_type,
        state=State.PENDING,
        input=_json(item[words.input]),
        extra=_json({name: _extra(item, name, extra) for name, extra in words.extra.items()}),
        created_at=now,
        updated_at=now,
        correlation_id=_text(item, words.correlation_id),
        priority=_priority(item),
    )


def parse_change(body: object) -> Change:
    """What a PATCH asks for; the name of the state's field tells the shape."""
    item, words = _recognize(body, BY_STATE)
    states = {_state(state, words): state for state in State}
    state = states.get(_text(item, words.state) or "")
    if state is None:
        raise InvalidBodyError(f"'{words.state}' must be one of {', '.join(states)}")
    output, error = item.get(words.output), _text(item, words.error)
    if (output is not None) != (state is State.SUCCEEDED):
        raise InvalidBodyError(f"'{words.output}' must be given when the task succeeded, and only then")
    if bool(error) != (state is State.FAILED):
        raise InvalidBodyError(f"'{words.error}' must be given when the task failed, and only then")
    return Change(words.shape, state, error=error or None, output=None if output is None else _json(output))


def parse_report(item: object) -> Report:
    """One of a list of reports: the body of a single one, with the id that would be in the path."""
    task_id = id_of(item)
    if not isinstance(item, dict) or task_id is None:
        raise InvalidBodyError("expected a JSON object with an 'id' or '_id', a string")
    correlation_id = _text(item, "correlation_id") or _text(item, "correlationId") or ""
    return Report(task_id, parse_change(item), correlation_id[:CORRELATION_ID_MAX_CHARACTERS] or None)


def id_of(item: object) -> str | None:
    """Whose report it is; None if it does not say."""
    if not isinstance(item, dict):
        return None
    task_id = item.get("id") or item.get("_id")
    return task_id if isinstance(task_id, str) else None


def parse_ids(body: object) -> list[str]:
    """The ids of the claims to renew."""
    ids = body.get("ids") if isinstance(body, dict) else None
    if not isinstance(ids, list) or len(ids) > IDS_MAX or not all(isinstance(each, str) for each in ids):
        raise InvalidBodyError(f"expected a JSON object with 'ids', a list of at most {IDS_MAX} strings")
    return ids


def to_wire(task: Task) -> dict[str, object]:
    """A task as a page of pending tasks lists it."""
    words = DIALECTS[task.shape]
    item: dict[str, object] = {
        words.id: task.id,
        "type": task.type,
        words.state: _state(task.state, words),
        words.input: orjson.Fragment(task.input),
        words.created_at: task.created_at,
        words.updated_at: task.updated_at,
    }
    if task.correlation_id is not None:
        item[words.correlation_id] = task.correlation_id
    if task.priority:
        item["priority"] = task.priority
    item.update(orjson.loads(task.extra))
    return item


def to_wire_with_outcome(task: Task) -> dict[str, object]:
    """A task with its result, and with what was recorded about its final reports."""
    words = DIALECTS[task.shape]
    return to_wire(task) | {
        words.output: orjson.Fragment(task.output or b"null"),
        words.error: task.error,
        "final_reports": task.final_reports,
        "last_correlation_id": task.last_correlation_id,
    }


def changed_to_wire(report: Report) -> dict[str, object]:
    """The answer to a PATCH: which task is now in which state."""
    words = DIALECTS[report.change.shape]
    return {words.id: report.task_id, words.state: _state(report.change.state, words)}


def _state(state: State, words: Dialect) -> str:
    return words.processing if state is State.PROCESSING else state


def _recognize(body: object, dialects: Mapping[str, Dialect]) -> tuple[Mapping[str, object], Dialect]:
    """The body as an object, and the one dialect whose telling field it has."""
    if isinstance(body, dict):
        found = [dialect for name, dialect in dialects.items() if name in body]
        if len(found) == 1:
            return body, found[0]
    expected = " or ".join(f"'{name}' ({dialect.shape} shape)" for name, dialect in dialects.items())
    raise InvalidBodyError(f"expected a JSON object with {expected}")


def _text(item: Mapping[str, object], key: str) -> str | None:
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidBodyError(f"'{key}' must be a string")
    return value


def _extra(item: Mapping[str, object], name: str, extra: Extra) -> object:
    value = item.get(name)
    if value is None:
        return extra.default
    if not isinstance(value, extra.kind) or (isinstance(value, bool) and extra.kind is int):
        raise InvalidBodyError(f"'{name}' must be {extra.kind_name}")
    return value


def _priority(item: Mapping[str, object]) -> int:
    value = item.get("priority")
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > PRIORITY_MAX:
        raise InvalidBodyError(f"'priority' must be a whole number from -{PRIORITY_MAX} to {PRIORITY_MAX}")
    return value


def _json(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise InvalidBodyError(f"the body holds JSON that cannot be kept: {error}") from error
