"""Counts a worker's calls to the provider."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from shared.errors import NonRetryableError, RetryableError
from shared.messages import RateLimits
from shared.metrics import WorkerMetrics
from shared.models import Usage


class CallStatus(StrEnum):
    """Values of the label `status` beside those of RetryReason."""

    OK = "ok"
    REJECTED = "rejected"
    ERROR = "error"


class ProviderCalls:
    """Counts a worker's calls, and keeps the limits that the last answer stated.

    Calls count under the provider and the model label of the unit that runs. The label is not the model's
    name: only the supervisor can bound label values for all workers together.
    """

    def __init__(self, metrics: WorkerMetrics, clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._labels = ("", "")
        self.provider = ""
        """The one that the unit at hand goes to."""
        self.rate_limits: RateLimits | None = None

    def begin_unit(self, model_label: str, provider: str = "") -> None:
        """The next calls belong to a new unit."""
        self.provider = provider
        self._labels = (provider, model_label)
        self.rate_limits = None

    @contextmanager
    def call(self, texts: int) -> Iterator[None]:
        """Counts the code inside as one call for so many texts."""
        started = self._clock()
        status: str = CallStatus.ERROR
        try:
            yield
            status = CallStatus.OK
        except RetryableError as error:
            status = error.reason
            raise
        except NonRetryableError:
            status = CallStatus.REJECTED
            raise
        finally:
            self._metrics.requests.labels(*self._labels, str(status)).inc()
            self._metrics.batch.labels(*self._labels).observe(texts)
            self._metrics.duration.labels(*self._labels).observe(self._clock() - started)

    def billed(self, usage: Usage) -> None:
        """Count the tokens of a call that succeeded."""
        for kind, tokens in {"prompt": 0, **usage.by_kind, "total": usage.total_tokens}.items():
            self._metrics.tokens.labels(*self._labels, kind).inc(tokens)
