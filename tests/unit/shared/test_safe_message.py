import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.plain_text import MAX_MESSAGE_CHARACTERS, safe_message

KEY = "secret-of-ours-123"


@given(st.text(max_size=700), st.text(max_size=700))
def test_a_message_never_holds_the_key_and_is_bounded(before: str, after: str) -> None:
    message = safe_message(before + KEY + after, KEY)
    assert KEY not in message
    assert len(message) <= MAX_MESSAGE_CHARACTERS
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
