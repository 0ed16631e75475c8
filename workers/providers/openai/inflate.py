"""Compressed answers, inflated piece by piece, whatever their headers say."""

import zlib
from collections.abc import Iterable, Iterator

from workers.providers.openai.bad_answer import bad_answer

_GZIP = b"\x1f\x8b"
_GZIP_ONLY, _ZLIB_ONLY, _RAW_DEFLATE = 31, 15, -15
_PIECE_BYTES = 256 * 1024
_MAX_CODINGS = 3
_PLAIN = frozenset({"", "identity", "none", "gzip", "x-gzip"})


def inflate(chunks: Iterable[bytes], content_encoding: str) -> Iterator[bytes]:
    """What `chunks` hold, in pieces of a bounded size. Raises RetryableError(BAD_RESPONSE).

    A body that begins as gzip does is gzip, and one that begins as JSON or HTML does is not compressed:
    servers and proxies declare either wrongly.
    """
    codings = [coding.strip().lower() for coding in content_encoding.split(",")]
    if len(codings) > _MAX_CODINGS:
        raise bad_answer(f"it is compressed {len(codings)} times")
    pieces: Iterator[bytes] = iter(chunks)
    for coding in reversed(codings):
        pieces = _inflate_once(pieces, coding)
    return pieces


def _inflate_once(chunks: Iterator[bytes], coding: str) -> Iterator[bytes]:
    start = _at_least_two_bytes(b"", chunks)
    if start.startswith(_GZIP):
        yield from _decompress(start, chunks, _GZIP_ONLY)
    elif coding in _PLAIN or start.lstrip()[:1] in (b"", b"{", b"[", b"<", b'"'):
        yield start
        yield from chunks
    elif coding == "deflate":
        yield from _decompress(start, chunks, _ZLIB_ONLY if _has_zlib_header(start) else _RAW_DEFLATE)
    else:
        raise bad_answer(f'it is compressed as "{coding[:20]}", though it was asked for uncompressed')


def _at_least_two_bytes(start: bytes, chunks: Iterator[bytes]) -> bytes:
    """Fewer where there are no more."""
    while len(start) < len(_GZIP):
        chunk = next(chunks, None)
        if chunk is None:
            break
        start += chunk
    return start


def _has_zlib_header(start: bytes) -> bool:
    """See RFC 1950. Some servers leave the header out."""
    method_is_deflate = start[0] & 0x0F == zlib.DEFLATED
    return method_is_deflate and int.from_bytes(start[:2], "big") % 31 == 0


def _decompress(start: bytes, chunks: Iterator[bytes], window_bits: int) -> Iterator[bytes]:
    """All members, should there be several; what follows the last one is left out."""
    member = zlib.decompressobj(window_bits)
    waiting = start
    while True:
        try:
            piece = member.decompress(waiting, _PIECE_BYTES)
        except zlib.error as error:
            raise bad_answer("its compression is damaged") from error
        if piece:
            yield piece
        waiting = member.unconsumed_tail
        if member.eof:
            waiting = _at_least_two_bytes(member.unused_data, chunks)
            if not waiting.startswith(_GZIP):
                return
            member = zlib.decompressobj(window_bits)
        elif not waiting and not piece:
            waiting = _at_least_two_bytes(b"", chunks)
            if not waiting:
                raise bad_answer("its compression is cut off")
