"""Texts from outside, made fit for error messages."""

import re

from shared.plain_text import one_line

MAX_MESSAGE_CHARACTERS = 500
HIDDEN = "[key]"

_MAX_SEARCHED = 10_000

_KEY_LIKE = re.compile(
    r"\b(?:sk-|gsk_|hf_|xai-|pplx-|nvapi-|AIza)[A-Za-z0-9_*.\-]{4,}|(?<=://)[^/\s@]+(?=@)"
    r"|(?<=[Bb]earer )(?=\S*[0-9*])[A-Za-z0-9_*.\-+/=]{8,}"
)


def safe_message(text: str, secret: str) -> str:
    """`text` on one line, at most 500 characters long, without `secret` or anything that looks like a key."""
    text = text[:_MAX_SEARCHED]
    if secret:
        text = text.replace(secret, HIDDEN)
    return one_line(_KEY_LIKE.sub(HIDDEN, text), MAX_MESSAGE_CHARACTERS)
