"""`POST /wake`: whoever creates tasks may call it, and the next poll goes out at once."""

import hmac
import threading
from collections.abc import Callable
from http import HTTPStatus

from pydantic import SecretStr

from supervisor.console.connections import JSON, Answer
from supervisor.runtime.events import Event, WakeRequested

CALLS_A_SECOND = 20.0
BURST = 20.0

POLLING = Answer(HTTPStatus.ACCEPTED, JSON, b'{"status":"polling"}')
WRONG_TOKEN = Answer(HTTPStatus.UNAUTHORIZED, JSON, b'{"status":"wrong_token"}')
TOO_OFTEN = Answer(HTTPStatus.TOO_MANY_REQUESTS, JSON, b'{"status":"too_often"}')
NO_TOKEN_SET = Answer(HTTPStatus.NOT_FOUND, JSON, b'{"status":"no_wake_token_set"}')


class WakeEndpoint:
    """Called from the server's threads. Without a token it is not there; `clock` is monotonic."""

    def __init__(
        self, token: SecretStr | None, post: Callable[[Event], None], clock: Callable[[], float]
    ) -> None:
        self._token = token
        self._post = post
        self._clock = clock
        self._lock = threading.Lock()
        self._left = BURST
        self._counted_at = clock()

    def wake(self, authorization: str) -> Answer:
        """`authorization` is the header's value. Wrong tokens count against the rate as well."""
        if self._token is None:
            return NO_TOKEN_SET
        if not self._within_rate():
            return TOO_OFTEN
        expected = f"Bearer {self._token.get_secret_value()}"
        if not hmac.compare_digest(authorization.encode(), expected.encode()):
            return WRONG_TOKEN
        self._post(WakeRequested())
        return POLLING

    def _within_rate(self) -> bool:
        with self._lock:
            now = self._clock()
            self._left = min(BURST, self._left + (now - self._counted_at) * CALLS_A_SECOND)
            self._counted_at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True
