"""A thread of the supervisor whose fault is not lost with it."""

import threading
from collections.abc import Callable

from shared.errors import RAISE_PROCESS_LIMIT, ConfigurationError
from supervisor.runtime.events import Event, ThreadCrashed


def start_thread(name: str, work: Callable[[], None], post: Callable[[Event], None]) -> threading.Thread:
    """Run `work` in a daemon thread; a fault of it reaches the loop, which ends the service.

    Raises ConfigurationError where the system starts no further thread.
    """

    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  without it the service would wait for a dead thread
            post(ThreadCrashed(name, error))

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise ConfigurationError(
            f"the system starts no thread for {name}: {error}; {RAISE_PROCESS_LIMIT}"
        ) from error
    return thread
