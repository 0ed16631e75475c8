"""Threads of a worker process. What none of them handles ends the process, as it does in the main thread."""

import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

EXIT_AFTER_ERROR = 1


def start_thread(name: str, work: Callable[[], None]) -> threading.Thread:
    """Run `work` in a daemon thread. Raises RuntimeError where the system starts no further thread."""

    thread = threading.Thread(target=lambda: _run_guarded(work), name=name, daemon=True)
    thread.start()
    return thread


def end_process_after(work: Callable[[], None]) -> NoReturn:
    """Run `work`, and end the process, whatever other threads do."""
    _run_guarded(work)
    _end_process(0)


def end_process_later(seconds: float) -> None:
    """End the process in so many seconds, if it still runs then."""
    timer = threading.Timer(seconds, _end_process, (0,))
    timer.daemon = True
    timer.start()


def _run_guarded(work: Callable[[], None]) -> None:
    """What `work` does not handle ends the process."""
    try:
        work()
    except SystemExit as error:
        _end_process(_exit_code(error))
    except BaseException:  # noqa: BLE001  half a worker would be given units that nobody runs
        traceback.print_exc()
        _end_process(EXIT_AFTER_ERROR)


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else EXIT_AFTER_ERROR


def _end_process(code: int) -> NoReturn:
    """At once: other threads may hang in their calls."""
    with contextlib.suppress(OSError, ValueError):  # a full disk, or a stream that a plug-in closed
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
