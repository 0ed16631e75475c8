"""Will a text fit the provider's limit of tokens? Judged without a tokenizer, by bounds that always hold.

A token is at least one byte of UTF-8, so bytes bound tokens from above. The tokenizer of OpenAI's embedding
models (cl100k_base) never joins two runs of letters nor more than three digits, so these bound them from
below. Between the two it is a guess.
"""

import itertools
import re
from enum import StrEnum

MAX_TEXT_TOKENS = 8192
"""Source: OpenAI's API reference, "Create embeddings", `input`."""
LONGEST_TOKEN_CHARACTERS = 256
"""Twice the longest of cl100k_base: 128 spaces."""
LIMITED_MODELS = frozenset({"text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"})
_DOUBT_FROM = 0.8 * MAX_TEXT_TOKENS
_TOKENS_A_WORD = 1.5
_WORDS = re.compile(r"[^\W\d_]+|\d{1,3}")
_LEADING_BITS = 0b1100_0000
_CONTINUATION_BYTE = 0b1000_0000
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


class TextLength(StrEnum):
    """How a text stands to its model's limit."""

    FITS = "fits"
    DOUBTFUL = "doubtful"
    """It may be refused, so it goes alone: then it costs the others nothing."""
    OVER = "over"


def judge_length(text: str, model: str) -> TextLength:
    """Certain for FITS below 8,193 bytes and for OVER; other providers' models have limits of their own."""
    if model not in LIMITED_MODELS or len(text.encode()) <= MAX_TEXT_TOKENS:
        return TextLength.FITS
    if len(text) > MAX_TEXT_TOKENS * LONGEST_TOKEN_CHARACTERS:
        return TextLength.OVER
    words = sum(1 for _ in itertools.islice(_WORDS.finditer(text), MAX_TEXT_TOKENS + 1))
    if words > MAX_TEXT_TOKENS:
        return TextLength.OVER
    foreign = sum(1 for _ in itertools.islice(_NOT_ASCII.finditer(text), MAX_TEXT_TOKENS))
    guess = words * _TOKENS_A_WORD + foreign
    return TextLength.DOUBTFUL if guess > _DOUBT_FROM else TextLength.FITS


def split_text(text: str, most_bytes: int = MAX_TEXT_TOKENS) -> list[str]:
    """The text in pieces of at most `most_bytes`, which surely fit, cut at spaces where there are any."""
    data = text.encode()
    pieces: list[str] = []
    start = 0
    while len(data) - start > most_bytes:
        end = start + most_bytes
        while data[end] & _LEADING_BITS == _CONTINUATION_BYTE:
            end -= 1
        space = data.rfind(b" ", start + most_bytes // 2, end)
        cut = end if space < 0 else space + 1
        pieces.append(data[start:cut].decode())
        start = cut
    rest = data[start:].decode()
    return [*pieces, rest] if rest.strip() or not pieces else pieces
