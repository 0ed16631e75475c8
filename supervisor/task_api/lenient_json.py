"""Reads the items of a page one by one, so that an item that is no JSON costs the others nothing."""

import json
import re
import secrets
from collections.abc import Iterator, Mapping

import orjson

UNREADABLE = object()
"""Stands for an item that no parser can read."""
MAX_DIGITS = 400
MAX_ITEMS = 1_000_000
USUAL_DEPTH = 4
USUAL_BYTES = 64 * 2**10
STEP_BYTES = 2**20
LONG_STRING_BYTES = 64 * 2**10
MAX_BYTES_BESIDE = 4 * 2**20
"""Of an item without its long strings: the parser allocates twelve times as much."""
MAX_MARKS = 4 * 2**20
"""Of a page, so many brackets, commas and strings are looked at one by one. It takes some seconds."""
# All quantifiers are possessive, so matching is linear on any bytes. Each match and parse takes a few
# milliseconds at most, since no other thread runs meanwhile. A string without an end runs to the end.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_WITHIN_STRING = re.compile(rb'(?:[^"\\]{1,1024}+|\\.){0,1024}+', re.DOTALL)
_PIECE = re.compile(rb'(?:[^"\\]{1,1024}+|\\u[dD][89abAB]..\\u....|\\u....|\\[^u]){0,1024}+', re.DOTALL)
"""A part of a string that can be read alone; only a character of UTF-8 at its end may be cut."""
_LEADING_BITS = 0b1100_0000
_CONTINUATION_BYTE = 0b1000_0000
_STAND_IN = secrets.token_hex(16)
_MARK = re.compile(rb'["\[\]{},]')
_LIST_OPENS = re.compile(rb"\s*:\s*\[")


def _usual(depth: int) -> bytes:
    """Matches an object or list of at most `depth` levels; the parser decides whether it is JSON."""
    within = rb"|" + _usual(depth - 1) if depth else b""
    return rb'[\[{](?:[^\[\]{}"]++|' + _STRING + within + rb")*+[\]}]"


_USUAL_ITEM = re.compile(rb"\s*+" + _usual(USUAL_DEPTH) + rb"\s*+(?=[,\]])", re.DOTALL)


class NoListError(ValueError):
    """The page has no list, or one without an end."""


def read_items(
    body: bytes | bytearray, list_fields: tuple[str, ...], max_items: int = MAX_ITEMS
) -> Iterator[object]:
    """At most `max_items` items of the list, or of the list under one of `list_fields`, one by one.

    Raises NoListError, also after some items.
    """
    budget = iter(range(MAX_MARKS))
    begin = _list_start(body, list_fields, budget)
    for number in range(max_items):
        end, long_strings = _item_end(body, begin, budget)
        last = body[end : end + 1] != b","
        if long_strings:
            yield _parse_long(body, begin, end, long_strings)
        elif number or not last or body[begin:end].strip():
            yield _parse(body[begin:end])
        if last:
            return
        begin = end + 1


def _item_end(
    body: bytes | bytearray, begin: int, budget: Iterator[int]
) -> tuple[int, list[tuple[int, int]]]:
    """The place of the comma or bracket that ends the item, and the start and end of each long string."""
    if usual := _USUAL_ITEM.match(body, begin, begin + USUAL_BYTES):
        return usual.end(), []
    depth = 0
    long_strings: list[tuple[int, int]] = []
    for start, end in _tokens(body, begin, budget):
        mark = body[start : start + 1]
        depth += _step(mark)
        if depth < 0 or (mark == b"," and not depth):
            return start, long_strings
        if end - start > LONG_STRING_BYTES:
            long_strings.append((start, end))
    raise _no_list(body)


