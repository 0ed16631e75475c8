"""An answer is read the same however its bytes arrive, and what is none is said to be none."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.task_api.http_answer import MAX_HEAD_BYTES, Answer, AnswerReader, BrokenAnswerError

MOST_BYTES = 1000
ANSWERS = {
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b:c \r\n\r\nhello",
    "bare line ends": b"HTTP/1.1 200 OK\nContent-Length: 5\nX-A: b:c\n\nhello",
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b:c\r\n\r\n"
        b"2\r\nhe\r\n3;name=value\r\nllo\r\n0\r\nTrailer: x\r\n\r\n"
    ),
    "the end of the connection": b"HTTP/1.0 200\r\nX-A: b:c\r\n\r\nhello",
    "an interim answer first": (
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: b:c\r\n\r\nhello"
    ),
}


def read(*pieces: bytes, most_bytes: int = MOST_BYTES) -> Answer:
    """What is read from bytes that arrive in these pieces, before the other side hangs up."""
    coming = iter(pieces)
    return AnswerReader(lambda: next(coming, b""), most_bytes).read()


def head(*lines: str, status: int = 200) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} Some words", *lines, "", ""]).encode()


@pytest.mark.parametrize("content", ANSWERS.values(), ids=ANSWERS.keys())
@given(data=st.data())
def test_answer_is_the_same_however_it_arrives(content: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(content) - 1))))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    answer = read(*pieces)
    assert (answer.status, answer.headers["x-a"], bytes(answer.body)) == (200, "b:c", b"hello")
    assert answer.complete


@given(st.binary(max_size=200), st.sampled_from([b"", head(), head("Transfer-Encoding: chunked")]))
def test_nothing_but_a_broken_answer_comes_of_garbage(garbage: bytes, before: bytes) -> None:
    with contextlib.suppress(BrokenAnswerError):
        read(before + garbage)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "hung up without an answer"),
        (b"SSH-2.0\r\n\r\n", "begins with b'SSH-2.0"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "begins with"),
        (b"HTTP/2 200 OK\r\n\r\n", "begins with"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "broke off in its head"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * MAX_HEAD_BYTES, "head of the answer is too long"),
        (head("no colon"), "header"),
        (head("Content-Length : 5"), "header"),
        (head("Content-Length: 5", "Content-Length: 6"), "two lengths"),
        (head("Content-Length: -5"), "length '-5'"),
        (head("Content-Length: 5") + b"hell", "broke off after 4 of 5 bytes"),
        (head("Transfer-Encoding: gzip, chunked"), "transfer coding"),
        (head("Transfer-Encoding: chunked") + b"5\r\nhel", "broke off in a chunk"),
        (head("Transfer-Encoding: chunked") + b"5\r\nhelloXX\r\n", "chunk without an end"),
        (head("Transfer-Encoding: chunked") + b"5\r\nhelloXX", "broke off between its chunks"),
        (head("Transfer-Encoding: chunked") + b"\r\n", "chunk of no size"),
        (head("Transfer-Encoding: chunked") + b"1" * 2000, "line that is too long"),
        (head("Transfer-Encoding: chunked") + b"0\r\n" + b"X: y\r\n" * 20, "too much behind its last chunk"),
        (head(status=100) * 20, "only interim answers"),
    ],
)
def test_broken_answer_says_what_is_wrong(content: bytes, complaint: str) -> None:
    with pytest.raises(BrokenAnswerError, match=complaint):
        read(content)


@pytest.mark.parametrize("status", [204, 304])
def test_answer_without_a_body_has_none_whatever_it_says(status: int) -> None:
    assert read(head("Content-Length: 5", status=status)).body == b""


@pytest.mark.parametrize(
    ("content", "last"),
    [
        (head("Content-Length: 0"), False),
        (head("Content-Length: 0", "Connection: Close"), True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", False),
        (head(), True),
        (head("Content-Length: 0") + b"HTTP/1.1 200 Stray", True),
        (head(status=204) + b"{}", True),
    ],
)
def test_connection_is_kept_only_where_the_next_answer_can_be_told_from_this(
    content: bytes, last: bool
) -> None:
    assert read(content).last is last


@pytest.mark.parametrize(
    "content",
    [
        head("Content-Length: 5000") + b"x" * 5000,
        head() + b"x" * 5000,
        head("Transfer-Encoding: chunked") + b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\nx\r\n0\r\n\r\n",
    ],
    ids=["length", "end", "chunks"],
)
def test_body_that_is_too_large_is_cut_and_ends_the_connection(content: bytes) -> None:
    answer = read(content)
    assert (answer.complete, answer.last) == (False, True)
    assert answer.body.startswith(b"xxx")


def test_body_as_large_as_allowed_is_whole() -> None:
    answer = read(head("Content-Length: 1000") + b"x" * 1000)
    assert (len(answer.body), answer.complete, answer.last) == (1000, True, False)
