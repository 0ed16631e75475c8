"""Text from outside, made fit to be shown: nothing moves a cursor, turns the direction or stays unseen."""

import re

_HIDDEN_LETTERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""What Python calls printable, and nobody sees: fillers, joiners, variation selectors."""
_SUSPECT = re.compile(r"[^ -~]")
_SUSPECT_IN_JSON = re.compile(r"[^\x00-~]")
"""JSON itself allows other control characters between its tokens only."""
_MAX_IN_FOUR_DIGITS = 0xFFFF


def count(number: int, noun: str) -> str:
    """`1 task`, `1,203 tasks`."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def is_plain(text: str) -> bool:
    """Is every character of it one that is seen, or a space?"""
    return text.isprintable() and (text.isascii() or not _HIDDEN_LETTERS.search(text))


def visible(text: str) -> str:
    r"""`text` on one line, with what a screen would obey or hide written as `\u202e`."""
    return text if is_plain(text) else _SUSPECT.sub(_escape, text)


def one_line(text: str, max_characters: int) -> str:
    """The first words of `text`, with single spaces for all that is not plain."""
    cut = text[: 2 * max_characters]
    line = " ".join(_SUSPECT.sub(_space, cut).split())
    if len(line) > max_characters or len(cut) < len(text):
        return line[: max_characters - 1] + "…"
    return line


def escaped_json(document: bytes) -> bytes:
    r"""The same JSON, with what a screen would obey or hide written as `\u202e`."""
    if document.isascii() and b"\x7f" not in document:
        return document
    return _SUSPECT_IN_JSON.sub(_json_escape, document.decode()).encode()


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    if is_plain(found[0]):
        return found[0]
    return f"\\u{number:04x}" if number <= _MAX_IN_FOUR_DIGITS else f"\\U{number:08x}"


def _space(found: re.Match[str]) -> str:
    return found[0] if is_plain(found[0]) else " "


def _json_escape(found: re.Match[str]) -> str:
    if is_plain(found[0]):
        return found[0]
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


MAX_ERROR_MESSAGE_CHARACTERS = 500
"""Of a message that the task API gets with a failed task."""
HIDDEN_KEY = "[key]"

_MAX_SEARCHED = 10_000

_KEY_LIKE = re.compile(
    r"\b(?:sk-|gsk_|hf_|xai-|pplx-|nvapi-|AIza)[A-Za-z0-9_*.\-]{4,}|(?<=://)[^/\s@]+(?=@)"
    r"|(?<=[Bb]earer )(?=\S*[0-9*])[A-Za-z0-9_*.\-+/=]{8,}"
)


def words_of(error: BaseException) -> str:
    """What the error says. A class from outside may have a `__str__` that raises."""
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001  it is someone else's code
        return f"(its text cannot be had: {type(fault).__name__})"


def type_and_words(error: BaseException) -> str:
    """`ValueError: what it says`."""
    return f"{type(error).__name__}: {words_of(error)}"


def safe_message(text: str, secret: str = "") -> str:
    """`text` as one line for an error message, cut, without `secret` or anything that looks like a key."""
    text = text[:_MAX_SEARCHED]
    if secret:
        text = text.replace(secret, HIDDEN_KEY)
    return one_line(_KEY_LIKE.sub(HIDDEN_KEY, text), MAX_ERROR_MESSAGE_CHARACTERS)
