"""Policies of the stub provider that make a run last as long as a test needs."""

import threading
from collections.abc import Callable, Sequence

from tests.eventually import eventually
from tests.stubs.provider_faults import Fault

GIVE_UP_SECONDS = 60.0


def slow(seconds: float) -> Callable[[Sequence[str]], Fault | None]:
    """Each call takes so long."""

    def policy(_: Sequence[str]) -> Fault | None:
        threading.Event().wait(seconds)
        return None

    return policy


class Gate:
    """Holds calls to the provider, from the moment it is closed until it is opened. Closed at first."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self.held: list[tuple[str, ...]] = []
        """The texts of each call that came to a closed gate."""

    def __call__(self, texts: Sequence[str]) -> Fault | None:
        if not self._opened.is_set():
            self.held.append(tuple(texts))
            self._opened.wait(GIVE_UP_SECONDS)
        return None

    def open(self) -> None:
        self._opened.set()

    def close(self) -> None:
        self._opened.clear()

    def wait_for_calls(self, count: int) -> list[str]:
        """Until so many calls are held; their texts."""
        eventually(lambda: len(self.held) >= count, what=f"{count} calls to the provider")
        return [text for call in self.held for text in call]
