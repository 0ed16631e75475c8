"""Texts from outside, made fit for error messages."""

import re

MAX_MESSAGE_CHARACTERS = 500
HIDDEN = "[key]"

_LONGEST_SEARCHED = 10_000

_KEY_LIKE = re.compile(
    r"\b(?:sk-|gsk_|hf_|xai-|pplx-|nvapi-|AIza)[A-Za-z0-9_*.\-]{4,}|(?<=://)[^/\s@]+(?=@)"
    r"|(?<=[Bb]earer )(?=\S*[0-9*])[A-Za-z0-9_*.\-+/=]{8,}"
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def safe_message(text: str, secret: str) -> str:
    """`text` on one line, at most 500 characters long, without `secret` or anything that looks like a key."""
    text = text[:_LONGEST_SEARCHED]
    if secret:
        text = text.replace(secret, HIDDEN)
    text = _UNPRINTABLE.sub(" ", _KEY_LIKE.sub(HIDDEN, text)).strip()
    if len(text) > MAX_MESSAGE_CHARACTERS:
        return text[: MAX_MESSAGE_CHARACTERS - 1] + "…"
    return text
