"""Structured logs: one JSON object a line on stdout, each a LogEvent."""

import json
import logging
import os
from enum import StrEnum
from multiprocessing.util import Finalize
from typing import BinaryIO, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from shared.plain_text import escaped_json, visible
from shared.settings import LogFormat, LogLevel
from shared.standard_output import STDOUT, StandardOutput


class LogEvent(StrEnum):
    SERVICE_STARTING = "service_starting"
    SETTING_UNKNOWN = "setting_unknown"
    TASK_LIMIT_UNUSED = "task_limit_unused"
    SERVICE_READY = "service_ready"
    SERVICE_STOPPED = "service_stopped"
    JOURNAL_RECOVERED = "journal_recovered"
    JOURNAL_UNWRITABLE = "journal_unwritable"
    JOURNAL_WRITABLE_AGAIN = "journal_writable_again"
    DRAIN_STARTED = "drain_started"
    DRAIN_TIMED_OUT = "drain_timed_out"
    STOP_FORCED = "stop_forced"
    PAUSED = "paused"
    RESUMED = "resumed"
    POLL_FINISHED = "poll_finished"
    POLL_FAILED = "poll_failed"
    POLL_LIMIT_LEARNED = "poll_limit_learned"
    OPERATION_MISSING = "operation_missing"
    OPERATION_FOUND = "operation_found"
    TASK_REFUSED = "task_refused"
    TASK_FINISHED = "task_finished"
    TASK_RETRIED = "task_retried"
    INPUT_UNREADABLE = "input_unreadable"
    CLAIM_LOST = "claim_lost"
    CLAIM_REJECTED = "claim_rejected"
    LEASES_NOT_RENEWED = "leases_not_renewed"
    LEASES_RENEWED = "leases_renewed"
    UNIT_DISPATCHED = "unit_dispatched"
    UNIT_FINISHED = "unit_finished"
    UNIT_FAILED = "unit_failed"
    UNIT_SPLIT = "unit_split"
    OUTCOME_IGNORED = "outcome_ignored"
    PROCESSOR_BROKEN = "processor_broken"
    PROCESSOR_MESSAGE = "processor_message"
    CANARY_ASKED = "canary_asked"
    CANARY_ANSWERED = "canary_answered"
    LIMIT_LEARNED = "limit_learned"
    QUIRK_LEARNED = "quirk_learned"
    UNIT_TIMED_OUT = "unit_timed_out"
    REPORT_FAILED = "report_failed"
    REPORT_REJECTED = "report_rejected"
    REPORTS_SLOWED = "reports_slowed"
    REPORTS_AT_FULL_SPEED = "reports_at_full_speed"
    REPORT_UNREADABLE = "report_unreadable"
    REJECTED_RETRIED = "rejected_retried"
    REJECTED_DROPPED = "rejected_dropped"
    WORKER_STARTED = "worker_started"
    WORKER_DIED = "worker_died"
    WORKERS_AWAITED = "workers_awaited"
    WORKER_RECYCLED = "worker_recycled"
    BREAKER_CHANGED = "breaker_changed"
    PROVIDER_THROTTLED = "provider_throttled"
    PROVIDER_HELD = "provider_held"
    PROVIDER_RELEASED = "provider_released"
    THREAD_CRASHED = "thread_crashed"
    HTTP_ANSWER_FAILED = "http_answer_failed"
    LOG_LINES_LOST = "log_lines_lost"
    LIBRARY_MESSAGE = "library_message"


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
