"""Text from outside is shown without what a screen would obey or hide, and without keys."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.plain_text import (
    MAX_ERROR_MESSAGE_CHARACTERS,
    count,
    escaped_json,
    is_plain,
    one_line,
    safe_message,
    visible,
)

HIDDEN = [
    *map(chr, (*range(0x20), *range(0x7F, 0xA0))),
    *"\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e",
    *"\u2060\u2061\u2066\u2067\u2068\u2069\u2800\u3164\ufe0f\ufeff\uffa0\ufff9\U000e0001\U000e0041\U000e0100",
]
"""Control characters, C1, direction marks, separators of lines, and what has no width."""
MIXED = st.text(st.sampled_from([*HIDDEN, *"aü漢👍 \"\\<'"]))


@pytest.mark.parametrize("entry", HIDDEN, ids=ascii)
def test_hidden_letter_is_shown_as_an_escape_or_left_out(entry: str) -> None:
    assert visible(f"a{entry}b") == f"a\\{'U' if ord(entry) > 0xFFFF else 'u'}" + (
        f"{ord(entry):08x}b" if ord(entry) > 0xFFFF else f"{ord(entry):04x}b"
    )
    assert one_line(f"a{entry}b", 10) == "a b"
    document = json.dumps({"a": entry}, ensure_ascii=False).encode()
    assert is_plain(escaped_json(document).decode())


def test_what_people_read_stays_as_it_is() -> None:
    text = "Größe 漢字 👍 'a' \"b\" \\ é"
    assert visible(text) == text == one_line(text, 100)
    document = json.dumps(text, ensure_ascii=False).encode()
    assert escaped_json(document) == document


@given(st.text() | MIXED)
def test_any_text_becomes_plain(text: str) -> None:
    assert is_plain(visible(text))
    assert is_plain(one_line(text, 20))
    assert len(one_line(text, 20)) <= 20


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])) | MIXED, MIXED),
    st.sampled_from([None, 2]),
)
def test_escaped_json_says_the_same(value: dict[str, str], indent: int | None) -> None:
    escaped = escaped_json(json.dumps(value, ensure_ascii=False, indent=indent).encode())
    assert json.loads(escaped) == value
    assert all(map(is_plain, escaped.decode().splitlines()))


def test_long_text_is_cut_before_it_is_looked_at() -> None:
    assert one_line("first\nsecond\t" + "x" * 10_000_000, 20) == "first second xxxxxx…"


KEY = "secret-of-ours-123"


@given(st.text(max_size=700), st.text(max_size=700))
def test_a_message_never_holds_the_key_and_is_bounded(before: str, after: str) -> None:
    message = safe_message(before + KEY + after, KEY)
    assert KEY not in message
    assert len(message) <= MAX_ERROR_MESSAGE_CHARACTERS
    assert "\n" not in message


def test_what_looks_like_a_key_is_hidden_even_when_it_is_not_ours() -> None:
    assert safe_message("Incorrect API key provided: sk-proj-ab12****wxyz.", KEY) == (
        "Incorrect API key provided: [key]"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key gsk_abcDEF123456 is wrong", "key [key] is wrong"),
        ("key AIzaSyD-1234567890 is wrong", "key [key] is wrong"),
        ("sent Authorization: Bearer abc123.def456-xyz", "sent Authorization: Bearer [key]"),
        ("proxy http://user:secret@proxy:3128 refuses", "proxy http://[key]@proxy:3128 refuses"),
        ("send a Bearer token in the header", "send a Bearer token in the header"),
    ],
)  # fmt: skip
def test_keys_of_every_vendor_and_passwords_in_addresses_are_hidden(text: str, shown: str) -> None:
    assert safe_message(text, KEY) == shown


def test_an_ordinary_message_is_left_alone() -> None:
    assert safe_message("This model's maximum context length is 8192 tokens", KEY) == (
        "This model's maximum context length is 8192 tokens"
    )


def test_a_message_can_always_be_encoded() -> None:
    assert safe_message("bad \ud800 half", KEY) == "bad half"


def test_without_a_secret_nothing_is_replaced() -> None:
    assert safe_message("plain", "") == "plain"


def test_one_of_a_thing_is_told_as_one() -> None:
    assert [count(1, "task"), count(0, "task"), count(1203, "task")] == ["1 task", "0 tasks", "1,203 tasks"]
