"""Structured logs: one JSON object a line on stdout."""

import json
import logging
import os
from multiprocessing.util import Finalize
from typing import BinaryIO, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from shared.log_events import LogEvent
from shared.plain_text import escaped_json, visible
from shared.settings import LogFormat, LogLevel
from shared.standard_output import STDOUT, StandardOutput


class LibraryMessages(logging.Handler):
    """Brings warnings of libraries into the same stream."""

    def emit(self, record: logging.LogRecord) -> None:
        # Libraries may have levels of their own, which the logger would not know.
        level = logging.ERROR if record.levelno >= logging.ERROR else logging.WARNING
        get_logger(record.name).log(level, LogEvent.LIBRARY_MESSAGE, message=record.getMessage())


def configure_logs(level: LogLevel, log_format: LogFormat, process: str) -> StandardOutput:
    """Set up logs for this process, which calls itself `process` (`supervisor` or `worker-N`).

    At its end the process waits a moment for its last lines to be written to the output that is returned.
    """
    number = logging.getLevelNamesMapping()[level]

    def name_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["process"] = process
        event["logger"] = event.pop("logger_name", "")
        return event

    shared: list[Processor] = [
        name_process,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    output = StandardOutput(_tell_lost)
    Finalize(None, output.wait_until_written, exitpriority=0)  # runs in workers as well, unlike atexit
    factory: structlog.BytesLoggerFactory | structlog.WriteLoggerFactory
    if log_format is LogFormat.JSON:
        shared.append(structlog.processors.JSONRenderer(serializer=_to_json))
        factory = structlog.BytesLoggerFactory(cast("BinaryIO", output))
    else:
        shared.append(_show_plainly)
        shared.append(structlog.dev.ConsoleRenderer(colors=os.isatty(STDOUT)))
        factory = structlog.WriteLoggerFactory(cast("TextIO", output))
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[LibraryMessages()], force=True)
    return output


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines say `logger: name`."""
    return cast("FilteringBoundLogger", structlog.get_logger(logger_name=name))


def _show_plainly(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """For a person's screen. A traceback keeps its lines."""
    return {
        name: "\n".join(map(visible, value.split("\n"))) if isinstance(value, str) else value
        for name, value in event.items()
    }


def _tell_lost(lines: int) -> None:
    get_logger("logs").warning(LogEvent.LOG_LINES_LOST, lines=lines)


def _to_json(event: EventDict, **_: object) -> bytes:
    try:
        line = orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        # The faster encoder refuses what JSON can say: huge numbers, lone surrogates.
        line = json.dumps(event, default=str, skipkeys=True).encode()
    return escaped_json(line)
