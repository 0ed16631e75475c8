import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RetryableError, RetryReason
from workers.providers.openai.http import inflate

BODY = b'{"data": []}' * 1000


def read(content: bytes, encoding: str, piece_bytes: int = 100) -> bytes:
    pieces = [content[start : start + piece_bytes] for start in range(0, len(content), piece_bytes)]
    return b"".join(inflate(pieces, encoding))


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


@pytest.mark.parametrize("piece_bytes", [1, 2, 7, 10**6])
@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        pytest.param(BODY, "", id="plain"),
        pytest.param(BODY, "identity", id="identity"),
        pytest.param(gzip.compress(BODY), "gzip", id="gzip"),
        pytest.param(gzip.compress(BODY), "x-gzip", id="x-gzip"),
        pytest.param(gzip.compress(BODY), "GZIP", id="upper case"),
        pytest.param(gzip.compress(BODY), "", id="gzip not declared"),
        pytest.param(gzip.compress(BODY), "deflate", id="gzip declared as deflate"),
        pytest.param(BODY, "gzip", id="plain declared as gzip"),
        pytest.param(BODY, "br", id="plain declared as br"),
        pytest.param(BODY, "deflate", id="plain declared as deflate"),
        pytest.param(zlib.compress(BODY), "deflate", id="zlib"),
        pytest.param(raw_deflate(BODY), "deflate", id="raw deflate"),
        pytest.param(gzip.compress(BODY[:500]) + gzip.compress(BODY[500:]), "gzip", id="two members"),
        pytest.param(gzip.compress(BODY) + bytes(512), "gzip", id="padded"),
        pytest.param(gzip.compress(gzip.compress(BODY)), "gzip, gzip", id="twice"),
        pytest.param(gzip.compress(zlib.compress(BODY)), "deflate, gzip", id="two ways"),
    ],
)
def test_a_body_is_inflated_whatever_its_header_says(content: bytes, encoding: str, piece_bytes: int) -> None:
    assert read(content, encoding, piece_bytes) == BODY


@pytest.mark.parametrize(
    ("content", "encoding", "complaint"),
    [
        pytest.param(gzip.compress(BODY)[:-20], "gzip", "cut off", id="gzip cut off"),
        pytest.param(zlib.compress(BODY)[:-20], "deflate", "cut off", id="zlib cut off"),
        pytest.param(gzip.compress(BODY)[:10] + b"\xff" * 50, "gzip", "damaged", id="damaged"),
        pytest.param(b"\x01\x02\x03\x04", "br", 'compressed as "br"', id="not known"),
        pytest.param(b"\x01\x02", "gzip, gzip, gzip, gzip", "compressed 4 times", id="four times"),
    ],
)
def test_what_cannot_be_inflated_is_a_bad_answer(content: bytes, encoding: str, complaint: str) -> None:
    with pytest.raises(RetryableError, match=complaint) as caught:
        read(content, encoding)
    assert caught.value.reason is RetryReason.BAD_RESPONSE


def test_an_empty_body_stays_empty() -> None:
    assert read(b"", "gzip") == b""


def test_a_bomb_is_inflated_only_as_far_as_it_is_read() -> None:
    bomb = gzip.compress(bytes(50 * 1024 * 1024))
    assert len(next(inflate([bomb], "gzip"))) <= 256 * 1024


@given(st.binary(max_size=100), st.sampled_from(["", "gzip", "deflate", "br"]))
def test_no_content_raises_anything_but_a_task_error(content: bytes, encoding: str) -> None:
    try:
        read(content, encoding, 3)
    except RetryableError as error:
        assert error.reason is RetryReason.BAD_RESPONSE
