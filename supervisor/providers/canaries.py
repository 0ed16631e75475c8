"""Canaries: questions with a known answer. They tell a task's fault from the provider's."""

from collections import OrderedDict
from collections.abc import Callable

from shared.models import BatchKey, Task
from shared.task_inputs import canary_task

MAX_MODELS = 200


class Canaries:
    """Which models are to be asked, and which were asked and have not answered. Owned by the loop.

    `new_name` gives a word that was not used before: no canary is paid for twice.
    """

    def __init__(self, new_name: Callable[[], str]) -> None:
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

    def take(self, may_ask: Callable[[str], bool]) -> Task | None:
        """The next one whose model may be asked now. It is asked until `answered`."""
        model = next((name for name in self._wanted if may_ask(name)), None)
        if model is None:
            return None
        key = self._wanted.pop(model)
        self._asked.add(model)
        if model not in self._names:
            self._names[model] = self._new_name()
            if len(self._names) > MAX_MODELS:
                self._names.popitem(last=False)
        return canary_task(key, self._names[model])

    def answered(self, model: str, *, served: bool) -> None:
        """It was served; or refused or lost, and then the same word may be asked again."""
        self._asked.discard(model)
        if served:
            self._names.pop(model, None)
