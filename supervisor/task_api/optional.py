"""Operations that not every task API has: a claim of a whole page, renewed leases, reports in bulk."""

from collections.abc import Callable

import orjson

from shared.logs import LogEvent, get_logger
from supervisor.task_api.http.exchange import Exchange, Response

TRY_AGAIN_SECONDS = 600.0
TRUST_SECONDS = 600.0
"""An operation that worked so lately is there: a 404 comes from a gateway, or from a redeploy."""
_MISSING = frozenset({404, 405, 501})

log = get_logger("optional")


class OptionalOperation:
    """Whether to use an operation. Where the API lacks it, it is tried again some time later.

    Owned by the loop; `clock` is monotonic. `name` is for the log, as `instead`: what is done without it.
    """

    def __init__(self, name: str, instead: str, clock: Callable[[], float], *, wanted: bool) -> None:
        self._name = name
        self._instead = instead
        self._clock = clock
        self._wanted = wanted
        self._missing_until = float("-inf")
        self._worked_at = float("-inf")
        self._is_told = False

    @property
    def in_use(self) -> bool:
        """It is wanted, and the API is not known to lack it."""
        return self._wanted and self._clock() >= self._missing_until

    @property
    def has_worked(self) -> bool:
        """The API has it."""
        return self._worked_at > float("-inf")

    def worked(self) -> None:
        """The API answered it in its own words."""
        self._worked_at = self._clock()
        if self._is_told:
            self._is_told = False
            log.info(LogEvent.OPERATION_FOUND, operation=self._name)

    def failed_as_missing(self, detail: str) -> bool:
        """The answer was one of an API without it. Is it out of use now? Not where it worked lately."""
        now = self._clock()
        if now - self._worked_at < TRUST_SECONDS:
            return False
        self.refused(detail)
        return True

    def refused(self, detail: str) -> None:
        """The API does not do it as it is described: leave it alone for a while."""
        self._missing_until = self._clock() + TRY_AGAIN_SECONDS
        if not self._is_told:
            self._is_told = True
            log.warning(
                LogEvent.OPERATION_MISSING, operation=self._name, instead=self._instead, detail=detail
            )


def is_missing(got: Exchange) -> bool:
    """Is this the answer of an API that has no such operation? Some frameworks say so by an HTML page."""
    return isinstance(got, Response) and got.status in _MISSING


def json_body(got: Response) -> object:
    """The body as JSON; None where it is none."""
    if not got.complete or got.unreadable:
        return None
    try:
        parsed: object = orjson.loads(got.body)
    except orjson.JSONDecodeError:
        return None
    return parsed
