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
# Everything possessive, and a token that is a string without an end runs to the end: linear on any bytes.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(_STRING + rb"?|[\[\]{},]", re.DOTALL)
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
    if usual := _USUAL_ITEM.match(body, begin):
        return usual.end()
    depth = 0
    for token in _TOKEN.finditer(body, begin):
        mark = token.group()
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        if depth < 0 or (mark == b"," and not depth):
            return token.start()
    raise _no_list(body)


def _list_start(body: bytes | bytearray, list_fields: tuple[str, ...]) -> int:
    whole = re.match(rb"\s*\[", body)
    if whole:
        return whole.end()
    names = {f'"{name}"'.encode() for name in list_fields}
    depth = 0
    for token in _TOKEN.finditer(body):
        mark = token.group()
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        elif depth == 1 and mark in names and (opening := _LIST_OPENS.match(body, token.end())):
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
