"""The JSON of an embeddings answer, read without trust."""

import binascii
import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import orjson

from shared.models import Usage
from shared.plain_text import count
from workers.providers.base import MAX_MODEL_CHARACTERS, BadVector, Embeddings, bad_answer
from workers.providers.openai.api_error import ApiError, BodyKind
from workers.providers.vectors import Row, Vectors

Item: TypeAlias = Mapping[str, object]
MAX_TOKENS = 10**12
_FLOAT32_BYTES = 4
_NUMBERS = frozenset({int, float})
_NO_ITEM: Item = {}
_SHOWN_CHARACTERS = 200
_BOM = b"\xef\xbb\xbf"
_LIKE_JSON = (b"{", b"[", b'"', b"data:", b"event:")


def read_body(content: bytes, *, quotes_json: bool = True) -> Mapping[str, object]:
    """The JSON object of an answer. Raises RetryableError(BAD_RESPONSE) where there is none.

    The error says how the body begins, so that a person knows what answers. Without `quotes_json` it does so
    only where that is no part of an answer: nothing that a model says may get into a log.
    """
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        body = _read_leniently(content.removeprefix(_BOM), quotes_json=quotes_json)
    if isinstance(body, list) and len(body) == 1 and isinstance(body[0], dict) and "error" in body[0]:
        body = body[0]
    if not isinstance(body, dict):
        raise bad_answer("it is no JSON object")
    return body


def error_in(body: Mapping[str, object]) -> ApiError | None:
    """The error that an answer with a status of success holds in place of vectors."""
    has_items = isinstance(body.get("data"), list) and bool(body["data"])
    has_error = bool(body.get("error") or body.get("errors"))
    return ApiError.find(body) if has_error and not has_items else None


def parse_answer(body: Mapping[str, object], *, texts: int, model: str, dimensions: int | None) -> Embeddings:
    """The embeddings of so many `texts`, in their order, whatever order the answer has them in.

    `model` is the name asked for, reported where the answer names none. Raises as Vectors.check does.
    """
    data = body.get("data")
    if not isinstance(data, list):
        said = ApiError.find(body)
        words = said.message[:_SHOWN_CHARACTERS] if said else "{}"
        raise bad_answer(f'it has no list "data", but says: {words}')
    items = in_order([item if isinstance(item, dict) else _NO_ITEM for item in data], texts)
    rows = [_row(item) for item in items]
    return Embeddings(
        vectors=Vectors.check(rows, texts=texts, dimensions=dimensions),
        model=model_name(body.get("model")) or model,
        usage=_usage(body.get("usage")),
    )


def in_order(items: Sequence[Item], texts: int) -> list[Item | None]:
    """The item of each text, and None where the answer has none for it.

    The order of the list counts unless an `index` contradicts it: many servers send no index, and those
    built on protobuf leave out a 0. A single missing index is the one left over. Nothing is guessed: an index
    that stands twice, or items missing in an unknown place, raise RetryableError(BAD_RESPONSE).
    """
    if len(items) > texts or not items:
        raise bad_answer(f"{count(len(items), 'vector')} for {count(texts, 'text')}")
    if texts == 1:
        return list(items)
    places = [_index(item.get("index")) for item in items]
    if len(items) < texts:
        return _with_gaps(items, places, texts)
    if all(place in (None, position) for position, place in enumerate(places)):
        return list(items)
    by_place = dict(zip(_complete(places), items, strict=True))
    return [by_place[place] for place in sorted(by_place)]


def _index(value: object) -> int | None:
    """None where it is not said. Some servers write 0 as "0" or 0.0."""
    if value is None:
        return None
    if type(value) is float and value.is_integer():
        value = int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:  # noqa: PLR2004  longer is nonsense
        value = int(value)
    if type(value) is not int or value < 0:
        raise bad_answer('an "index" is no place in a list')
    return value


def _complete(places: Sequence[int | None]) -> list[int]:
    """All `places`. They must follow one another, from 0 or from 1."""
    known = {place for place in places if place is not None}
    missing = places.count(None)
    left_over = set(range(len(places))) - known
    if missing == 1 and len(left_over) == 1:
        return [left_over.pop() if place is None else place for place in places]
    if missing:
        raise bad_answer(f'"index" is missing in {missing} of {len(places)} items')
    if len(known) < len(places):
        what = 'the same "index" stands in several items, so texts must be sent one at a time'
        raise bad_answer(what, one_by_one=True)
    if max(known) - min(known) >= len(places):
        raise bad_answer('an "index" is out of range')
    return [place for place in places if place is not None]


def _with_gaps(items: Sequence[Item], places: Sequence[int | None], texts: int) -> list[Item | None]:
    """Gaps are accepted where the last text has its item: else the server may have renumbered the rest."""
    by_place = dict(zip(places, items, strict=True))
    known = [place for place in by_place if place is not None]
    if len(known) < len(items) or max(known) != texts - 1:
        raise bad_answer(f"{count(len(items), 'vector')} for {count(texts, 'text')}")
    return [by_place.get(place) for place in range(texts)]


def _read_leniently(content: bytes, *, quotes_json: bool) -> object:
    """JSON with NaN, as Python's own encoder writes it: it spoils the vector it stands in, not the others."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        said = ApiError.parse(content[: 100 * _SHOWN_CHARACTERS])
        if said.kind is BodyKind.EMPTY:
            raise bad_answer("it is empty") from error
        if said.kind is BodyKind.PAGE:
            raise bad_answer(f'it is a web page: "{said.message[:_SHOWN_CHARACTERS]}"') from error
        if not quotes_json and content.lstrip().startswith(_LIKE_JSON):
            raise bad_answer("it is no whole JSON document") from error
        raise bad_answer(f"it is no JSON, but begins with: {said.message[:_SHOWN_CHARACTERS]}") from error


def _row(item: Item | None) -> Row:
    """From base64 of little-endian float32, or from the list of numbers that some servers send anyway."""
    if item is None:
        return BadVector("there is no vector for a text")
    value = item.get("embedding")
    if isinstance(value, str):
        return _from_base64(value)
    if isinstance(value, list) and _NUMBERS.issuperset(map(type, value)):
        return _numbers(value)
    return BadVector("an embedding is neither base64 nor a list of numbers")


def _numbers(value: list[float]) -> Row:
    try:
        return np.array(value, dtype=np.float64)
    except OverflowError:
        return BadVector("an embedding holds a number that is too large")


def _from_base64(value: str) -> Row:
    try:
        raw = binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        return BadVector("an embedding is damaged base64")
    if len(raw) % _FLOAT32_BYTES:
        return BadVector("an embedding is cut off within a number")
    return np.frombuffer(raw, dtype="<f4")


def model_name(value: object) -> str:
    """Empty where the answer names none that can be one."""
    return value if isinstance(value, str) and len(value) <= MAX_MODEL_CHARACTERS else ""


def _usage(value: object) -> Usage:
    fields = value if isinstance(value, dict) else {}
    prompt = tokens(fields.get("prompt_tokens")) or tokens(fields.get("input_tokens"))
    return Usage(prompt_tokens=prompt, total_tokens=tokens(fields.get("total_tokens")) or prompt)


def tokens(value: object) -> int:
    """0 where the answer does not say: no bill is invented."""
    if type(value) not in (int, float, str):
        return 0
    try:
        number = float(str(value))
    except ValueError:
        return 0
    return int(number) if 0 <= number <= MAX_TOKENS and number.is_integer() else 0
