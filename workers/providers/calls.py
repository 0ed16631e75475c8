"""Counts a worker's calls to the provider."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from shared.errors import NonRetryableError, RetryableError
from shared.messages import RateLimits
from shared.metrics import WorkerMetrics
from shared.models import NOTHING_BILLED, Usage


class CallStatus(StrEnum):
    """Values of the label `status` beside those of RetryReason."""

    OK = "ok"
    REJECTED = "rejected"
    ERROR = "error"


class _Unit(threading.local):
    """The unit that a thread runs."""

    labels = ("", "")
    provider = ""
    deadline = math.inf
    rate_limits: RateLimits | None = None
    usage = NOTHING_BILLED
    texts = 1


class ProviderCalls:
    """Counts a worker's calls, and keeps the limits that the last answer stated. Each thread runs a unit.

    Calls count under the provider and the model label of the unit that runs. The label is not the model's
    name: only the supervisor can bound label values for all workers together.
    """

    def __init__(self, metrics: WorkerMetrics, clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._unit = _Unit()

    def begin_unit(self, model_label: str, provider: str = "", deadline: float = math.inf) -> None:
        """The next calls of this thread belong to a new unit, and end at `deadline`."""
        self._unit.provider = provider
        self._unit.labels = (provider, model_label)
        self._unit.deadline = deadline
        self._unit.rate_limits = None
        self._unit.usage = NOTHING_BILLED

    @property
    def provider(self) -> str:
        """The one that the unit at hand goes to."""
        return self._unit.provider

    @property
    def rate_limits(self) -> RateLimits | None:
        return self._unit.rate_limits

    @rate_limits.setter
    def rate_limits(self, limits: RateLimits | None) -> None:
        self._unit.rate_limits = limits

    @property
    def usage(self) -> Usage:
        """What the calls of the unit at hand were billed, so far."""
        return self._unit.usage

    @property
    def texts(self) -> int:
        """How many texts the call under way has."""
        return self._unit.texts

    def left_seconds(self) -> float:
        """What the unit at hand has left for its calls; 0 or less when it is over."""
        return self._unit.deadline - self._clock()

    @contextmanager
    def call(self, texts: int) -> Iterator[None]:
        """Counts the code inside as one call for so many texts."""
        started = self._clock()
        self._unit.texts = texts
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
            self._metrics.requests.labels(*self._unit.labels, str(status)).inc()
            self._metrics.batch.labels(*self._unit.labels).observe(texts)
            self._metrics.duration.labels(*self._unit.labels).observe(self._clock() - started)

    def billed(self, usage: Usage) -> None:
        """Count the tokens of a call that succeeded."""
        self._unit.usage += usage
        for kind, tokens in {"prompt": 0, **usage.by_kind, "total": usage.total_tokens}.items():
            self._metrics.tokens.labels(*self._unit.labels, kind).inc(tokens)
