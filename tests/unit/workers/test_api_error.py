import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.providers.openai.api_error import ApiError, BodyKind


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"error":{"message":"no","type":"t","code":null}}', "no"),
        (b'{"error":{"message":"no","code":404}}', "no"),
        (b'{"error":"model \\"x\\" not found"}', 'model "x" not found'),
        (b'{"object":"error","message":"The model `x` does not exist."}', "The model `x` does not exist."),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"detail":{"error":{"msg":"deep"}}}', "deep"),
        (
            b'{"detail":[{"loc":["body","input",0],"msg":"too long","type":"v"},{"msg":"more"}]}',
            "body.input.0: too long; more",
        ),
        (b'{"errors":[{"message":"one"},{"message":"two"}]}', "one; two"),
        (b'{"errors":["one"]}', "one"),
        (b'{"errors":{"input":["must be text"]}}', '{"errors":{"input":["must be text"]}}'),
        (b'{"msg":"short"}', "short"),
        (b'{"Message":"User is not authorized"}', "User is not authorized"),
        (b'{"message":["a must be text","b"],"error":"Bad Request"}', "a must be text; b"),
        (b'{"error":{"message":{"text":"x","message":"inner"}}}', "inner"),
        (b'{"error_message":"said so"}', "said so"),
        (b'{"fault":{"faultstring":"Rate limit quota violation","detail":{}}}', "Rate limit quota violation"),
        (b'{"title":"Bad","status":400}', "Bad"),
        (b'{"error":{"code":7}}', '{"error":{"code":7}}'),
        (b'"just a string"', "just a string"),
        (b'[{"error":{"message":"as Google says it"}}]', "as Google says it"),
        (b'\xef\xbb\xbf{"error":"after a mark"}', "after a mark"),
        (b"plain\n  text", "plain text"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"null", "null"),
        (b"[]", "[]"),
        (b'{"error":{"message":"upstream","metadata":{"raw":"why"}}}', "upstream: why"),
        (b"<html><head><title>502 &amp; more</title></head><body>x</body></html>", "502 & more"),
        (b"<html><style>p {}</style><p>No <b>title</b></p><script>var x</script></html>", "No title"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "AccessDenied"),
        (b"<html></html>", "a page without text"),
    ],
)  # fmt: skip
def test_the_first_words_are_found_in_every_servers_shape(content: bytes, message: str) -> None:
    assert ApiError.parse(content).message == message


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", BodyKind.EMPTY),
        (b" \r\n", BodyKind.EMPTY),
        (b'{"error":"x"}', BodyKind.API),
        (b"{}", BodyKind.TEXT),
        (b"7", BodyKind.TEXT),
        (b"404 page not found", BodyKind.TEXT),
        (b"\n <html>", BodyKind.PAGE),
    ],
)
def test_a_page_is_told_from_what_the_api_says(content: bytes, kind: BodyKind) -> None:
    assert ApiError.parse(content).kind is kind


def test_names_are_compared_without_regard_to_case_and_may_be_numbers() -> None:
    error = ApiError.parse(b'{"error":{"message":"x","code":402,"type":"Insufficient_Quota"}}')
    assert error.names == {"402", "insufficient_quota"}


def test_the_parameter_is_found_where_fastapi_puts_it() -> None:
    content = b'{"detail":[{"loc":["body","encoding_format"],"msg":"not permitted"}]}'
    assert ApiError.parse(content).param == "encoding_format"


@given(st.binary(max_size=200))
def test_no_content_raises_and_only_an_empty_one_says_nothing(content: bytes) -> None:
    error = ApiError.parse(content)
    assert bool(error.message) or error.kind is BodyKind.EMPTY


@pytest.mark.parametrize("content", [b"<" * 10**6, b"<script>" * 10**5, b"<!--" * 10**5, b'{"a":' * 10**5])
def test_a_hostile_body_costs_little_and_its_words_are_bounded(content: bytes) -> None:
    started = time.process_time()
    assert len(ApiError.parse(content).message) <= 2000
    assert time.process_time() - started < 1.0
