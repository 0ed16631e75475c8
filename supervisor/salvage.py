"""Reads the items of a page that is not quite JSON one by one, so that a bad item spoils itself alone."""

import json
import re

import orjson

UNREADABLE = object()
"""Stands for an item that no parser takes."""
MOST_DIGITS = 400
MOST_ITEMS = 1_000_000
# Possessive, and a string without an end runs to the end: linear on any bytes.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)
_LIST_OPENS = re.compile(rb"\s*:\s*\[")


def salvage_items(
    body: bytes | bytearray, list_fields: tuple[str, ...], most: int = MOST_ITEMS
) -> list[object] | None:
    """The first `most` items of the list, or of that under one of `list_fields`; None if there is none."""
    start = _list_start(body, list_fields)
    if start is None:
        return None
    items: list[object] = []
    depth = 0
    begin = start
    for token in _TOKEN.finditer(body, start):
        mark = token.group()
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        if depth < 0 or (mark == b"," and not depth):
            items.append(_parse(body[begin : token.start()]))
            begin = token.end()
            if len(items) >= most:
                return items
        if depth < 0:
            return [] if items == [UNREADABLE] and not body[start : token.start()].strip() else items
    return None


def _list_start(body: bytes | bytearray, list_fields: tuple[str, ...]) -> int | None:
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
    return None


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
