"""What a PATCH says: a status, and which of the known vectors it carries."""

import json
import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

MAX_REMEMBERED = 4096
_NUMBERS = re.compile(rb"\[[-+.0-9eE, ]+\]")


class NoReportError(ValueError):
    """JSON, but no report."""


@dataclass(frozen=True, slots=True)
class Report:
    """`vector` is the number of a known vector, None if there is none or it is not one of them."""

    status: str
    vector: int | None


class ReportReader:
    """Every number of a vector is compared, as float32. A vector seen before is known by its text again."""

    def __init__(self, vectors: Iterable[bytes]) -> None:
        self._numbers = {vector: number for number, vector in enumerate(vectors)}
        self._seen: dict[bytes, int | None] = {}

    def read(self, body: bytes) -> Report:
        """NoReportError (or another ValueError) if the body is not a JSON object with a status."""
        start, end = body.find(b"["), body.rfind(b"]")
        listed = 0 <= start < end
        rest = json.loads(body[:start] + b"[]" + body[end + 1 :] if listed else body)
        if not isinstance(rest, dict) or not isinstance(rest.get("status"), str):
            raise NoReportError("a report is an object with a status")
        return Report(rest["status"], self._vector(body[start : end + 1]) if listed else None)

    def read_all(self, body: bytes) -> list[tuple[str, Report]]:
        """The task's id and the report of each item. NoReportError (or another ValueError) if one is none."""
        lists: list[bytes] = []

        def take_out(found: re.Match[bytes]) -> bytes:
            lists.append(found[0])
            return b"%d" % (len(lists) - 1)

        items = json.loads(_NUMBERS.sub(take_out, body))
        if not isinstance(items, list):
            raise NoReportError("reports are a list")
        return [self._read_item(item, lists) for item in items]

    def _read_item(self, item: object, lists: list[bytes]) -> tuple[str, Report]:
        if not isinstance(item, dict) or not isinstance(item.get("status"), str) or "id" not in item:
            raise NoReportError("a report in a list is an object with an id and a status")
        output = item.get("output_data")
        place = output.get("embedding") if isinstance(output, dict) else None
        vector = self._vector(lists[place]) if isinstance(place, int) else None
        return str(item["id"]), Report(item["status"], vector)

    def _vector(self, text: bytes) -> int | None:
        if text not in self._seen:
            if len(self._seen) >= MAX_REMEMBERED:
                self._seen.clear()
            self._seen[text] = self._parsed(text)
        return self._seen[text]

    def _parsed(self, text: bytes) -> int | None:
        try:
            return self._numbers.get(array("f", json.loads(text)).tobytes())
        except (ValueError, TypeError, OverflowError):
            return None
