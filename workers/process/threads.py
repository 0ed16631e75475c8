"""Threads of a worker process. What none of them handles ends the process, as it does in the main thread."""

import os
import sys
import threading
import traceback
from collections.abc import Callable

EXIT_AFTER_ERROR = 1


def start_thread(name: str, work: Callable[[], None]) -> threading.Thread:
    """Run `work` in a daemon thread. Raises RuntimeError where the system starts no further thread."""

    def guarded() -> None:
        try:
            work()
        except SystemExit as error:
            _end_process(error.code if isinstance(error.code, int) else EXIT_AFTER_ERROR)
        except BaseException:  # noqa: BLE001  half a worker would be given units that nobody runs
            traceback.print_exc()
            _end_process(EXIT_AFTER_ERROR)

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread


def _end_process(code: int) -> None:
    """At once: other threads may hang in their calls."""
    sys.stderr.flush()
    os._exit(code)
