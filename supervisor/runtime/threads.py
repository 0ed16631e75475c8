"""A thread of the supervisor whose fault is not lost with it."""

import threading
from collections.abc import Callable

from supervisor.runtime.events import Event, ThreadCrashed


def start_thread(name: str, work: Callable[[], None], post: Callable[[Event], None]) -> threading.Thread:
    """Run `work` in a daemon thread; a fault of it reaches the loop, which ends the service."""

    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  a dead thread would be a service that waits for ever
            post(ThreadCrashed(name, error))

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread
