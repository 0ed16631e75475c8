"""Which fault comes next: drawn at given rates, the same for the same seed and order of requests."""

import random
import threading
from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

Fault = TypeVar("Fault", bound=StrEnum)


class Odds(Generic[Fault]):
    """Thread-safe. Draws nothing once `cease` was called."""

    def __init__(self, rates: Mapping[Fault, float], seed: int) -> None:
        self._rates = rates
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._ceased = False
        self.drawn: dict[Fault, int] = dict.fromkeys(rates, 0)
        self.asked = 0

    def cease(self) -> None:
        """From now on all goes well."""
        self._ceased = True

    def draw(self) -> Fault | None:
        """The fault that the next request meets, if any."""
        with self._lock:
            if self._ceased:
                return None
            self.asked += 1
            place = self._random.random()
            for fault, rate in self._rates.items():
                if place < rate:
                    self.drawn[fault] += 1
                    return fault
                place -= rate
        return None
