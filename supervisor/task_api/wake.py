"""`POST /wake`: whoever creates tasks may ring, and the next poll goes out at once."""

import hmac
import threading
from collections.abc import Callable
from enum import Enum

from pydantic import SecretStr

from supervisor.runtime.events import Event, WakeRequested

RINGS_A_SECOND = 20.0
BURST = 20.0


class Ring(Enum):
    """What becomes of a ring."""

    HEARD = "heard"
    REFUSED = "refused"
    TOO_OFTEN = "too_often"
    NO_BELL = "no_bell"


class WakeEndpoint:
    """Called from the server's threads. Without a token there is no bell; `clock` is monotonic."""

    def __init__(
        self, token: SecretStr | None, post: Callable[[Event], None], clock: Callable[[], float]
    ) -> None:
        self._token = token
        self._post = post
        self._clock = clock
        self._lock = threading.Lock()
        self._left = BURST
        self._counted_at = clock()

    def ring(self, authorization: str) -> Ring:
        """`authorization` is the header's value. Wrong tokens count against the rate as well."""
        if self._token is None:
            return Ring.NO_BELL
        if not self._within_rate():
            return Ring.TOO_OFTEN
        expected = f"Bearer {self._token.get_secret_value()}"
        if not hmac.compare_digest(authorization.encode(), expected.encode()):
            return Ring.REFUSED
        self._post(WakeRequested())
        return Ring.HEARD

    def _within_rate(self) -> bool:
        with self._lock:
            now = self._clock()
            self._left = min(BURST, self._left + (now - self._counted_at) * RINGS_A_SECOND)
            self._counted_at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True
