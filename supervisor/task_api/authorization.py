"""What goes into the Authorization header of a request, and what its answer says of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class Withheld:
    """There is nothing to authorise a request with; it must not be sent."""

    detail: str
    retry_after_seconds: float


Credential: TypeAlias = "str | Withheld"
"""The value of the header; empty for none."""


class Authorization(Protocol):
    """`obtain` and `answered` are used in the wire's thread alone."""

    @property
    def advice(self) -> str:
        """What to look at where the API does not let us in."""

    def obtain(self, use: Callable[[Credential], None]) -> None:
        """Call `use` now, or once the credential is there."""

    def answered(self, credential: str, status: int) -> bool:
        """A request with this credential was answered so. Says if it should be sent again with another."""

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

    def answered(self, credential: str, status: int) -> bool:
        """There is no other token to try."""
        return False

    def redact(self, text: str) -> str:
        return text.replace(self._token, "***") if self._token else text
