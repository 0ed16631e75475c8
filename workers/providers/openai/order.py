"""Which item of an answer belongs to which text."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from workers.providers.openai.bad_answer import bad_answer

Item: TypeAlias = Mapping[str, object]


def in_order(items: Sequence[Item], texts: int) -> list[Item | None]:
    """The item of each text, and None where the answer has none for it.

    Where no `index` contradicts the order of the list, that order counts: many servers send none, and
    those built on protobuf leave out a 0. Where a single one is missing it is the one left over. Nothing
    is guessed: where the same index stands twice, or items are missing in an unknown place, this raises
    RetryableError(BAD_RESPONSE).
    """
    if len(items) > texts or not items:
        raise bad_answer(f"{len(items)} vectors for {texts} texts")
    if texts == 1:
        return list(items)
    places = [_place(item.get("index")) for item in items]
    if len(items) < texts:
        return _with_gaps(items, places, texts)
    if all(place in (None, position) for position, place in enumerate(places)):
        return list(items)
    by_place = dict(zip(_complete(places), items, strict=True))
    return [by_place[place] for place in sorted(by_place)]


def _place(value: object) -> int | None:
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
    """All `places`, which must follow one another, be it from 0 or from 1."""
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
    """The items where the last text has its own: else the server may have numbered anew what it kept."""
    by_place = dict(zip(places, items, strict=True))
    certain = len(by_place) == len(items) and None not in by_place and max(by_place, key=_number) == texts - 1
    if not certain:
        raise bad_answer(f"{len(items)} vectors for {texts} texts")
    return [by_place.get(place) for place in range(texts)]


def _number(place: int | None) -> int:
    return -1 if place is None else place
