"""What is known about a provider, model by model; and the canaries, which find out more.

A canary is a question with a known answer. It tells a task's fault from the provider's.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.models import BatchKey, Task

LATELY_SECONDS = 600.0
MAX_MODELS = 200
MAX_REFUSALS = 50
MAX_REFUSAL_CHARACTERS = 200
MAX_REFUSED_IN_A_ROW = 3
"""So many tasks refused in a row look like trouble of the account: a canary is asked again."""
MAX_SAMPLES = 200.0
PRIOR_SAMPLES = 5.0
"""Calls without a failure that are assumed, so that the first failure is not half of all calls."""
NEVER = float("-inf")

_VARIABLE_PARTS = re.compile(r"\d+|'[^']*'|\"[^\"]*\"|`[^`]*`")


@dataclass(slots=True)
class _Model:
    served_at: float = NEVER
    began_at: float = NEVER
    """When the latest call that was served began."""
    refusals: OrderedDict[str, None] = field(default_factory=OrderedDict)
    refused_in_a_row: int = 0
    failures: float = 0.0
    successes: float = 0.0


class Evidence:
    """What a provider has served, and which refusals were a task's fault.

    Of bounded size. Owned by the loop; all times are those of `clock`, which is monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._models: OrderedDict[str, _Model] = OrderedDict()

    def served(self, model: str, began_at: float, failures_before: int = 0) -> None:
        """A call that began at `began_at` was served.

        `failures_before` is how often just this call failed before: those failures were chance.
        """
        known = self._model(model)
        known.served_at = self._clock()
        known.began_at = max(known.began_at, began_at)
        known.refused_in_a_row = 0
        known.failures += failures_before
        known.successes += 1
        if known.failures + known.successes > MAX_SAMPLES:
            known.failures /= 2
            known.successes /= 2

    def served_since(self, model: str, moment: float) -> bool:
        """Was a call for the model served that began after `moment`?"""
        return self._model(model).began_at > moment

    def served_lately(self, model: str) -> bool:
        return self._is_recent(self._model(model))

    def others_served_lately(self, model: str) -> bool:
        return any(self._is_recent(known) for name, known in self._models.items() if name != model)

    def chance_of_failure(self, model: str) -> float:
        """The share of calls that fail and succeed when they are made again."""
        known = self._model(model)
        return known.failures / (known.failures + known.successes + PRIOR_SAMPLES)

    def task_failed(self, model: str) -> None:
        """A task is FAILED because it was refused."""
        self._model(model).refused_in_a_row += 1

    def refusal_is_of_tasks(self, model: str, message: str) -> None:
        """Some tasks meet this refusal while the model is served: it is theirs."""
        known = self._model(model)
        known.refusals[_kind_of(message)] = None
        known.refusals.move_to_end(_kind_of(message))
        if len(known.refusals) > MAX_REFUSALS:
            known.refusals.popitem(last=False)

    def is_known_refusal(self, model: str, message: str) -> bool:
        """Was this kind of refusal a task's fault before, and is the model served since?"""
        known = self._model(model)
        return (
            self._is_recent(known)
            and known.refused_in_a_row < MAX_REFUSED_IN_A_ROW
            and _kind_of(message) in known.refusals
        )

    def _is_recent(self, known: _Model) -> bool:
        return self._clock() - known.served_at <= LATELY_SECONDS

    def _model(self, name: str) -> _Model:
        known = self._models.get(name)
        if known is not None:
            self._models.move_to_end(name)
        else:
            known = self._models[name] = _Model()
            if len(self._models) > MAX_MODELS:
                self._models.popitem(last=False)
        return known


class Canaries:
    """Which models are to be asked, and which were asked and have not answered. Owned by the loop.

    `make` gives the question for a key, around a name; `new_name` a word that was not used before: no canary
    is paid for twice.
    """

    def __init__(self, make: Callable[[BatchKey, str], Task | None], new_name: Callable[[], str]) -> None:
        self._make = make
        self._new_name = new_name
        self._wanted: OrderedDict[str, BatchKey] = OrderedDict()
        self._asked: set[str] = set()
        self._names: OrderedDict[str, str] = OrderedDict()

    def __bool__(self) -> bool:
        """Is any to be asked?"""
        return bool(self._wanted)

    def want(self, key: BatchKey) -> None:
        """Ask the model of `key` as soon as the provider may be called, if it is not being asked already."""
        if key.model not in self._asked:
            self._wanted.setdefault(key.model, key)

    def next(self, may_ask: Callable[[BatchKey], bool]) -> BatchKey | None:
        """The next one whose model may be asked now."""
        return next((key for key in self._wanted.values() if may_ask(key)), None)

    def take(self, key: BatchKey) -> Task | None:
        """Its question; None where none can be made. It is asked until `answered`."""
        model = self._wanted.pop(key.model).model
        self._asked.add(model)
        if model not in self._names:
            self._names[model] = self._new_name()
            if len(self._names) > MAX_MODELS:
                self._names.popitem(last=False)
        return self._make(key, self._names[model])

    def answered(self, model: str, *, served: bool) -> None:
        """It was served; or refused or lost, and then the same word may be asked again."""
        self._asked.discard(model)
        if served:
            self._names.pop(model, None)


def _kind_of(message: str) -> str:
    """The message without what differs from task to task: numbers and quotations."""
    return _VARIABLE_PARTS.sub("#", message[:MAX_REFUSAL_CHARACTERS])
