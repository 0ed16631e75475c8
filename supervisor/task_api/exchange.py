"""What one HTTP request came to: a response, or the reason why there is none. `began_at` is monotonic."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class FailedStep(StrEnum):
    """How far a request got that has no response."""

    NOT_SENT = "not_sent"
    """Held back on this side."""
    CONNECT = "connect"
    """The name, the connection or TLS: nothing was sent."""
    TIMEOUT = "timeout"
    RESPONSE = "response"
    """It may have been sent; what came back is no HTTP response, or not all of one."""


@dataclass(frozen=True, slots=True)
class Response:
    """Names of `headers` are in lower case.

    `complete` is False where the body is larger than was allowed. `unreadable` says why there is none, where
    its content encoding could not be undone. `proxy` names the one that the answer came through in clear.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray
    complete: bool
    began_at: float
    took_seconds: float
    unreadable: str = ""
    proxy: str = ""


@dataclass(frozen=True, slots=True)
class NoResponse:
    """`detail` says what failed, to which address, and which setting to look at."""

    step: FailedStep
    detail: str
    began_at: float
    took_seconds: float
    retry_after_seconds: float | None = None


Exchange: TypeAlias = Response | NoResponse
