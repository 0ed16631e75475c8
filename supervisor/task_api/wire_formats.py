"""The two JSON shapes of the task API: a page of bytes to tasks, an outcome to the bytes of a report.

Everything here comes from outside and is hostile until parsed; nothing raises out of `parse_page`.
"""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson

from shared.models import Output, Task, WireShape
from shared.plain_text import one_line
from supervisor.task_api.lenient_json import MAX_ITEMS, NoListError, salvage_items
from supervisor.task_api.task_item import Refusal, is_pending, parse_item

MAX_ERROR_CHARACTERS = 2000
LARGE_PAGE_BYTES = 4 * 2**20
"""The parser of whole pages sets aside twelve times a page's size."""

LIST_FIELDS = ("tasks", "data", "items", "results", "content")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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
    most: int = MAX_ITEMS,
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
            parsed = parse_item(item, new_correlation_id, is_held)
            if isinstance(parsed, Task):
                tasks.append(parsed)
            elif isinstance(parsed, Refusal):
                refusals.append(parsed)
            else:
                held += 1
                if parsed in sought and is_pending(item):
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
    """The body of a report of failure. The message is one plain line of at most 2,000 characters."""
    text = one_line(message, MAX_ERROR_CHARACTERS)
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
    if body.startswith(BYTE_ORDER_MARK):  # noqa: FURB188  `removeprefix` copies a page that has none
        body = body[len(BYTE_ORDER_MARK) :]
    if len(body) <= LARGE_PAGE_BYTES:
        # It refuses a whole page for one lone surrogate, NaN or deep nest in one item.
        with contextlib.suppress(orjson.JSONDecodeError):
            return _item_list(orjson.loads(body))[:most]
    return salvage_items(body, LIST_FIELDS, most)


def _item_list(document: object) -> list[object]:
    if isinstance(document, dict):
        document = next(
            (document[name] for name in LIST_FIELDS if isinstance(document.get(name), list)), None
        )
    if isinstance(document, list):
        return document
    raise NoListError(f"the page is no list, nor an object with one under {', '.join(LIST_FIELDS)}")
