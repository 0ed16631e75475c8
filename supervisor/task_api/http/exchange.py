"""What authorises an HTTP request, and what the request came to: a response, or why there is none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias


class FailedStep(StrEnum):
    """How far a request got that has no response."""

    NOT_SENT = "not_sent"
    """There was nothing to authorise it with."""
    CONNECT = "connect"
    """The name, the connection or TLS failed: nothing was sent."""
    TIMEOUT = "timeout"
    RESPONSE = "response"
    """It may have been sent, but no whole HTTP response came back."""


@dataclass(frozen=True, slots=True)
class Response:
    """`began_at` is monotonic. Names of `headers` are in lower case.

    `complete` is False where the body is larger than was allowed. `unreadable` says why its content encoding
    could not be undone. `proxy` names the proxy that passed the response on in clear.
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
    """`detail` says what failed, to which address, and which setting to check. `began_at` is monotonic."""

    step: FailedStep
    detail: str
    began_at: float
    took_seconds: float
    retry_after_seconds: float | None = None


Exchange: TypeAlias = Response | NoResponse


@dataclass(frozen=True, slots=True)
class Withheld:
    """There is nothing to authorise a request with: it must not be sent."""

    detail: str
    retry_after_seconds: float


Credential: TypeAlias = "str | Withheld"
"""The value of the Authorization header; empty for no header."""


class Authorization(Protocol):
    """`obtain` and `on_response` are called in the wire's thread alone."""

    @property
    def advice(self) -> str:
        """What to check where the API answers 401 or 403."""

    def obtain(self, use: Callable[[Credential], None]) -> None:
        """Call `use` now, or once there is a credential."""

    def on_response(self, credential: str, status: int) -> bool:
        """A request with this credential was answered. True: send it again with another credential."""

    def redact(self, text: str) -> str:
        """The text without the secrets."""


class FixedToken:
    """The same header for all requests; an empty token is no header."""

    advice = "check API_TOKEN"

    def __init__(self, token: str) -> None:
        self._token = token
        self._header = f"Bearer {token}" if token else ""

    def obtain(self, use: Callable[[Credential], None]) -> None:
        use(self._header)

    def on_response(self, credential: str, status: int) -> bool:
        return False

    def redact(self, text: str) -> str:
        return text.replace(self._token, "***") if self._token else text
