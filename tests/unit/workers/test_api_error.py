import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.providers.openai.api_error import ApiError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"error":{"message":"no","type":"t","code":null}}', "no"),
        (b'{"error":{"message":"no","code":404}}', "no"),
        (b'{"error":"model \\"x\\" not found"}', 'model "x" not found'),
        (b'{"object":"error","message":"The model `x` does not exist."}', "The model `x` does not exist."),
        (b'{"detail":"Not Found"}', "Not Found"),
    ],
)
def test_the_message_is_found_in_every_servers_shape(content: bytes, message: str) -> None:
    error = ApiError.parse(content)
    assert error is not None
    assert error.message == message


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>model</html>", b"[]", b"null", b"{}", b'{"error":{}}', b'{"error":" "}', b'{"error":7}'],
)
def test_what_says_nothing_is_no_error_body(content: bytes) -> None:
    assert ApiError.parse(content) is None


@given(st.binary(max_size=200))
def test_no_content_raises(content: bytes) -> None:
    ApiError.parse(content)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ApiError("The model `x` does not exist"), True),
        (ApiError("gone", code="model_not_found"), True),
        (ApiError("gone", param="model"), True),
        (ApiError("no such thing: bge-m3"), True),
        (ApiError("Invalid URL (POST /embeddings)"), False),
        (ApiError("Not Found"), False),
    ],
)
def test_a_missing_model_is_told_from_a_wrong_address(error: ApiError, expected: bool) -> None:
    assert error.names_model("bge-m3") is expected
