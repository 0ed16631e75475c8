"""What has finished lately: the last 15 minutes in short stretches, the last failures and deaths."""

import bisect
import math
import time
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.metrics import BoundedLabels
from supervisor.status.status import Activity, Bucket, DeathStatus, FailureStatus, TokensStatus

BUCKET_SECONDS = 10.0
BUCKETS = 90
RATE_BUCKETS = 6
MAX_FAILURES = 20
MAX_DEATHS = 20
MAX_DEATH_CHARACTERS = 300

MIN_LATENCY_SECONDS = 0.001
MAX_LATENCY_SECONDS = 21_600.0
LATENCY_GROWTH = 1.1
LATENCY_BINS = math.ceil(math.log(MAX_LATENCY_SECONDS / MIN_LATENCY_SECONDS, LATENCY_GROWTH)) + 1
_UPPER_SECONDS = [MIN_LATENCY_SECONDS * LATENCY_GROWTH**number for number in range(LATENCY_BINS)]

EMPTY_BUCKET = Bucket(succeeded=0, failed=0, median_seconds=None, p95_seconds=None)


class LatencyCounts:
    """How long things took, in little memory: counts by size.

    A quantile read from it is off by a twentieth at most, between 1 ms and 6 hours.
    """

    def __init__(self) -> None:
        self._counts = array("L", bytes(array("L").itemsize * LATENCY_BINS))
        self._total = 0

    def add(self, seconds: float) -> None:
        self._counts[min(bisect.bisect_left(_UPPER_SECONDS, seconds), LATENCY_BINS - 1)] += 1
        self._total += 1

    def subtract(self, other: "LatencyCounts") -> None:
        """Take out what was added through `other` too."""
        if not other._total:
            return
        for number, count in enumerate(other._counts):
            self._counts[number] -= count
        self._total -= other._total

    def quantile(self, share: float) -> float | None:
        """The seconds that `share` (0 to 1) of all stay below; None if there are none."""
        if not self._total:
            return None
        wanted = max(1, math.ceil(share * self._total))
        seen = 0
        for number, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return _UPPER_SECONDS[number] / math.sqrt(LATENCY_GROWTH)
        return MAX_LATENCY_SECONDS


@dataclass(slots=True)
class _Stretch:
    """The counts behind one bucket, which is set once the stretch is over."""

    succeeded: int = 0
    failed: int = 0
    latency: LatencyCounts = field(default_factory=LatencyCounts)
    bucket: Bucket = EMPTY_BUCKET

    def as_bucket(self) -> Bucket:
        if not self.succeeded and not self.failed:
            return EMPTY_BUCKET
        return Bucket(self.succeeded, self.failed, self.latency.quantile(0.5), self.latency.quantile(0.95))


class History:
    """Owned by the loop; of bounded size. `clock` is monotonic, `wall` gives epoch seconds."""

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._wall = wall
        self._started_at = clock()
        self._number = self._bucket_number()
        self._current = _Stretch()
        self._past: deque[_Stretch] = deque()
        self._total = _Stretch()
        self._models = BoundedLabels()
        self._tokens: dict[str, TokensStatus] = {}
        self._failures: OrderedDict[tuple[str, str], FailureStatus] = OrderedDict()
        self._deaths: OrderedDict[str, DeathStatus] = OrderedDict()

    def succeeded(self, model: str, seconds: float, tokens: int) -> None:
        """A task that asked for `model` has its result, `seconds` after the poll."""
        self._advance()
        for stretch in (self._current, self._total):
            stretch.succeeded += 1
            stretch.latency.add(seconds)
        label = self._models.bound(model)
        before = self._tokens.get(label, TokensStatus(label, 0, 0))
        self._tokens[label] = TokensStatus(label, before.tasks + 1, before.tokens + tokens)

    def failed(self, task_id: str, task_type: str, message: str) -> None:
        """A task is FAILED."""
        self._advance()
        for stretch in (self._current, self._total):
            stretch.failed += 1
        key = (task_type, message)
        before = self._failures.pop(key, None)
        count = before.count + 1 if before else 1
        self._failures[key] = FailureStatus(self._wall(), count, task_id, *key)
        if len(self._failures) > MAX_FAILURES:
            self._failures.popitem(last=False)

    def died(self, slot: int, how: str, tasks_held: int) -> None:
        """A worker ended, and not because it was asked to. `how` is the second half of a sentence."""
        before = self._deaths.pop(how, None)
        count = before.count + 1 if before else 1
        shown = how[:MAX_DEATH_CHARACTERS]
        self._deaths[how] = DeathStatus(self._wall(), count, slot, tasks_held, shown)
        if len(self._deaths) > MAX_DEATHS:
            self._deaths.popitem(last=False)

    def activity(self) -> Activity:
        """The last 15 minutes as they are now."""
        self._advance()
        past = [stretch.bucket for stretch in self._past]
        buckets = [EMPTY_BUCKET] * (BUCKETS - 1 - len(past)) + [*past, self._current.as_bucket()]
        return Activity(
            bucket_seconds=BUCKET_SECONDS,
            finished_per_second=self._finished_per_second(buckets),
            total=self._total.as_bucket(),
            buckets=tuple(buckets),
        )

    def tokens(self) -> tuple[TokensStatus, ...]:
        """By model, the most used first."""
        return tuple(sorted(self._tokens.values(), key=lambda row: (-row.tokens, -row.tasks, row.model)))

    def failures(self) -> tuple[FailureStatus, ...]:
        """The latest first; those with one message are one."""
        return tuple(reversed(self._failures.values()))

    def deaths(self) -> tuple[DeathStatus, ...]:
        """The latest first; those that ended in one way are one."""
        return tuple(reversed(self._deaths.values()))

    def _finished_per_second(self, buckets: list[Bucket]) -> float:
        now = self._clock()
        in_current = now - self._number * BUCKET_SECONDS
        seconds = min((RATE_BUCKETS - 1) * BUCKET_SECONDS + in_current, now - self._started_at)
        finished = sum(bucket.succeeded + bucket.failed for bucket in buckets[-RATE_BUCKETS:])
        return finished / max(seconds, 1.0)

    def _advance(self) -> None:
        number = self._bucket_number()
        if number == self._number:
            return
        for _ in range(min(number - self._number, BUCKETS)):
            self._current.bucket = self._current.as_bucket()
            self._past.append(self._current)
            self._current = _Stretch()
            if len(self._past) == BUCKETS:
                self._drop(self._past.popleft())
        self._number = number

    def _drop(self, oldest: _Stretch) -> None:
        self._total.succeeded -= oldest.succeeded
        self._total.failed -= oldest.failed
        self._total.latency.subtract(oldest.latency)

    def _bucket_number(self) -> int:
        return int(self._clock() // BUCKET_SECONDS)
