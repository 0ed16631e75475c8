"""Keeps a task's text out of what is shown: messages from outside may quote it."""

from collections.abc import Iterable, Mapping

from shared.models import JsonValue

SHORTEST_QUOTE_CHARACTERS = 24
SHORTEST_TEXT_CHARACTERS = 4
MAX_SHOWN_CHARACTERS = 300
MAX_SEARCHED_CHARACTERS = 1_000_000
HIDDEN = "[text]"
NOT_SHOWN = "[words not shown: they may quote a text, and there is too much text to be sure]"

_PROBE = SHORTEST_QUOTE_CHARACTERS // 2


def texts_of(payload: JsonValue, but: str = "") -> Iterable[str]:
    """Every string in a task's input except `but`: the model's name may be shown."""
    if isinstance(payload, str):
        if payload != but:
            yield payload
    elif isinstance(payload, Mapping):
        for value in payload.values():
            yield from texts_of(value, but)
    elif isinstance(payload, list):
        for value in payload:
            yield from texts_of(value, but)


def shortened(message: str, texts: Iterable[str]) -> str:
    """The first 300 characters of `message` without what it quotes of the texts."""
    # The length is bounded first: to look for quotations takes long in a long message.
    margin = SHORTEST_QUOTE_CHARACTERS - 1
    cut = message[: MAX_SHOWN_CHARACTERS + margin]
    texts = tuple(texts)
    too_much = sum(map(len, texts)) > MAX_SEARCHED_CHARACTERS
    if too_much and any(_may_share_run(cut, text) for text in texts):
        return NOT_SHOWN
    words = without_quotes(cut, texts)
    if len(cut) < len(message):
        words = words[:-margin]  # A quotation that was cut may be too short to be known as one.
    if len(cut) < len(message) or len(words) > MAX_SHOWN_CHARACTERS:
        return words[: MAX_SHOWN_CHARACTERS - 1] + "…"
    return words


def without_quotes(message: str, texts: Iterable[str]) -> str:
    """`message` without what it has in common with a text: all of it, or a run of 24 characters or more."""
    for text in texts:
        if len(text) >= SHORTEST_TEXT_CHARACTERS:
            message = message.replace(text, HIDDEN)
            message = _without_runs(message, text)
    return message


def _may_share_run(message: str, text: str) -> bool:
    # A shared run of 24 holds a whole probe of 12 that starts at a multiple of 12: few searches find none.
    starts = range(0, len(message) - _PROBE + 1, _PROBE)
    return len(text) >= SHORTEST_QUOTE_CHARACTERS and any(message[i : i + _PROBE] in text for i in starts)


def _without_runs(message: str, text: str) -> str:
    if not _may_share_run(message, text):
        return message
    kept: list[str] = []
    position = 0
    while position < len(message):
        end = position + SHORTEST_QUOTE_CHARACTERS
        if end > len(message) or message[position:end] not in text:
            kept.append(message[position])
            position += 1
            continue
        while end < len(message) and message[position : end + 1] in text:
            end += 1
        kept.append(HIDDEN)
        position = end
    return "".join(kept)
