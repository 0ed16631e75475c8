"""Reads the items of a page that is not quite JSON one by one, so that a bad item spoils itself alone."""

import json
import re
from collections.abc import Iterator

import orjson

UNREADABLE = object()
"""Stands for an item that no parser takes."""
MOST_DIGITS = 400
MOST_ITEMS = 1_000_000
USUAL_DEPTH = 4
USUAL_BYTES = 64 * 2**10
STEP_BYTES = 2**20
# Everything possessive, and a string without an end runs to the end: linear on any bytes. No match takes more
# than a few milliseconds, since no other thread runs meanwhile.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_WITHIN_STRING = re.compile(rb'(?:[^"\\]{1,1024}+|\\.){0,1024}+', re.DOTALL)
_MARK = re.compile(rb'["\[\]{},]')
_LIST_OPENS = re.compile(rb"\s*:\s*\[")


def _usual(depth: int) -> bytes:
    """An object or list with nothing deeper than `depth` in it; whether it is sound is for the parser."""
    within = rb"|" + _usual(depth - 1) if depth else b""
    return rb'[\[{](?:[^\[\]{}"]++|' + _STRING + within + rb")*+[\]}]"


_USUAL_ITEM = re.compile(rb"\s*+" + _usual(USUAL_DEPTH) + rb"\s*+(?=[,\]])", re.DOTALL)


class NoListError(ValueError):
    """The page has no list, or one without an end."""


def salvage_items(
    body: bytes | bytearray, list_fields: tuple[str, ...], most: int = MOST_ITEMS
) -> Iterator[object]:
    """The first `most` items of the list, or of that under one of `list_fields`, one by one.

    Raises NoListError, be it at the very end.
    """
    begin = _list_start(body, list_fields)
    for number in range(most):
        end = _item_end(body, begin)
        last = body[end : end + 1] != b","
        if number or not last or body[begin:end].strip():
            yield _parse(body[begin:end])
        if last:
            return
        begin = end + 1


def _item_end(body: bytes | bytearray, begin: int) -> int:
    """Where the comma or bracket stands that ends the item."""
    if usual := _USUAL_ITEM.match(body, begin, begin + USUAL_BYTES):
        return usual.end()
    depth = 0
    for start, _ in _tokens(body, begin):
        mark = body[start : start + 1]
        depth += _step(mark)
        if depth < 0 or (mark == b"," and not depth):
            return start
    raise _no_list(body)


def _tokens(body: bytes | bytearray, begin: int) -> Iterator[tuple[int, int]]:
    """Where each bracket, comma and whole string begins and ends."""
    position = begin
    while position < len(body):
        mark = _MARK.search(body, position, position + STEP_BYTES)
        if mark is None:
            position += STEP_BYTES
            continue
        position = _string_end(body, mark.end()) if mark.group() == b'"' else mark.end()
        yield mark.start(), position


def _string_end(body: bytes | bytearray, position: int) -> int:
    """Behind the quote that ends the string, or at the end of all."""
    while within := _WITHIN_STRING.match(body, position):
        if body[within.end() : within.end() + 1] == b'"':
            return within.end() + 1
        if within.end() == position:
            break
        position = within.end()
    return len(body)


def _step(mark: bytes | bytearray) -> int:
    return 1 if mark in (b"[", b"{") else -1 if mark in (b"]", b"}") else 0


def _list_start(body: bytes | bytearray, list_fields: tuple[str, ...]) -> int:
    whole = re.match(rb"\s*\[", body)
    if whole:
        return whole.end()
    names = [f'"{name}"'.encode() for name in list_fields]
    longest = max(map(len, names))
    depth = 0
    for start, end in _tokens(body, 0):
        depth += _step(body[start : start + 1])
        is_name = depth == 1 and end - start <= longest and body[start:end] in names
        if is_name and (opening := _LIST_OPENS.match(body, end)):
            return opening.end()
    raise _no_list(body)


def _no_list(body: bytes | bytearray) -> NoListError:
    return NoListError(f"the page is not JSON; its first byte is {bytes(body[:1])!r}")


def _parse(item: bytes | bytearray) -> object:
    try:
        return orjson.loads(item)
    except orjson.JSONDecodeError:
        try:
            return json.loads(item, parse_int=_bounded_int)
        except (ValueError, RecursionError):
            return UNREADABLE


def _bounded_int(digits: str) -> int | float:
    # Python refuses to convert thousands of digits, and would take long over hundreds of thousands.
    return int(digits) if len(digits) <= MOST_DIGITS else float("inf")
