"""What a provider takes at once, learned for each model: inputs, bytes and seconds a call, calls at once."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from supervisor.runtime.learned_limit import LearnedLimit
from supervisor.status.status import LearnedAboutModel

MAX_MODELS = 200
SHARE_OF_TIMEOUT = 0.5
"""A call is made no larger than what should take this share of its timeout."""
SUPPOSED_SECONDS_AN_INPUT = 0.05
"""What an input takes for each call at once, as long as nothing was measured."""
WEIGHT_OF_FASTER_CALL = 0.5
FAILURES_FOR_A_LIMIT = 3
"""A guilty task makes batches fail as well, but soon one of their size works."""
GROWTH_OF_CALLS = 0.3
"""By so much the calls at once grow with each round of them that is served."""
UNLIMITED = 10**12


@dataclass(frozen=True, slots=True)
class Allowance:
    """How large a unit may be now. Nothing may go out at 0 inputs."""

    inputs: int
    size_bytes: int = UNLIMITED


NOTHING = Allowance(0, 0)


@dataclass(slots=True)
class _Model:
    inputs: LearnedLimit
    size_bytes: LearnedLimit
    calls: float
    """How many may be under way: halved when calls time out or meet a rate limit, then slowly more again."""
    seconds_an_input: float = 0.0
    slowest_seconds: float = 0.0
    """About how long the slower calls take that succeed."""
    failures: int = 0
    """Batches that failed, none of whose size has worked since."""
    min_failed: int = UNLIMITED
    told: set[str] = field(default_factory=set)

    @property
    def searches_blindly(self) -> bool:
        """Batches fail for their size, and none is known that works: one call at a time finds one."""
        limit = self.inputs
        return limit.fails_from is not None and limit.works_up_to <= 1 and not limit.found


class ModelLimits:
    """Owned by the loop; `clock` is monotonic. `on_learned(model, what, value)` hears once of each limit."""

    def __init__(
        self,
        timeout_seconds: float,
        max_calls: int,
        clock: Callable[[], float],
        on_learned: Callable[[str, str, float], None] = lambda _, __, ___: None,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._max_calls = max_calls
        self._clock = clock
        self._on_learned = on_learned
        self._models: OrderedDict[str, _Model] = OrderedDict()

    def allowance(self, model: str, wanted: Allowance, calls_under_way: int) -> Allowance:
        """How much of `wanted` one unit may hold now."""
        known = self._model(model)
        if calls_under_way >= (1 if known.searches_blindly else int(known.calls)):
            return NOTHING
        inputs = min(known.inputs.limit(wanted.inputs), self._inputs_in_time(known))
        return Allowance(min(wanted.inputs, inputs), known.size_bytes.limit(wanted.size_bytes))

    def began(self, model: str, inputs: int, size_bytes: int) -> None:
        """A call of this size is being made."""
        known = self._model(model)
        known.inputs.began(inputs)
        known.size_bytes.began(size_bytes)

    def worked(self, model: str, inputs: int, size_bytes: int, seconds: float) -> None:
        """A call of this size was served."""
        known = self._model(model)
        if inputs >= known.min_failed:
            known.failures, known.min_failed = 0, UNLIMITED
        known.inputs.worked(inputs)
        known.size_bytes.worked(size_bytes)
        known.calls = min(known.calls + GROWTH_OF_CALLS / known.calls, self._max_calls)
        known.seconds_an_input = _follow(known.seconds_an_input, seconds / inputs)
        known.slowest_seconds = _follow(known.slowest_seconds, seconds)
        self._tell(model, known)

    def too_much(self, model: str, inputs: int, size_bytes: int) -> None:
        """A batch of this size failed, for a guilty task or for its size.

        It is taken for the size when several failed, and none of their size has worked. It is the bytes
        that are too many where as many inputs have worked.
        """
        known = self._model(model)
        many_inputs = inputs > known.inputs.works_up_to
        if not many_inputs and size_bytes <= known.size_bytes.works_up_to:
            return
        known.failures += 1
        known.min_failed = min(known.min_failed, inputs)
        limit, amount = (known.inputs, inputs) if many_inputs else (known.size_bytes, size_bytes)
        if known.failures >= FAILURES_FOR_A_LIMIT or limit.fails_from is not None:
            limit.failed(amount)

    def one_by_one(self, model: str) -> None:
        """The provider can be asked for one input a call only."""
        self._model(model).inputs.failed(2)

    def excused(self, model: str, inputs: int) -> None:
        """What failed in calls of up to so many inputs failed for a guilty task, not for its size."""
        known = self._model(model)
        known.failures, known.min_failed = 0, UNLIMITED
        known.inputs.excused(inputs)
        known.size_bytes.excused(UNLIMITED)

    def undecided(self, model: str) -> None:
        """A call ended in a way that says nothing about its size."""
        known = self._model(model)
        known.inputs.undecided()
        known.size_bytes.undecided()

    def timed_out(self, model: str, inputs: int) -> None:
        """A call of so many inputs was not answered in time."""
        known = self._model(model)
        if inputs > 1:
            known.seconds_an_input = max(known.seconds_an_input, self._timeout_seconds / inputs)
        nothing_served = not known.slowest_seconds
        if nothing_served or (inputs == 1 and self.is_congested(model)):
            known.calls = max(1.0, known.calls / 2)
        self._tell(model, known)

    def is_in_doubt(self, model: str, inputs: int) -> bool:
        """Is a call of so many inputs more than what worked, while a limit is known?"""
        known = self._model(model).inputs
        return known.fails_from is not None and inputs > known.works_up_to

    def has_worked(self, model: str, inputs: int, size_bytes: float) -> bool:
        """Has a call worked that was at least as large?"""
        known = self._model(model)
        return inputs <= known.inputs.works_up_to and size_bytes <= known.size_bytes.works_up_to

    def rate_limited(self, model: str) -> None:
        """A call was refused for the rate again: fewer at once."""
        known = self._model(model)
        known.calls = max(1.0, known.calls / 2)

    def is_congested(self, model: str) -> bool:
        """Do calls that succeed come close to the timeout?"""
        return self._model(model).slowest_seconds >= SHARE_OF_TIMEOUT * self._timeout_seconds

    def learned(self, provider: str = "") -> tuple[LearnedAboutModel, ...]:
        """What is known of each model that was called, with the provider's name."""
        return tuple(
            LearnedAboutModel(
                model=name,
                inputs_a_call=_known_limit(known.inputs),
                bytes_a_call=_known_limit(known.size_bytes),
                calls_at_once=int(known.calls) if known.calls < self._max_calls else None,
                seconds_an_input=known.seconds_an_input or None,
                provider=provider,
            )
            for name, known in self._models.items()
        )

    def _inputs_in_time(self, known: _Model) -> int:
        """How many inputs a call may have so that it should be answered well before its timeout."""
        seconds = known.seconds_an_input or SUPPOSED_SECONDS_AN_INPUT * self._max_calls
        return max(1, int(SHARE_OF_TIMEOUT * self._timeout_seconds / seconds))

    def _tell(self, model: str, known: _Model) -> None:
        """Say once what was learned of a limit, when the search for it is over."""
        for what, limit in (("inputs_a_call", known.inputs), ("bytes_a_call", known.size_bytes)):
            if limit.found and what not in known.told:
                known.told.add(what)
                self._on_learned(model, what, limit.works_up_to)
            elif limit.fails_from is None:
                known.told.discard(what)

    def _model(self, name: str) -> _Model:
        known = self._models.get(name)
        if known is not None:
            self._models.move_to_end(name)
        else:
            known = _Model(LearnedLimit(self._clock), LearnedLimit(self._clock), float(self._max_calls))
            self._models[name] = known
            if len(self._models) > MAX_MODELS:
                self._models.popitem(last=False)
        return known


def _known_limit(limit: LearnedLimit) -> int | None:
    return None if limit.fails_from is None else limit.works_up_to


def _follow(before: float, sample: float) -> float:
    """Up at once, down slowly: to suppose too little is what makes calls time out."""
    if sample >= before:
        return sample
    return before + WEIGHT_OF_FASTER_CALL * (sample - before)
