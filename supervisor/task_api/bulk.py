"""Several reports in one PATCH, and an answer for each of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import orjson

from supervisor.runtime.events import Event
from supervisor.task_api.http.exchange import Exchange, Response
from supervisor.task_api.optional import OptionalOperation, is_missing, json_body
from supervisor.task_api.responses import (
    REFUSALS,
    Health,
    Redact,
    ReportAnswer,
    ReportOutcome,
    classify_report,
)
from supervisor.task_api.sender import Entry, PatchQueue
from supervisor.task_api.wire_formats import id_text

MAX_CALL_BYTES = 4 * 2**20
MIN_CALL_BYTES = 64 * 2**10
"""An API that does not take so much in one call is sent one report a call."""
TOO_LARGE = 413
_STATUSES = range(200, 600)


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """What one PATCH of several reports came to."""

    call: ReportAnswer
    """Of the call as a whole. It holds for all reports where `each` is empty and nothing is `refused`."""
    each: Mapping[str, ReportAnswer] = field(default_factory=dict)
    """By the id of the task."""
    refused: str = ""
    """Why those without an answer of their own are to be sent alone, if they are."""
    is_missing: bool = False
    """The API has no such operation."""
    is_too_large: bool = False


@dataclass(frozen=True, slots=True)
class BulkReportDone(Event):
    """A PATCH of several reports was answered, or not."""

    task_ids: tuple[str, ...]
    answer: BulkAnswer


class BulkCalls(Protocol):
    """The way to the API. Each answer comes back as a BulkReportDone."""

    def send(self, task_ids: tuple[str, ...], body: bytes) -> None:
        """Hand over one body for several tasks."""

    def take_back(self) -> list[str]:
        """Take back what is not begun: the ids of those tasks, in order."""


class BulkQueue:
    """A PatchQueue that sends up to `max_reports` in one PATCH, and one that stands alone through `single`.

    Owned by the loop.
    """

    def __init__(
        self, single: PatchQueue, calls: BulkCalls, operation: OptionalOperation, max_reports: int
    ) -> None:
        self._single = single
        self._calls = calls
        self._operation = operation
        self._max_reports = max_reports
        self._max_bytes = MAX_CALL_BYTES

    def put(self, entries: Sequence[Entry]) -> None:
        if not self._operation.in_use:
            self._single.put(entries)
            return
        for call in self._split(entries):
            if len(call) == 1:
                self._single.put(call)
            else:
                self._calls.send(tuple(message.task_id for message, _ in call), bulk_body(call))

    def reports_a_call(self) -> int:
        """How many reports go in one call now, if there are as many and they are small."""
        return self._max_reports if self._operation.in_use else 1

    def take_back(self) -> list[str]:
        return [*self._single.take_back(), *self._calls.take_back()]

    def is_refused(self, answer: BulkAnswer) -> bool:
        """Are reports without an answer of their own to be sent in another way now, rather than later?"""
        if not answer.refused:
            if answer.each:
                self._operation.worked()
            return False
        if answer.is_too_large and self._max_bytes > MIN_CALL_BYTES:
            self._max_bytes //= 2
            return True
        if answer.is_missing:
            return self._operation.failed_as_missing(answer.refused)
        self._operation.refused(answer.refused)
        return True

    def _split(self, entries: Sequence[Entry]) -> Iterator[list[Entry]]:
        call: list[Entry] = []
        size_bytes = 0
        for entry in entries:
            if call and (len(call) == self._max_reports or size_bytes + len(entry[1]) > self._max_bytes):
                yield call
                call, size_bytes = [], 0
            call.append(entry)
            size_bytes += len(entry[1])
        if call:
            yield call


def bulk_body(entries: Sequence[Entry]) -> bytes:
    """A list of the reports, each with the two ids that path and header of a single one hold."""
    items = [
        b"".join(
            (
                b'{"id":',
                orjson.dumps(message.task_id),
                b',"correlation_id":',
                orjson.dumps(message.correlation_id),
                b",",
                body[1:],
            )
        )
        for message, body in entries
    ]
    return b"[" + b",".join(items) + b"]"


def classify_bulk(got: Exchange, task_ids: Sequence[str], url: str, redact: Redact) -> BulkAnswer:
    """What a PATCH of several reports to `url` came to."""
    call = classify_report(got, url, redact)
    if is_missing(got):
        unknown = replace(call, outcome=ReportOutcome.RETRY, health=Health.UNKNOWN)
        return BulkAnswer(unknown, refused=call.detail, is_missing=True)
    if call.outcome in REFUSALS:
        return BulkAnswer(call, refused=call.detail, is_too_large=call.status == TOO_LARGE)
    if call.outcome is not ReportOutcome.DONE or not isinstance(got, Response):
        return BulkAnswer(call)
    each = _answers(got, frozenset(task_ids), url, redact)
    left_out = len(task_ids) - len(each)
    refused = f"its answer has no status for {left_out} of {len(task_ids)} reports" if left_out else ""
    return BulkAnswer(call, each, refused)


def _answers(got: Response, asked: frozenset[str], url: str, redact: Redact) -> dict[str, ReportAnswer]:
    items = json_body(got)
    answers: dict[str, ReportAnswer] = {}
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        task_id, status = id_text(item.get("id")) or id_text(item.get("_id")), item.get("status")
        if task_id in asked and task_id not in answers and type(status) is int and status in _STATUSES:
            words = item.get("error")
            body = words.encode(errors="replace") if isinstance(words, str) else b""
            said = Response(status, {}, body, True, got.began_at, got.took_seconds)
            answers[task_id] = classify_report(said, url, redact)
    return answers
