from hypothesis import given
from hypothesis import strategies as st

from workers.providers.safe_message import MAX_MESSAGE_CHARACTERS, safe_message

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


def test_an_ordinary_message_is_left_alone() -> None:
    assert safe_message("This model's maximum context length is 8192 tokens", KEY) == (
        "This model's maximum context length is 8192 tokens"
    )


def test_a_message_can_always_be_encoded() -> None:
    assert safe_message("bad \ud800 half", KEY) == "bad   half"


def test_without_a_secret_nothing_is_replaced() -> None:
    assert safe_message("plain", "") == "plain"