def _tokens(body: bytes | bytearray, begin: int, budget: Iterator[int]) -> Iterator[tuple[int, int]]:
    """The start and end of each bracket, comma and whole string. NoListError after `budget` of them."""
    position = begin
    for _ in budget:
        if position >= len(body):
            return
        mark = _MARK.search(body, position, position + STEP_BYTES)
        if mark is None:
            position += STEP_BYTES
            continue
        position = _string_end(body, mark.end()) if mark.group() == b'"' else mark.end()
        yield mark.start(), position
    raise NoListError(f"the page has more than {MAX_MARKS:,} brackets, commas and strings in unusual places")


def _string_end(body: bytes | bytearray, position: int) -> int:
    """The place behind the quote that ends the string, or the end of the body."""
    while within := _WITHIN_STRING.match(body, position):
        if body[within.end() : within.end() + 1] == b'"':
            return within.end() + 1
        if within.end() == position:
            break
        position = within.end()
    return len(body)


def _step(mark: bytes | bytearray) -> int:
    return 1 if mark in (b"[", b"{") else -1 if mark in (b"]", b"}") else 0


def _list_start(body: bytes | bytearray, list_fields: tuple[str, ...], budget: Iterator[int]) -> int:
    whole = re.match(rb"\s*\[", body)
    if whole:
        return whole.end()
    names = [f'"{name}"'.encode() for name in list_fields]
    longest = max(map(len, names))
    depth = 0
    for start, end in _tokens(body, 0, budget):
        depth += _step(body[start : start + 1])
        is_name = depth == 1 and end - start <= longest and body[start:end] in names
        if is_name and (opening := _LIST_OPENS.match(body, end)):
            return opening.end()
    raise _no_list(body)


def _no_list(body: bytes | bytearray) -> NoListError:
    return NoListError(f"the page is not JSON; its first byte is {bytes(body[:1])!r}")


def _parse_long(body: bytes | bytearray, begin: int, end: int, long_strings: list[tuple[int, int]]) -> object:
    """The item, parsed with short strings in the place of its long ones, which are read in pieces."""
    texts: dict[str, str] = {}
    beside = bytearray()
    for start, stop in long_strings:
        name = f"{_STAND_IN}{len(texts)}"
        beside += body[begin:start] + f'"{name}"'.encode()
        try:
            texts[name] = _long_string(body, start + 1, stop - 1)
        except ValueError:
            return UNREADABLE
        begin = stop
    beside += body[begin:end]
    return _with_texts(_parse(beside), texts)


def _long_string(body: bytes | bytearray, start: int, end: int) -> str:
    """The string between two quotes. Raises ValueError."""
    pieces: list[str] = []
    while start < end:
        piece = _PIECE.match(body, start, end)
        stop = piece.end() if piece else start
        while stop < end and body[stop] & _LEADING_BITS == _CONTINUATION_BYTE:
            stop -= 1
        read = _parse(b'"' + body[start:stop] + b'"')
        if stop <= start or not isinstance(read, str):
            raise ValueError
        pieces.append(read)
        start = stop
    return "".join(pieces)


def _with_texts(item: object, texts: Mapping[str, str]) -> object:
    """The item with its long strings put back."""
    whole = [item]
    waiting: list[object] = [whole]
    while waiting:
        container = waiting.pop()
        if not isinstance(container, dict | list):
            continue
        for key, value in container.items() if isinstance(container, dict) else enumerate(container):
            if isinstance(value, str):
                container[key] = texts.get(value, value)
            else:
                waiting.append(value)
    return whole[0]


def _parse(item: bytes | bytearray) -> object:
    if len(item) > MAX_BYTES_BESIDE:
        return UNREADABLE
    try:
        return orjson.loads(item)
    except orjson.JSONDecodeError:
        try:
            return json.loads(item, parse_int=_bounded_int)
        except (ValueError, RecursionError):
            return UNREADABLE


def _bounded_int(digits: str) -> int | float:
    # Python refuses to convert thousands of digits, and would take long over hundreds of thousands.
    return int(digits) if len(digits) <= MAX_DIGITS else float("inf")
