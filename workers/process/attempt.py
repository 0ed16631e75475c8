"""Running a processor's code, whatever it raises."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from shared.errors import Blame, NonRetryableError, RetryableError, TaskError
from shared.logs import LogEvent, get_logger
from shared.messages import Failure
from workers.providers.safe_message import safe_message

_log = get_logger(__name__)

Result = TypeVar("Result")


def attempt(work: Callable[[], Result]) -> Result | Failure:
    """What `work` returns, or the error it raised as a Failure.

    An error that is no TaskError is a final Failure with its type and message. MemoryError is raised on:
    a process short of memory is better replaced, and its death counted as a crash.
    """
    try:
        return work()
    except TaskError as error:
        return _failure(error)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  the only one here: processors are extended by users and may raise anything
        _log.error(LogEvent.UNIT_FAILED, error_type=type(error).__name__, where=_where(error))
        return Failure(safe_message(f"{type(error).__name__}: {error}", secret=""), blame=Blame.PROCESSOR)


def _failure(error: TaskError) -> Failure:
    message = safe_message(str(error), secret="")
    if isinstance(error, RetryableError):
        return Failure(
            message,
            retry=error.reason,
            retry_after_seconds=error.retry_after_seconds,
            one_by_one=error.one_by_one,
        )
    if isinstance(error, NonRetryableError):
        return Failure(message, blame=error.blame)
    return Failure(message)


def _where(error: Exception) -> str:
    """File and line, without the message, which may quote a text: those never go to the log."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
